//! The binary against real sockets of this kernel, without privilege.

mod common;

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use common::{Unaccepted, halfopen, ids, ran, repository_file, run, skipped};

/// A port that nobody listens on: no test that asks for any port is given it.
const NOBODYS: &str = ":9";

#[test]
fn connections_that_nobody_accepts_are_found_with_their_process() {
    let server = Unaccepted::new(3);
    let ran = run(&["check", "--json", "--window", "1s", &server.filter()]);
    assert_eq!(ran.status, 2, "{}{}", ran.stdout, ran.stderr);
    let ids = ids(&ran.stdout);
    assert!(ids.contains(&"never-accepted".to_owned()), "{ids:?}");
    assert!(ids.iter().any(|id| id.starts_with("accept-")), "{ids:?}");
    let pid = format!("\"pid\": {}", std::process::id());
    assert!(ran.stdout.contains(&pid), "{}", ran.stdout);
}

#[test]
fn the_threads_of_whoever_listens_on_a_port_are_shown_with_their_calls() {
    let server = Unaccepted::new(0);
    let schema = serde_json::from_str(&repository_file("docs/schema/stacks.json")).expect("JSON");
    let schema = jsonschema::validator_for(&schema).expect("a schema");
    let ran = run(&["stacks", &server.filter(), "--json"]);
    assert_eq!(ran.status, 0, "{}{}", ran.stdout, ran.stderr);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert!(schema.is_valid(&document), "{}", ran.stdout);
    assert_eq!(document["processes"][0]["pid"], std::process::id());
    // The test's first thread waits for this one.
    assert!(ran.stdout.contains("\"call\": \"futex\""), "{}", ran.stdout);
    for arguments in [&["--folded"][..], &["--lines", "--verbose"], &["--verbose", "--no-bpf"]] {
        let ran = run(&[&["stacks", &server.filter()], arguments].concat());
        assert_eq!(ran.status, 0, "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains("halfopen") || ran.stdout.contains("live"), "{}", ran.stdout);
    }
}

#[test]
fn a_process_or_a_port_that_is_not_there_is_one_clear_error() {
    for (target, error) in [
        (NOBODYS, "nothing listens on port"),
        ("no-such-process", "no process is called no-such-process"),
        ("4194304", "process 4194304"),
        (":http", ":http is no port"),
    ] {
        let ran = run(&["stacks", target]);
        assert_eq!(ran.status, 3, "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(error) && ran.stdout.is_empty(), "{}", ran.stderr);
    }
}

#[test]
fn an_idle_listener_is_healthy() {
    let server = Unaccepted::new(0);
    for arguments in [&["--now"][..], &["--window", "300ms"]] {
        let filter = server.filter();
        let ran = run(&[&["check", &filter], arguments].concat());
        assert_eq!(ran.status, 0, "{}{}", ran.stdout, ran.stderr);
    }
}

#[test]
fn a_port_that_nobody_listens_on_cannot_be_judged() {
    let ran = run(&["check", "--now", NOBODYS]);
    assert_eq!(ran.status, 3, "{}", ran.stdout);
    assert!(ran.stdout.contains("listens"), "{}", ran.stdout);
}

#[test]
fn a_replay_prints_what_the_live_check_printed() {
    let server = Unaccepted::new(2);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("incident.halfopen");
    let file = file.to_str().expect("a UTF-8 path");
    let filter = server.filter();
    let live = run(&["check", "--window", "1500ms", "--record", file, &filter]);
    let replayed = run(&["replay", file, &filter]);
    assert_eq!(replayed.stdout, live.stdout);
    assert_eq!(replayed.status, live.status);
    assert!(live.stdout.contains("never-accepted"), "{}", live.stdout);
    for format in ["json", "markdown"] {
        let once = run(&["replay", "--format", format, file]);
        let twice = run(&["replay", "--format", format, file]);
        assert_eq!(once.stdout, twice.stdout);
    }
}

#[test]
fn json_follows_the_published_schema() {
    let schema = serde_json::from_str(&repository_file("docs/schema/check.json")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let failing = Unaccepted::new(2);
    let idle = Unaccepted::new(0);
    for filter in [failing.filter(), idle.filter(), ":1".to_owned(), String::new()] {
        let ran = run(&["check", "--json", "--window", "200ms", &filter]);
        let report = serde_json::from_str(&ran.stdout).expect("JSON");
        let errors: Vec<String> =
            validator.iter_errors(&report).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{filter:?}: {errors:#?}");
    }
}

#[test]
fn colours_are_for_terminals_only() {
    let server = Unaccepted::new(1);
    let filter = server.filter();
    let piped = run(&["check", "--window", "200ms", &filter]);
    assert!(!piped.stdout.contains('\u{1b}'));
    let mut forced = halfopen(&["check", "--window", "200ms", &filter]);
    let forced = ran(forced.env("CLICOLOR_FORCE", "1").output().expect("the binary starts"));
    assert!(forced.stdout.contains('\u{1b}'));
    let mut no_colour = halfopen(&["check", "--window", "200ms", &filter]);
    no_colour.env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1");
    let no_colour = ran(no_colour.output().expect("the binary starts"));
    assert!(!no_colour.stdout.contains('\u{1b}'));
}

#[test]
fn a_closed_pipe_is_no_error_and_changes_no_verdict() {
    let mut child = halfopen(&["check", "--now", NOBODYS])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(3), "nobody listens there");
}

#[test]
fn an_interrupt_ends_the_window_and_the_report_is_made() {
    let server = Unaccepted::new(1);
    let started = Instant::now();
    let child = halfopen(&["check", "--window", "60s", &server.filter()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    std::thread::sleep(Duration::from_millis(1500));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("our own child");
    let ran = ran(child.wait_with_output().expect("it ends"));
    assert_eq!(ran.status, 2, "{}{}", ran.stdout, ran.stderr);
    assert!(started.elapsed() < Duration::from_secs(30));
}

/// A Java program that runs, killed at the end.
struct Java {
    child: Child,
    output: BufReader<ChildStdout>,
    _classes: TempDir,
}

impl Java {
    /// Starts one of the targets and waits until it says that its threads are where they stay; why it
    /// does not run here otherwise.
    fn start(class: &str) -> Result<Self, String> {
        let classes = tempfile::tempdir().map_err(|error| error.to_string())?;
        let targets = concat!(env!("CARGO_MANIFEST_DIR"), "/../stacks/tests/targets");
        let source = Path::new(targets).join(class).with_extension("java");
        let compiled = Command::new("javac").arg("-d").arg(classes.path()).arg(source).status();
        compiled.map_err(|error| format!("no javac: {error}"))?;
        let mut child = Command::new("java")
            .arg("-cp")
            .arg(classes.path())
            .arg(class)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("no java: {error}"))?;
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut java = Self { child, output, _classes: classes };
        assert_eq!(java.line(), "ready");
        Ok(java)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }
}

impl Drop for Java {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

#[test]
fn a_java_vm_is_asked_only_if_the_user_says_so() {
    let test = "a_java_vm_is_asked_only_if_the_user_says_so";
    let java = match Java::start("Blocked") {
        Ok(java) => java,
        Err(why) => return skipped(test, &why),
    };
    let pid = java.child.id().to_string();
    let text = |ran: &common::Ran| ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    let looked = run(&["stacks", &pid]);
    assert!(text(&looked).contains("with --java it is asked"), "{}", looked.stdout);
    assert!(!looked.stdout.contains("DEADLOCK"), "{}", looked.stdout);
    let asked = run(&["stacks", "--java", &pid]);
    if asked.stdout.contains("not asked") {
        return skipped(test, &text(&asked));
    }
    assert_eq!(asked.status, 2, "{}{}", asked.stdout, asked.stderr);
    assert!(
        text(&asked).contains("DEADLOCK \"acceptor of the \"service\" port\""),
        "{}",
        asked.stdout
    );
    assert!(asked.stdout.contains("Blocked.enter"), "{}", asked.stdout);
}

#[test]
fn a_java_server_whose_accept_thread_died_of_an_exception_misses_it() {
    let test = "a_java_server_whose_accept_thread_died_of_an_exception_misses_it";
    let mut java = match Java::start("Died") {
        Ok(java) => java,
        Err(why) => return skipped(test, &why),
    };
    let address = java.line().parse().expect("an address");
    let text = check_with_clients(&mut java.child, address);
    let served = "; thread \"health\" (tid ";
    let details =
        ["the accepting thread is gone", served, "so a probe of that port notices nothing"];
    misses_its_accepting_thread(test, &text, &details);
}

#[test]
fn a_stop_is_told_before_it_is_made_and_with_its_length() {
    let mut busy = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("sh");
    let ran = run(&["stacks", &busy.id().to_string(), "--ptrace", "--json"]);
    end(&mut busy);
    assert_eq!(ran.status, 0, "{}{}", ran.stdout, ran.stderr);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let stopped = &document["processes"][0]["stopped"];
    let said: Vec<&str> = ran.stderr.lines().filter(|line| line.contains("--ptrace: ")).collect();
    // Whether there is something to stop depends on whether it got a CPU while it was sampled.
    match said.as_slice() {
        [nothing] => {
            assert!(nothing.contains("nothing is stopped in sh["), "{}", ran.stderr);
            assert_eq!((&stopped["tids"], &stopped["total_us"]), (&json!([]), &json!(0)));
        }
        [plan, outcome] => {
            assert!(plan.contains("stops 1 thread of sh[") && plan.contains("EINTR"), "{plan}");
            let was_stopped = stopped["tids"] == json!([busy.id()]);
            assert_eq!(outcome.contains("stopped 1 thread for "), was_stopped, "{outcome}");
        }
        other => panic!("{other:?}"),
    }
}

/// A Go server, and where it listens. `None`, and a line that says so, where there is no Go.
fn go_server(test: &str, arguments: &[&str]) -> Option<(Child, SocketAddr, TempDir)> {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("server");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../stacks/tests/targets/server.go");
    let mut go = Command::new("go");
    go.args(["build", "-o"]).arg(&program).arg(source);
    go.env("GOPROXY", "off").env("GOFLAGS", "").env("GOCACHE", folder.path().join("cache"));
    match go.status() {
        Ok(status) => assert!(status.success()),
        Err(error) => {
            skipped(test, &format!("no go: {error}"));
            return None;
        }
    }
    let mut server = Command::new(&program);
    let mut server =
        server.args(arguments).stdout(Stdio::piped()).spawn().expect("the server starts");
    let output = server.stdout.take().expect("its output");
    let lines: Vec<String> =
        BufReader::new(output).lines().take(2).collect::<Result<_, _>>().expect("two lines");
    let address = lines[1].parse().expect("an address");
    Some((server, address, folder))
}

/// What `check` says, in one line, while clients wait for this server.
fn check_with_clients(server: &mut Child, address: SocketAddr) -> String {
    let connect =
        |_| TcpStream::connect_timeout(&address, Duration::from_secs(5)).expect("a connection");
    let clients: Vec<_> = (0..4).map(connect).collect();
    let ran = run(&["check", "--window", "1500ms", &format!(":{}", address.port())]);
    drop(clients);
    end(server);
    ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What `check` says of a server that has lost its accepting thread, and of the one that serves another
/// port. It is possible only where others wait for what may be a lock, or run and so show no frames.
fn misses_its_accepting_thread(test: &str, text: &str, details: &[&str]) {
    if text.contains("not permitted") {
        return skipped(test, text);
    }
    let is_said = ["accept-thread-missing (probable)", "accept-thread-missing (possible)"];
    assert!(is_said.iter().any(|said| text.contains(said)), "{text}");
    for detail in details {
        assert!(text.contains(detail), "{detail:?} is not in {text}");
    }
}

#[test]
fn the_goroutine_of_a_go_server_that_should_accept_is_named() {
    let test = "the_goroutine_of_a_go_server_that_should_accept_is_named";
    let Some((mut server, address, _folder)) = go_server(test, &[]) else { return };
    let text = check_with_clients(&mut server, address);
    if text.contains("not permitted") {
        return skipped(test, &text);
    }
    assert!(text.contains("accept-blocked (probable)"), "{text}");
    assert!(
        text.contains("waits (semacquire) in main.registerSession at server.go:")
            || text.contains("waits (sync.Mutex.Lock) in main.registerSession at server.go:"),
        "{text}"
    );
    assert!(text.contains("it was called by main.acceptLoop"), "{text}");
}

#[test]
fn a_go_server_whose_accepting_goroutine_has_ended_misses_it() {
    let test = "a_go_server_whose_accepting_goroutine_has_ended_misses_it";
    let Some((mut server, address, _folder)) = go_server(test, &["ended"]) else { return };
    let text = check_with_clients(&mut server, address);
    let ended = "the accepting one has ended; goroutine";
    misses_its_accepting_thread(test, &text, &[ended, "still serves another one (descriptor "]);
}
