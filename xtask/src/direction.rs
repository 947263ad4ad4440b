//! Which crate may depend on which, as data, and the check that holds the workspace to it.
//!
//! Pure crates list the outside crates that they may use too, because a crate from outside can bring
//! clocks, files and sockets past clippy. A new edge is a design decision: make it here first.

use std::path::Path;

use crate::workspace::{Dependency, Package};

/// What one of our crates may depend on.
struct Allowed {
    /// The package, without the prefix `halfopen-`.
    name: &'static str,
    /// Our crates that it may use, in tests too.
    ours: &'static [&'static str],
    /// Crates from outside that it may use outside tests.
    outside: Outside,
}

enum Outside {
    /// The edge: any.
    Any,
    /// A pure crate: these.
    Only(&'static [&'static str]),
}

const ALLOWED: &[Allowed] = &[
    Allowed { name: "model", ours: &[], outside: Outside::Only(&[]) },
    Allowed {
        name: "evidence",
        ours: &["model"],
        outside: Outside::Only(&[
            "flate2",
            "foldhash",
            "serde",
            "serde_json",
            "smallvec",
            "thiserror",
        ]),
    },
    Allowed {
        name: "diagnose",
        ours: &["evidence", "model"],
        outside: Outside::Only(&[
            "anstyle",
            "unicode-width",
            "schemars",
            "serde",
            "serde_json",
            "thiserror",
        ]),
    },
    Allowed {
        name: "scenario",
        ours: &[],
        outside: Outside::Only(&["serde", "thiserror", "toml"]),
    },
    Allowed {
        name: "capture",
        ours: &["evidence", "model"],
        outside: Outside::Only(&["flate2", "lz4_flex", "ruzstd", "smallvec", "thiserror"]),
    },
    Allowed { name: "trace", ours: &["evidence", "model"], outside: Outside::Only(&[]) },
    Allowed {
        name: "sim",
        ours: &["diagnose", "evidence", "model", "scenario"],
        outside: Outside::Only(&["etherparse", "thiserror"]),
    },
    Allowed { name: "collect", ours: &["evidence", "model"], outside: Outside::Any },
    Allowed { name: "stacks", ours: &["evidence", "collect"], outside: Outside::Any },
    Allowed { name: "lab", ours: &["scenario"], outside: Outside::Any },
    Allowed { name: "parity", ours: &["model", "scenario", "sim", "lab"], outside: Outside::Any },
    Allowed {
        name: "cli",
        ours: &[
            "model", "evidence", "diagnose", "scenario", "capture", "sim", "collect", "stacks",
            "trace", "lab",
        ],
        outside: Outside::Any,
    },
    // Its load for `bench sim`.
    Allowed { name: "xtask", ours: &["scenario", "sim"], outside: Outside::Any },
];

/// The folders under `crates/` whose crates are pure.
pub(crate) fn pure_crates() -> impl Iterator<Item = &'static str> {
    ALLOWED
        .iter()
        .filter(|allowed| matches!(allowed.outside, Outside::Only(_)))
        .map(|allowed| allowed.name)
}

/// A sentence per edge that is not allowed, and per package that the table does not know.
pub(crate) fn violations(packages: &[Package]) -> Vec<String> {
    packages.iter().flat_map(violations_of).collect()
}

fn violations_of(package: &Package) -> Vec<String> {
    let name = short(&package.name);
    let Some(allowed) = ALLOWED.iter().find(|allowed| allowed.name == name) else {
        return vec![format!(
            "{} is not in the table of xtask/src/direction.rs: say there what it may depend on",
            package.name
        )];
    };
    let mut found = Vec::new();
    if name != "xtask" && !lies_in_its_folder(package) {
        found.push(format!("{} does not lie in crates/{name}", package.name));
    }
    let forbidden = package.dependencies.iter().filter(|dependency| !allows(allowed, dependency));
    found.extend(forbidden.map(|dependency| {
        let kind = dependency.kind.as_deref().map_or(String::new(), |kind| format!("{kind}-"));
        format!("{} may not have the {kind}dependency {}", package.name, dependency.name)
    }));
    found
}

fn allows(allowed: &Allowed, dependency: &Dependency) -> bool {
    if dependency.path.is_some() {
        return allowed.ours.contains(&short(&dependency.name));
    }
    match allowed.outside {
        Outside::Any => true,
        Outside::Only(these) => {
            let for_tests = dependency.kind.as_deref() == Some("dev");
            for_tests && allowed.name != "model" || these.contains(&dependency.name.as_str())
        }
    }
}

fn short(name: &str) -> &str {
    name.strip_prefix("halfopen-").unwrap_or(name)
}

fn lies_in_its_folder(package: &Package) -> bool {
    let ending = Path::new("crates").join(short(&package.name)).join("Cargo.toml");
    package.manifest_path.ends_with(ending)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(to: &str, kind: Option<&str>) -> Dependency {
        let path = to.starts_with("halfopen-").then(|| "/w".into());
        Dependency { name: to.to_owned(), kind: kind.map(str::to_owned), path }
    }

    fn check(from: &str, dependencies: Vec<Dependency>, expected: &[&str]) {
        let name = format!("halfopen-{from}");
        let manifest_path = format!("/w/crates/{from}/Cargo.toml").into();
        assert_eq!(violations(&[Package { name, manifest_path, dependencies }]), expected);
    }

    #[test]
    fn edges_of_the_table_pass() {
        check("evidence", vec![edge("halfopen-model", None), edge("serde", None)], &[]);
        check("collect", vec![edge("halfopen-evidence", None), edge("rustix", None)], &[]);
        check("diagnose", vec![edge("insta", Some("dev"))], &[]);
    }

    #[test]
    fn edges_against_the_direction_are_named() {
        check(
            "collect",
            vec![edge("halfopen-diagnose", None), edge("halfopen-model", None)],
            &["halfopen-collect may not have the dependency halfopen-diagnose"],
        );
        check(
            "model",
            vec![edge("halfopen-evidence", None)],
            &["halfopen-model may not have the dependency halfopen-evidence"],
        );
    }

    #[test]
    fn tests_obey_the_same_direction() {
        check(
            "diagnose",
            vec![edge("halfopen-collect", Some("dev"))],
            &["halfopen-diagnose may not have the dev-dependency halfopen-collect"],
        );
    }

    #[test]
    fn pure_crates_use_only_the_outside_crates_of_the_table() {
        check(
            "evidence",
            vec![edge("rustix", None), edge("cc", Some("build"))],
            &[
                "halfopen-evidence may not have the dependency rustix",
                "halfopen-evidence may not have the build-dependency cc",
            ],
        );
        check(
            "model",
            vec![edge("proptest", Some("dev"))],
            &["halfopen-model may not have the dev-dependency proptest"],
        );
    }

    #[test]
    fn a_crate_that_the_table_does_not_know_is_named() {
        check(
            "stranger",
            vec![],
            &[
                "halfopen-stranger is not in the table of xtask/src/direction.rs: say there what it may depend on",
            ],
        );
    }
}
