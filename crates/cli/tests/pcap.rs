//! Captures made by the simulator, as a user looks at them.

mod common;

use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};

use common::{Ran, halfopen, ran, repository_file, run, skipped};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

/// A folder with the capture of a scenario in it.
struct Capture {
    folder: tempfile::TempDir,
    path: String,
}

impl Capture {
    fn of(scenario: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(format!("{scenario}.pcapng"));
        let path = path.to_str().expect("UTF-8").to_owned();
        let ran = run(&["sim", scenario, "--pcap", &path]);
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
        Self { folder, path }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        run(&[&["pcap", &self.path], arguments].concat())
    }

    /// A file beside it.
    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).expect("the capture")
    }
}

fn lines(json: &str) -> Vec<Value> {
    json.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The last line of `--json`.
fn summary(ran: &Ran) -> Value {
    assert_eq!(ran.stderr, "");
    lines(&ran.stdout).pop().expect("a summary")
}

/// Outcomes of which there are some, with their numbers, and the exit status.
fn check(scenario: &str, expected: &[(&str, u64)], status: i32) {
    let ran = Capture::of(scenario).run(&["--json"]);
    let summary = summary(&ran);
    let outcomes = summary["outcomes"].as_object().expect("outcomes");
    let some: Vec<(&str, u64)> = outcomes
        .iter()
        .filter_map(|(name, count)| Some((name.as_str(), count.as_u64()?)))
        .filter(|(_, count)| *count > 0)
        .collect();
    assert_eq!((some.as_slice(), ran.status), (expected, status), "{scenario}");
}

/// What the simulator says of its clients.
fn clients(scenario: &str, figure: &str) -> u64 {
    let ran = run(&["sim", scenario, "--json"]);
    let run: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let clients = run["clients"].as_array().expect("clients");
    clients.iter().map(|group| group[figure].as_u64().expect("a number")).sum()
}

#[test]
fn outcomes_are_those_that_the_simulator_brought_about() {
    check(
        "never-accepts-overlapping",
        &[("established", 6), ("syn-unanswered", 4), ("third-ack-ignored", 3), ("undecided", 4)],
        2,
    );
    check("abort-on-overflow", &[("established", 44), ("reset-after-ack", 52)], 2);
    check("client-gives-up", &[("syn-unanswered", 1)], 2);
    check(
        "reconnect-storm",
        &[("established", 1786), ("established-late", 191), ("third-ack-ignored", 24)],
        2,
    );
    assert_eq!(clients("reconnect-storm", "started"), 1786 + 191 + 24);
    assert_eq!(clients("abort-on-overflow", "started"), 44 + 52);
}

/// Ids of the findings.
fn found(scenario: &str) -> Vec<String> {
    let summary = summary(&Capture::of(scenario).run(&["--json"]));
    let findings = summary["findings"].as_array().expect("findings");
    findings.iter().map(|it| it["id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn verdicts_are_those_of_the_rules() {
    assert_eq!(found("never-accepts-overlapping"), ["third-ack-dropped", "connect-unanswered"]);
    assert_eq!(found("abort-on-overflow"), ["overflow-reset"]);
    assert_eq!(found("client-gives-up"), ["connect-unanswered"]);
    assert_eq!(found("defer-accept"), [""; 0]);
}

#[test]
fn deferred_accept_is_never_called_an_overflow() {
    check("defer-accept", &[("established", 7)], 0);
}

#[test]
fn a_summary_in_an_outage() {
    let capture = Capture::of("never-accepts-overlapping");
    let ran = capture.run(&[]);
    assert_eq!((ran.status, ran.stderr.as_str()), (2, ""));
    let folder = capture.folder.path().to_str().expect("UTF-8");
    insta::assert_snapshot!("pcap-summary", ran.stdout.replace(folder, "."));
    let ran = capture.run(&["--handshakes"]);
    insta::assert_snapshot!("pcap-handshakes", ran.stdout);
}

#[test]
fn every_line_follows_the_published_schema() {
    let schema = serde_json::from_str(&repository_file("docs/schema/pcap.json")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    for scenario in ["never-accepts-overlapping", "client-gives-up"] {
        for value in lines(&Capture::of(scenario).run(&["--json"]).stdout) {
            let errors: Vec<String> =
                validator.iter_errors(&value).map(|e| e.to_string()).collect();
            assert!(errors.is_empty(), "{errors:?} in {value}");
        }
    }
}

#[test]
fn a_filter_leaves_out_what_it_does_not_match() {
    let capture = Capture::of("never-accepts-overlapping");
    let of_port = summary(&capture.run(&["--json", "port", "8080", "and", "net", "127.0.0.0/8"]));
    assert_eq!(of_port["attempts"], 17);
    let ran = capture.run(&["--json", "not", "port", "8080"]);
    assert_eq!((summary(&ran)["attempts"].as_u64(), ran.status), (Some(0), 3));
    for (filter, said) in [("prot", "prot"), ("b.pcap", "b.pcap: No such file"), ("port x", "x")] {
        let ran = capture.run(&[filter]);
        assert_eq!((ran.status, ran.stdout.as_str()), (64, ""), "{filter}");
        assert!(ran.stderr.contains(said) && ran.stderr.lines().count() <= 3, "{}", ran.stderr);
    }
}

#[test]
fn pipes_and_compressed_captures_give_the_same() {
    let capture = Capture::of("abort-on-overflow");
    let expected = capture.run(&["--csv", "-"]).stdout.replace(&capture.path, "standard input");
    let piped = halfopen(&["pcap", "-", "--csv", "-"])
        .stdin(File::open(&capture.path).expect("the capture"))
        .output()
        .expect("the binary starts");
    assert_eq!(ran(piped).stdout, expected);
    let gzip = Command::new("gzip").arg("-k").arg(&capture.path).status();
    if !gzip.is_ok_and(|status| status.success()) {
        return skipped("a compressed capture", "no gzip here");
    }
    let zipped = run(&["pcap", &format!("{}.gz", capture.path), "--json"]);
    assert_eq!(summary(&zipped)["attempts"], 96);
}

#[test]
fn one_thread_tells_the_same_as_two() {
    let capture = Capture::of("abort-on-overflow");
    for output in [&["--handshakes"][..], &["--json"], &["--verbose"]] {
        let two = capture.run(output);
        let one = capture.run(&[output, &["--threads", "1"]].concat());
        assert_eq!((two.status, two.stdout), (one.status, one.stdout));
    }
}

#[test]
fn files_named_together_are_one_capture_in_the_order_of_time() {
    let (one, two) = (Capture::of("abort-on-overflow"), Capture::of("client-gives-up"));
    for files in [[&one.path, &two.path], [&two.path, &one.path]] {
        let both = summary(&run(&["pcap", files[0], files[1], "--json"]));
        assert_eq!((both["attempts"].as_u64(), both["packets"].as_u64()), (Some(97), Some(427)));
    }
    let ran = run(&["pcap", &one.path, &two.path, "--sequence", "2:1"]);
    assert!(ran.stdout.contains("10.77.0.1:37406"), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn a_handshake_is_drawn_by_its_number_and_by_its_address() {
    let capture = Capture::of("never-accepts-overlapping");
    let by_number = capture.run(&["--sequence", "13"]);
    assert_eq!(by_number.status, 2);
    insta::assert_snapshot!("pcap-sequence", by_number.stdout);
    let by_address = capture.run(&["--sequence", "127.0.0.1:55998"]);
    assert_eq!(by_address.stdout, by_number.stdout);
    let svg = capture.run(&["--sequence", "13", "--svg", "-"]).stdout;
    assert!(svg.starts_with("<svg ") && svg.contains("sent again, although acknowledged"));
    let absent = capture.run(&["--sequence", "10.0.0.9:1"]);
    assert_eq!((absent.status, absent.stdout.as_str()), (3, ""));
    assert_eq!(capture.run(&["--sequence", "here"]).status, 64);
}

#[test]
fn a_report_has_charts_and_a_ladder_per_notable_outcome_and_loads_nothing() {
    let page = Capture::of("never-accepts-overlapping").run(&["--html", "-"]).stdout;
    assert_eq!(page.matches("<svg ").count(), 2 + 2);
    assert!(page.contains("sent again, although acknowledged") && page.ends_with("</html>\n"));
    assert!(!page.contains(" src=") && !page.contains("<script") && !page.contains("href="));
}

#[test]
fn another_program_reads_the_parquet_file() {
    const QUERY: &str = "\
import sys
import pyarrow.parquet as pq
table = pq.read_table(sys.argv[1])
outcomes = table.column('outcome').to_pylist()
assert outcomes.count('reset-after-ack') == 52, outcomes
assert str(table.schema.field('began').type) == 'timestamp[ns, tz=UTC]', table.schema
print(table.num_rows, table.num_columns)
";
    if !cfg!(feature = "parquet") {
        return skipped("the Parquet file", "built without the feature");
    }
    let capture = Capture::of("abort-on-overflow");
    let file = capture.file("a.parquet");
    let ran = capture.run(&["--parquet", &file]);
    assert!(ran.status == 2 && ran.stdout.contains("96 attempts"), "{}", ran.stderr);
    let bytes = std::fs::read(&file).expect("a file");
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    let python = Command::new("python3").args(["-c", QUERY, &file]).output();
    match python {
        Ok(output) if output.status.success() => {
            assert_eq!(String::from_utf8_lossy(&output.stdout), "96 26\n");
        }
        Ok(output) if !String::from_utf8_lossy(&output.stderr).contains("No module named") => {
            panic!("{}", String::from_utf8_lossy(&output.stderr));
        }
        _ => skipped("the Parquet file in another program", "no python3 with pyarrow here"),
    }
}

#[test]
fn outputs_that_do_not_fit_together_are_refused() {
    let capture = Capture::of("client-gives-up");
    for arguments in [
        &["--json", "--csv", "-"][..],
        &["--handshakes", "--html", "-"],
        &["--parquet", "-"],
        &["--svg", "-"],
        &["--json", "--handshakes"],
    ] {
        assert_eq!(capture.run(arguments).status, 64, "{arguments:?}");
    }
    let overwritten = capture.run(&["--csv", &capture.path.clone()]);
    assert_eq!(overwritten.status, 64);
    assert!(capture.bytes().len() > 100);
    let piped = halfopen(&["pcap", "-", "--sequence", "1"]).output().expect("the binary starts");
    assert_eq!(ran(piped).status, 64);
}

#[test]
fn who_stops_reading_is_no_failure() {
    let capture = Capture::of("reconnect-storm");
    let mut child = halfopen(&["pcap", &capture.path, "--handshakes"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    drop(child.stdout.take());
    let ran = ran(child.wait_with_output().expect("it ends"));
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
}

#[test]
fn a_capture_that_is_still_written_is_followed() {
    let whole = Capture::of("client-gives-up").bytes();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&whole).expect("memory takes it");
    for bytes in [whole, gzip.finish().expect("memory takes it")] {
        follow(&bytes);
    }
}

/// Follows a capture that grows while it is read.
fn follow(whole: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let growing = folder.path().join("growing");
    let (beginning, rest) = whole.split_at(whole.len() / 2);
    let mut file = File::create(&growing).expect("a file");
    file.write_all(beginning).expect("written");
    let child = halfopen(&["pcap", growing.to_str().expect("UTF-8"), "--follow", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    std::thread::sleep(std::time::Duration::from_millis(600));
    file.write_all(rest).expect("written");
    std::thread::sleep(std::time::Duration::from_millis(600));
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::INT).expect("it runs");
    let ran = ran(child.wait_with_output().expect("it ends"));
    let summary = summary(&ran);
    assert_eq!(
        (summary["packets"].as_u64(), summary["interrupted"].as_bool()),
        (Some(3), Some(true))
    );
    assert_eq!(ran.status, 2);
}

#[test]
fn what_shows_only_at_its_end_is_not_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.pcap.zst");
    std::fs::write(&path, b"\x28\xb5\x2f\xfd").expect("written");
    let path = path.to_str().expect("UTF-8");
    let ran = run(&["pcap", path, "--follow"]);
    let said = "compressed with zstd, it can only be read when it is complete";
    assert_eq!((ran.status, ran.stderr), (64, format!("halfopen: {path}: {said}\n")));
}
