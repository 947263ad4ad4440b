//! Did you mean: the known names that come nearest to one that is not known.

use strsim::levenshtein;

/// Names offered at the most.
const OFFERED: usize = 3;

/// The names that come nearest, the best first; none if none is near.
pub(crate) fn nearest(name: &str, known: impl IntoIterator<Item = String>) -> Vec<String> {
    let wanted = plain(name);
    let mut near: Vec<(usize, String)> = known
        .into_iter()
        .filter_map(|known| distance_of(&wanted, &plain(&known)).map(|distance| (distance, known)))
        .collect();
    near.sort();
    near.dedup();
    near.truncate(OFFERED);
    near.into_iter().map(|(_, name)| name).collect()
}

/// What to say of a name that is not known.
pub(crate) fn unknown(
    what: &str,
    name: &str,
    known: impl IntoIterator<Item = String>,
    list: &str,
) -> String {
    let shown: String = name.chars().take(64).collect();
    match nearest(name, known).as_slice() {
        [] => format!("no {what} is called {shown:?}; `{list}` lists them"),
        near => format!("no {what} is called {shown:?}; did you mean {}?", near.join(", ")),
    }
}

fn distance_of(wanted: &str, known: &str) -> Option<usize> {
    let most = (wanted.chars().count() / 3).max(1);
    if wanted.len() >= 4 && known.contains(wanted) {
        return Some(known.len() - wanted.len());
    }
    Some(levenshtein(wanted, known)).filter(|&distance| distance <= most)
}

/// Letters and digits, small.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> Vec<String> {
        let known = ["ListenDrops", "ListenOverflows", "TCPReqQFullDrop", "InErrs"];
        nearest(name, known.map(str::to_owned))
    }

    #[test]
    fn misspelt_and_shortened_names_are_found() {
        assert_eq!(of("ListenDrop"), ["ListenDrops"]);
        assert_eq!(of("listen-overflow"), ["ListenOverflows"]);
        assert_eq!(of("ReqQFull"), ["TCPReqQFullDrop"]);
        assert_eq!(of("listen"), ["ListenDrops", "ListenOverflows"]);
        assert!(of("xyzzy").is_empty() && of("").is_empty());
    }
}
