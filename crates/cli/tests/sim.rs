//! Sessions with the simulator, as a user has them.

mod common;

use std::process::{Command, Stdio};

use common::{halfopen, ran, repository_file, run, skipped};
use jsonschema::Validator;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// What a scenario file is refused with; the file is called `bad.toml`.
fn check_refused(text: &str, arguments: &[&str], expected: &str) {
    let folder = folder();
    let path = folder.path().join("bad.toml");
    std::fs::write(&path, text).expect("written");
    let path = path.to_str().expect("UTF-8");
    let ran = run(&[&["sim", path], arguments].concat());
    assert_eq!(ran.status, 64, "{}", ran.stderr);
    assert_eq!(ran.stderr.replace(path, "bad.toml"), format!("halfopen: {expected}\n"));
    assert_eq!(ran.stdout, "");
}

fn check_valid(json: &str, schema: &str) -> serde_json::Value {
    let schema: serde_json::Value = serde_json::from_str(&repository_file(schema)).expect("JSON");
    let value: serde_json::Value = serde_json::from_str(json).expect("JSON");
    let validator: Validator = jsonschema::validator_for(&schema).expect("a schema");
    let errors: Vec<String> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    value
}

/// How many elements of a name an SVG has; panics where tags do not match.
fn elements(svg: &str, name: &str) -> usize {
    let mut open = Vec::new();
    let mut count = 0;
    for tag in svg.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("a tag ends");
        let word = tag.split([' ', '/']).find(|word| !word.is_empty()).expect("a tag has a name");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(word));
            continue;
        }
        count += usize::from(word == name);
        if !tag.ends_with('/') {
            open.push(word);
        }
    }
    assert_eq!(open, [""; 0]);
    count
}

#[test]
fn a_session_with_a_server_that_never_accepts() {
    let ran = run(&["sim", "never-accepts"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    insta::assert_snapshot!("sim-never-accepts", ran.stdout);
}

#[test]
fn a_session_with_a_server_that_is_too_slow() {
    let ran = run(&["sim", "too-slow-accept", "--kernel", "3.10.0-1160.el7.x86_64"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    insta::assert_snapshot!("sim-too-slow-accept", ran.stdout);
}

#[test]
fn a_sweep_says_how_deep_a_queue_must_be() {
    let ran = run(&["sim", "momentary-queue", "--sweep", "backlog=1..1024", "--for", "4s"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    insta::assert_snapshot!("sim-sweep", ran.stdout);
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_sweeps_are_in_order() {
    for arguments in [
        &["sim", "reuseport-skew", "--seed", "7", "--json"][..],
        &["sim", "too-slow-accept", "--sweep", "workers=1..8", "--for", "2s", "--json"],
        &["sim", "never-accepts", "--pcap", "-"],
    ] {
        let output = || halfopen(arguments).output().expect("the binary starts").stdout;
        let first = output();
        assert!(!first.is_empty() && first == output(), "{arguments:?}");
    }
    let seed = |seed| run(&["sim", "reuseport-skew", "--json", "--seed", seed]).stdout;
    assert_ne!(seed("1"), seed("2"));
}

#[test]
fn what_programs_read_keeps_to_its_schema() {
    for name in ["never-accepts-overlapping", "unanswered-connect", "idle-server", "request-life"] {
        let ran = run(&["sim", name, "--json"]);
        let value = check_valid(&ran.stdout, "docs/schema/sim.json");
        let expected = if name == "request-life" { serde_json::Value::Null } else { true.into() };
        assert_eq!(value["as_expected"], expected, "{name}");
        assert_eq!(ran.status, 0);
    }
    let sweep = run(&["sim", "never-accepts", "--json", "--sweep", "kernel=2.6.32,6.18"]);
    let sweep = check_valid(&sweep.stdout, "docs/schema/sim-sweep.json");
    let values: Vec<_> =
        sweep["points"].as_array().expect("points").iter().map(|p| p["value"].as_str()).collect();
    assert_eq!(values, [Some("2.6.32"), Some("6.18")]);
}

#[test]
fn samples_and_sweeps_are_written_as_csv() {
    let samples = run(&["sim", "never-accepts", "--csv", "-"]);
    let mut lines = samples.stdout.lines();
    let header = "at_us,host,port,listener,depth,limit,requests,accepted,drops";
    assert_eq!(lines.next(), Some(header));
    assert!(lines.clone().count() > 100 && lines.all(|line| line.split(',').count() == 9));
    let sweep =
        run(&["sim", "too-slow-accept", "--sweep", "count=1,8", "--for", "1s", "--csv", "-"]);
    let lines: Vec<&str> = sweep.stdout.lines().collect();
    assert!(lines[0].starts_with("count,verdict,findings,room,peak,accepted,"), "{}", lines[0]);
    assert!(lines[1].starts_with("1,healthy,,6,"), "{}", lines[1]);
    assert_eq!(lines.len(), 3);
}

#[test]
fn pictures_are_well_formed_and_say_in_words_what_they_show() {
    let picture = run(&["sim", "never-accepts", "--svg", "-"]).stdout;
    assert!(picture.starts_with("<svg ") && picture.contains("<title id=\"title\">never-accepts"));
    assert!(elements(&picture, "path") > 10);
    let sweep = ["sim", "momentary-queue", "--sweep", "backlog=1..64", "--for", "1s", "--svg", "-"];
    assert_eq!(elements(&run(&sweep).stdout, "g"), 2);
}

#[test]
fn files_and_text_can_be_had_in_one_run() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (csv, svg, pcap) = (path("a.csv"), path("a.svg"), path("a.pcapng"));
    let ran = run(&["sim", "never-accepts", "--csv", &csv, "--svg", &svg, "--pcap", &pcap]);
    assert!(ran.status == 0 && ran.stdout.starts_with("never-accepts"), "{}", ran.stderr);
    for path in [csv, svg, pcap] {
        assert!(std::fs::metadata(path).expect("a file").len() > 1000);
    }
    let ran = run(&["sim", "never-accepts", "--csv", "-", "--json"]);
    assert_eq!(ran.status, 64);
    assert!(ran.stderr.contains("standard output"), "{}", ran.stderr);
}

#[test]
fn analysers_read_the_capture() {
    let folder = folder();
    let path = folder.path().join("a.pcapng");
    let file = path.to_str().expect("UTF-8");
    assert_eq!(run(&["sim", "never-accepts-overlapping", "--pcap", file]).status, 0);
    let readers: [(&str, &[&str]); 2] =
        [("tshark", &["-o", "tcp.check_checksum:TRUE", "-r", file]), ("tcpdump", &["-nnvr", file])];
    for (program, arguments) in readers {
        let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
        match output {
            Err(_) => skipped("the capture of a simulation", &format!("no {program} here")),
            Ok(output) => {
                assert!(output.status.success(), "{output:?}");
                let text = String::from_utf8_lossy(&output.stdout).to_lowercase();
                assert!(text.lines().count() > 30 && !text.contains("incorrect"), "{text}");
            }
        }
    }
}

#[test]
fn a_scenario_comes_from_a_file_or_from_standard_input() {
    let text = repository_file("scenarios/backlog-zero.toml");
    let folder = folder();
    let path = folder.path().join("mine.toml");
    std::fs::write(&path, &text).expect("written");
    let ran_file = run(&["sim", path.to_str().expect("UTF-8")]);
    assert!(ran_file.status == 0 && ran_file.stdout.starts_with("mine  "), "{}", ran_file.stderr);
    let output = halfopen(&["sim", "-"])
        .stdin(std::fs::File::open(&path).expect("a file"))
        .output()
        .expect("the binary starts");
    let ran_stdin = ran(output);
    assert_eq!((ran_stdin.status, ran_stdin.stderr.as_str()), (0, ""));
}

#[test]
fn what_makes_no_sense_is_said_in_one_line_with_its_place() {
    const HEAD: &str = "about = \"x\"\nexpect = []\n";
    const LOOK: &str = "[[step]]\ndo = \"look\"\n";
    check_refused(
        "about = \"x\"\nexpect = [\n",
        &[],
        "bad.toml:2:11: unclosed array, expected `]`",
    );
    check_refused(
        &format!("{HEAD}[[step]]\ndo = \"stop\"\n"),
        &[],
        "bad.toml:3:1: `process` is missing",
    );
    check_refused(
        &format!("{HEAD}[sysctl]\n\"net.ipv4.tcp_syncookies\" = 256\n{LOOK}"),
        &[],
        "bad.toml:4:29: net.ipv4.tcp_syncookies = 256: this kernel takes only 0 to 255",
    );
    check_refused(
        &format!("kernel = \"0x\"\n{HEAD}{LOOK}"),
        &["--kernel", "six"],
        "\"six\" is not a kernel; write a release such as 3.10.4 or 6.1.0-32-amd64, or rhel6, rhel7, \
         rhel8, rhel9",
    );
    check_refused(
        &format!("{HEAD}{LOOK}"),
        &["--set", "tcp_syncookies=999"],
        "net.ipv4.tcp_syncookies = 999: this kernel takes only 0 to 255",
    );
    check_refused(
        &format!("{HEAD}{LOOK}"),
        &["--sweep", "backlog=1..9"],
        "backlog: the scenario has no listener",
    );
    let ran = run(&["sim", "never-acepts"]);
    assert_eq!(ran.status, 64);
    assert!(ran.stderr.contains("did you mean never-accepts"), "{}", ran.stderr);
}

#[test]
fn an_expectation_that_is_not_met_ends_with_1() {
    let text = repository_file("scenarios/never-accepts.toml");
    let folder = folder();
    let path = folder.path().join("mine.toml");
    let text = text.replace("[\"accept-blocked\", \"never-accepted\"]", "[\"accept-blocked\"]");
    std::fs::write(&path, text).expect("written");
    let path = path.to_str().expect("UTF-8");
    let ran = run(&["sim", path]);
    assert_eq!(ran.status, 1);
    let said = "expected accept-blocked, found accept-blocked, never-accepted.";
    assert!(ran.stdout.contains(said), "{}", ran.stdout);
    let never = repository_file("scenarios/too-slow-accept.toml").replace("= 8 }", "= 800000 }");
    let other = folder.path().join("never.toml");
    std::fs::write(&other, never).expect("written");
    let other = other.to_str().expect("UTF-8");
    let ran = run(&["sim", other]);
    assert!(ran.status == 1 && ran.stderr.contains("did not come within 10 s"), "{}", ran.stderr);
    assert_eq!(run(&["sim", other, "--for", "1s"]).status, 0);
    // Changed, it is another scenario.
    assert_eq!(run(&["sim", path, "--set", "backlog=7"]).status, 0);
}

#[test]
fn the_list_is_that_of_the_lab() {
    for json in [&[][..], &["--json"]] {
        let list = run(&[&["sim", "--list"], json].concat());
        assert!(list.status == 0 && list.stdout.contains("never-accepts"));
        assert_eq!(list.stdout, run(&[&["lab", "list"], json].concat()).stdout);
    }
}
