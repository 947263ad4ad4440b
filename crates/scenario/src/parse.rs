//! From the text of a scenario file to a [`Scenario`].

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::Problem;
use crate::fields::{Fields, integer, texts_of};
use crate::known::Known;
use crate::parse_steps::step;
use crate::{Arrivals, Clients, Handshakes, Need, Scenario, ScenarioError, Step, Then, Way};

impl Scenario {
    /// Reads the text of the scenario called `name`.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its line and column; the file is given as `NAME.toml`.
    pub fn parse(name: &str, text: &str) -> Result<Self, ScenarioError> {
        scenario(name, text).map_err(|problem| problem.locate(&format!("{name}.toml"), text))
    }
}

fn scenario(name: &str, text: &str) -> Result<Scenario, Problem> {
    let document = DeTable::parse(text).map_err(|error| {
        Problem::new(error.span().unwrap_or_default(), error.message().to_owned())
    })?;
    let fields = Fields::of(document.get_ref(), 0..0);
    let about = fields.required("about", fields.text("about")?)?.to_owned();
    let incident = fields.number("incident", 1..=999)?;
    let expect = finding_ids(fields.required("expect", fields.value("expect"))?, &fields)?;
    let says = says(&fields, &expect)?;
    let kernel = kernel_name(&fields, "kernel")?;
    let clients_kernel = kernel_name(&fields, "clients_kernel")?;
    let parity = fields.yes_or_no("parity")?.unwrap_or(false);
    let needs = needs(&fields)?;
    let sysctl = match fields.table("sysctl")? {
        Some(table) => settings(&table)?,
        None => Vec::new(),
    };
    let mut steps = Vec::new();
    let mut known = Known::default();
    for step_fields in fields.tables("step")? {
        let at = step_fields.at();
        let step = step(step_fields, &known)?;
        check_needs(&step, &needs, &at)?;
        known.follow(&step, &at)?;
        steps.push(step);
    }
    if steps.is_empty() {
        return Err(Problem::new(fields.at(), "there is no [[step]]"));
    }
    fields.finish()?;
    let name = name.to_owned();
    Ok(Scenario {
        name,
        about,
        incident,
        expect,
        says,
        kernel,
        clients_kernel,
        parity,
        needs,
        sysctl,
        steps,
    })
}

fn finding_ids(_: &Spanned<DeValue<'_>>, fields: &Fields<'_>) -> Result<Vec<String>, Problem> {
    let ids = fields.texts("expect")?;
    for (id, at) in &ids {
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') {
            return Err(Problem::new(at.clone(), format!("\"{id}\" is not a finding's id")));
        }
    }
    if let Some(pair) = ids.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
        let message = format!("\"{}\" must stand in alphabetical order, and once", pair[1].0);
        return Err(Problem::new(pair[1].1.clone(), message));
    }
    Ok(ids.into_iter().map(|(id, _)| id.to_owned()).collect())
}

/// What findings that are expected must say.
fn says(fields: &Fields<'_>, expect: &[String]) -> Result<Vec<(String, Vec<String>)>, Problem> {
    let Some(table) = fields.table("says")? else { return Ok(Vec::new()) };
    let said = |(id, value): (&str, &Spanned<DeValue<'_>>)| {
        if !expect.iter().any(|expected| expected == id) {
            return Err(Problem::new(value.span(), format!("\"{id}\" is not expected")));
        }
        let texts = texts_of(id, value)?.into_iter().map(|(text, _)| text.to_owned());
        Ok((id.to_owned(), texts.collect()))
    };
    table.all().map(said).collect()
}

/// A release as `uname -r` prints it, or another name of a kernel. What it means is not this crate's
/// business.
fn kernel_name(fields: &Fields<'_>, key: &'static str) -> Result<Option<String>, Problem> {
    let Some(name) = fields.text(key)? else { return Ok(None) };
    let is_visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    if name.len() > 64 || !name.bytes().all(is_visible) {
        let message = format!("`{key}` must be a kernel such as \"3.10.4\" or \"rhel7\"");
        return Err(Problem::new(fields.at_field(key), message));
    }
    Ok(Some(name.to_owned()))
}

fn needs(fields: &Fields<'_>) -> Result<Vec<Need>, Problem> {
    let need = |(word, at): (&str, Range<usize>)| match word {
        "tun" => Ok(Need::Tun),
        "cpu-quota" => Ok(Need::CpuQuota),
        "freezer" => Ok(Need::Freezer),
        "simulator" => Ok(Need::Simulator),
        _ => Err(Problem::new(
            at,
            format!(
                "\"{word}\" is not a need; known are \"tun\", \"cpu-quota\", \"freezer\", \
                 \"simulator\""
            ),
        )),
    };
    fields.texts("needs")?.into_iter().map(need).collect()
}

/// Kernel settings. Only those of a network namespace: others would change the whole machine.
pub(crate) fn settings(fields: &Fields<'_>) -> Result<Vec<(String, String)>, Problem> {
    let setting = |(name, value): (&str, &Spanned<DeValue<'_>>)| {
        let harmless = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_');
        if !name.starts_with("net.") || name.contains("..") || !name.bytes().all(harmless) {
            let message = format!("`{name}` is not a setting of a network namespace (net.…)");
            return Err(Problem::new(value.span(), message));
        }
        let text = value.get_ref().as_str().map(str::to_owned);
        let text = text.or_else(|| integer(value.get_ref()).map(|number| number.to_string()));
        let text = text.ok_or_else(|| {
            Problem::new(value.span(), format!("`{name}` must be a number or a text"))
        })?;
        Ok((name.to_owned(), text))
    };
    fields.all().map(setting).collect()
}

/// A step that needs the wire says so at the top of the file, where `lab list` looks.
fn check_needs(step: &Step, needs: &[Need], at: &Range<usize>) -> Result<(), Problem> {
    let on_wire = |clients: &Clients| {
        clients.way == Way::Wire || matches!(clients.handshakes, Handshakes::HalfOpen { .. })
    };
    let remote = match step {
        Step::Connect(clients) => clients.way == Way::Network,
        Step::Arrivals(arrivals) => arrivals.at_random || arrivals.clients.way == Way::Network,
        Step::Serve(server) => server.host.is_some(),
        Step::Network(_) | Step::Conntrack { .. } => true,
        _ => false,
    };
    if remote && !needs.contains(&Need::Simulator) {
        let message = "this step needs the simulator: say needs = [\"simulator\"]";
        return Err(Problem::new(at.clone(), message));
    }
    let simulated = needs.contains(&Need::Simulator);
    let wire = match step {
        Step::Connect(clients) | Step::Arrivals(Arrivals { clients, .. }) => on_wire(clients),
        Step::Path(_) | Step::Peers(_) | Step::PeersSend(_) => true,
        Step::Serve(server) => {
            server.all_threads().any(|thread| matches!(thread.then, Then::Connect { .. }))
        }
        Step::Await { .. }
        | Step::Stop { .. }
        | Step::Freeze { .. }
        | Step::Close { .. }
        | Step::Reset { .. }
        | Step::Send { .. }
        | Step::Accept { .. }
        | Step::Listen { .. }
        | Step::End { .. }
        | Step::Pass { .. }
        | Step::Look { .. }
        | Step::Network(_)
        | Step::Conntrack { .. }
        | Step::Sysctl { .. } => false,
    };
    if wire && !simulated && !needs.contains(&Need::Tun) {
        return Err(Problem::new(at.clone(), "this step needs the wire: say needs = [\"tun\"]"));
    }
    let group = match step {
        Step::Serve(server) if server.cpu.is_some() => Some(Need::CpuQuota),
        Step::Freeze { .. } => Some(Need::Freezer),
        _ => None,
    };
    match group {
        Some(need) if !simulated && !needs.contains(&need) => {
            let need = need.as_str();
            let message = format!("this step needs a control group: say needs = [\"{need}\"]");
            Err(Problem::new(at.clone(), message))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Condition, Counted, Handshakes, Listen, OnConnection, Server, ThreadPlan, Waits};

    const HEAD: &str = "about = \"x\"\nexpect = []\n";

    /// The place and the message of what is wrong with a file.
    fn check_refused(text: &str, expected: &str) {
        let error = Scenario::parse("bad", text).expect_err("the file is refused");
        assert_eq!(error.to_string(), format!("bad.toml:{expected}"));
    }

    fn check_step_refused(step: &str, expected: &str) {
        check_refused(&format!("{HEAD}[[step]]\n{step}"), expected);
    }

    #[test]
    fn a_scenario_is_read_whole() {
        let text = r#"
            about = "nobody accepts"
            incident = 1
            expect = ["accept-blocked", "never-accepted"]
            says = { accept-blocked = ["sleeps"] }
            sysctl = { "net.core.somaxconn" = 16 }
            [[step]]
            do = "serve"
            process = "web"
            listen = [{ port = 8080, backlog = -1 }]
            threads = [{ port = 8080, accepts = 0, then = "sleep", work = "3ms", pause = "20ms" }]
            [[step]]
            do = "connect"
            port = 8080
            count = 6
            handshakes = "overlapping"
            [[step]]
            do = "await"
            queue = { port = 8080, at_least = 6 }
            within = "3s"
        "#;
        let thread = ThreadPlan {
            name: "web".to_owned(),
            port: Some(8080),
            waits: Waits::Accept,
            accepts: Some(0),
            connection: OnConnection::Serve,
            work: Duration::from_millis(3),
            pause: Duration::from_millis(20),
            then: Then::Sleep,
            holds: None,
        };
        let server = Server {
            process: "web".to_owned(),
            host: None,
            copies: 1,
            except: Vec::new(),
            open_files: None,
            cpu: None,
            listen: vec![Listen { port: 8080, backlog: -1, reuseport: false, defer_accept: None }],
            threads: vec![thread],
        };
        let clients = Clients {
            name: "clients".to_owned(),
            port: 8080,
            count: 6,
            way: Way::Loopback,
            handshakes: Handshakes::Overlapping,
            remote: None,
            sends: 0,
        };
        let condition = Condition::Queue { port: 8080, count: Counted::AtLeast(6) };
        let expected = Scenario {
            name: "test".to_owned(),
            about: "nobody accepts".to_owned(),
            incident: Some(1),
            expect: vec!["accept-blocked".to_owned(), "never-accepted".to_owned()],
            says: vec![("accept-blocked".to_owned(), vec!["sleeps".to_owned()])],
            kernel: None,
            clients_kernel: None,
            parity: false,
            needs: vec![],
            sysctl: vec![("net.core.somaxconn".to_owned(), "16".to_owned())],
            steps: vec![
                Step::Serve(server),
                Step::Connect(clients),
                Step::Await { condition, within: Duration::from_secs(3) },
            ],
        };
        assert_eq!(Scenario::parse("test", text), Ok(expected));
    }

    #[test]
    fn text_that_is_no_toml_is_refused_where_it_breaks() {
        check_refused("about = \"x\"\nexpect = [\n", "2:11: unclosed array, expected `]`");
    }

    #[test]
    fn what_every_scenario_has_is_required() {
        check_refused("expect = []\n", "1:1: `about` is missing");
        check_refused("about = \"x\"\n", "1:1: `expect` is missing");
        check_refused(HEAD, "1:1: there is no [[step]]");
    }

    #[test]
    fn expected_ids_are_in_order_so_that_a_pair_is_written_in_one_way() {
        check_refused(
            "about = \"x\"\nexpect = [\"b\", \"a\"]\n",
            "2:16: \"a\" must stand in alphabetical order, and once",
        );
        check_refused(
            "about = \"x\"\nexpect = [\"Accept Blocked\"]\n",
            "2:11: \"Accept Blocked\" is not a finding's id",
        );
    }

    #[test]
    fn only_what_is_expected_can_be_expected_to_say_something() {
        check_refused(
            "about = \"x\"\nexpect = [\"a\"]\nsays = { b = [\"x\"] }\n",
            "3:14: \"b\" is not expected",
        );
    }

    #[test]
    fn a_lock_that_is_waited_for_is_held_by_one_thread() {
        let serve = |threads: &str| {
            format!(
                "do = \"serve\"\nprocess = \"web\"\nlisten = [{{ port = 1, backlog = 1 }}]\n\
                 threads = [{threads}]\n"
            )
        };
        check_step_refused(
            &serve("{ then = \"lock\", then_lock = \"a\", holds = \"b\" }"),
            "7:11: no thread holds \"a\", for which \"web\" waits",
        );
        check_step_refused(
            &serve("{ holds = \"a\" }, { name = \"x\", holds = \"a\" }"),
            "7:29: another thread holds \"a\"",
        );
        check_step_refused(&serve("{ then = \"lock\" }"), "7:12: `then_lock` is missing");
    }

    #[test]
    fn only_settings_of_a_network_namespace_can_be_changed() {
        for name in ["kernel.panic", "net..core", "net.core/../../kernel.panic"] {
            check_refused(
                &format!("{HEAD}[sysctl]\n\"{name}\" = 1\n"),
                &format!(
                    "4:{}: `{name}` is not a setting of a network namespace (net.…)",
                    name.len() + 6
                ),
            );
        }
    }

    #[test]
    fn an_unknown_word_is_refused_with_the_known_ones() {
        check_step_refused(
            "do = \"connect\"\nport = 1\nway = \"sea\"\n",
            "6:7: `way` is \"sea\", but must be one of \"loopback\", \"wire\", \"network\"",
        );
        check_step_refused("do = \"stop\"\nproces = \"web\"\n", "3:1: `process` is missing");
        check_step_refused(
            "do = \"stop\"\nprocess = \"web\"\nport = 1\n",
            "6:1: `port` is unknown here; known are `do`, `process`",
        );
    }

    #[test]
    fn numbers_and_times_are_bounded() {
        check_step_refused(
            "do = \"connect\"\nport = 1\ncount = 1_000_000\n",
            "6:9: `count` must be from 1 to 2000",
        );
        check_step_refused(
            "do = \"connect\"\nport = \"http\"\n",
            "5:8: `port` must be a number, not of type string",
        );
        check_step_refused(
            "do = \"arrivals\"\nport = 1\nat_most = 1\nevery = \"1ms\"\n",
            "7:9: `every` must be at least \"5ms\"",
        );
        check_step_refused(
            "do = \"arrivals\"\nport = 1\nat_most = 1\nevery = \"99999999999999999999s\"\n",
            "7:9: `every` must be a time such as \"200ms\", \"5s\" or \"1m\"",
        );
    }

    #[test]
    fn a_step_on_the_wire_without_the_need_is_refused() {
        check_step_refused(
            "do = \"path\"\nloses = \"syns\"\nport = 80\n",
            "3:1: this step needs the wire: say needs = [\"tun\"]",
        );
    }

    #[test]
    fn a_path_loses_or_rejects_with_an_answer_that_iptables_knows() {
        for (step, expected) in [
            ("loses = \"syns\"\nwith = \"tcp-reset\"", "6:8: `with` belongs to `rejects`"),
            (
                "loses = \"syns\"\nrejects = \"syns\"",
                "6:11: a path either `loses` or `rejects`; two steps can do both",
            ),
            ("", "3:1: `loses` or `rejects` is missing"),
            (
                "rejects = \"syns\"\nwith = \"icmp\"",
                "6:8: `with` is \"icmp\", but must be one of \"tcp-reset\", \"icmp-net-unreachable\", \
                 \"icmp-host-unreachable\", \"icmp-port-unreachable\", \"icmp-admin-prohibited\"",
            ),
        ] {
            check_step_refused(&format!("do = \"path\"\n{step}\nport = 80\n"), expected);
        }
    }

    #[test]
    fn cpu_quotas_are_those_that_the_kernel_takes() {
        let serve = |quota: &str, period: &str| {
            format!(
                "do = \"serve\"\nprocess = \"web\"\nlisten = [{{ port = 80, backlog = 1 }}]\n\
                 threads = [{{ port = 80 }}]\n\
                 cpu = {{ quota = \"{quota}\", period = \"{period}\" }}\n"
            )
        };
        check_step_refused(
            &serve("5ms", "100ms"),
            "3:1: this step needs a control group: say needs = [\"cpu-quota\"]",
        );
        for (quota, period) in [("900us", "100ms"), ("5ms", "2s"), ("0s", "100ms")] {
            check_step_refused(
                &serve(quota, period),
                "8:7: `quota` must be at least \"1ms\", and `period` from \"1ms\" to \"1s\"",
            );
        }
        check_step_refused(
            "do = \"serve\"\nprocess = \"web\"\nlisten = [{ port = 80, backlog = 1 }]\n\
             threads = [{ port = 80 }]\ncpu = { quota = \"5ms\" }\n",
            "8:7: `period` is missing",
        );
    }

    #[test]
    fn a_step_awaits_one_state() {
        check_step_refused("do = \"await\"\n", "3:1: an await step has exactly one condition");
        check_step_refused(
            "do = \"await\"\nqueue = { port = 1 }\n",
            "5:9: either `at_least` or `at_most` is required",
        );
    }

    #[test]
    fn the_main_thread_bears_the_name_of_its_process_and_does_not_exit() {
        let serve = "do = \"serve\"\nprocess = \"web\"\nlisten = [{ port = 1, backlog = 1 }]\n";
        check_step_refused(
            &format!("{serve}threads = [{{ port = 1, then = \"exit\" }}]\n"),
            "7:12: the first thread is the main one: named as its process, it cannot exit",
        );
        check_step_refused(
            &format!("{serve}threads = [{{ port = 2 }}]\n"),
            "7:12: the thread's `port` is none of `listen`",
        );
    }

    #[test]
    fn a_copy_can_be_unlike_the_others() {
        let serve = |copies: &str| {
            format!(
                "{HEAD}[[step]]\ndo = \"serve\"\nprocess = \"web\"\n\
                 listen = [{{ port = 80, backlog = 1 }}]\nthreads = [{{ port = 80 }}]\n{copies}\n"
            )
        };
        let text = serve("copies = 2\nexcept = [{ copy = 2, threads = [{ accepts = 1 }] }]");
        let scenario = Scenario::parse("x", &text).expect("a scenario");
        let Step::Serve(server) = &scenario.steps[0] else { panic!("a server is expected") };
        let accepts = [1, 2].map(|copy| server.threads_of(copy)[0].accepts);
        assert_eq!((server.shares_its_listener(), accepts), (true, [None, Some(1)]));
        check_refused(
            &serve("copies = 2\nexcept = [{ copy = 3, threads = [{ port = 80 }] }]"),
            "9:20: `copy` must be from 1 to 2",
        );
        check_refused(
            &serve("copies = 2\nexcept = [{ copy = 2 }]"),
            "9:11: `threads` is missing, or empty",
        );
        let twice = "{ copy = 1, threads = [{ port = 80 }] }";
        check_refused(
            &serve(&format!("copies = 2\nexcept = [{twice}, {twice}]")),
            "9:52: copy 1 is excepted twice",
        );
    }

    #[test]
    fn copies_that_share_a_listener_have_one_and_are_not_told() {
        let serve = |listen: &str, threads: &str| {
            format!(
                "do = \"serve\"\nprocess = \"web\"\ncopies = 2\nlisten = [{listen}]\n\
                 threads = [{threads}]\n"
            )
        };
        let (one, other) = ("{ port = 80, backlog = 1 }", "{ port = 81, backlog = 1 }");
        let message = "3:1: copies without `reuseport` share one listener, and none of their threads \
                       waits to be told";
        check_step_refused(&serve(&format!("{one}, {other}"), "{ port = 80 }"), message);
        check_step_refused(&serve(one, "{ port = 80, waits = \"told\" }"), message);
        let again = "[[step]]\ndo = \"listen\"\nprocess = \"web\"\nport = 80\nbacklog = 2\n";
        check_step_refused(
            &(serve(one, "{ port = 80 }") + again),
            "9:1: the copies of \"web\" share their listener",
        );
    }

    #[test]
    fn only_threads_that_wait_to_be_told_are_told() {
        let serve = |threads: &str| {
            let listen = "listen = [{ port = 80, backlog = 1 }]";
            format!(
                "do = \"serve\"\nprocess = \"web\"\n{listen}\nthreads = [{threads}]\n[[step]]\n"
            )
        };
        let (told, other) = ("{ port = 80, waits = \"told\" }", "{ port = 80 }");
        check_step_refused(
            &(serve(other) + "do = \"accept\"\nport = 80\n"),
            "8:1: no thread waits to be told (waits = \"told\") on port 80",
        );
        check_step_refused(
            &(serve(told) + "do = \"accept\"\nport = 80\nprocess = \"job\"\n"),
            "8:1: no thread waits to be told (waits = \"told\") on port 80",
        );
        check_step_refused(
            &serve("{ port = 80, waits = \"told\", accepts = 1 }"),
            "7:12: a thread that waits to be told has a `port` and no `accepts`",
        );
        check_step_refused(
            &serve(
                "{ port = 80, waits = \"told\" }, { name = \"b\", port = 80, waits = \"told\" }",
            ),
            "7:43: another thread waits to be told on this port",
        );
    }

    #[test]
    fn a_step_speaks_only_of_what_is_there() {
        check_step_refused(
            "do = \"listen\"\nprocess = \"web\"\nport = 80\nbacklog = 1\n",
            "3:1: \"web\" does not listen on port 80",
        );
        check_step_refused("do = \"end\"\nprocess = \"web\"\n", "3:1: there is no process \"web\"");
        check_step_refused(
            "do = \"send\"\nclients = \"late\"\nbytes = 1\n",
            "3:1: there are no clients \"late\" yet",
        );
    }

    #[test]
    fn time_passes_within_bounds() {
        for time in ["99ms", "121s"] {
            check_step_refused(
                &format!("do = \"pass\"\ntime = \"{time}\"\n"),
                "5:8: `time` must be from \"100ms\" to \"120s\"",
            );
        }
    }

    #[test]
    fn a_scenario_can_be_about_one_kernel() {
        let text = format!("kernel = \"3.10.4\"\nparity = true\n{HEAD}[[step]]\ndo = \"look\"\n");
        let scenario = Scenario::parse("x", &text).expect("a scenario");
        assert_eq!((scenario.kernel.as_deref(), scenario.parity), (Some("3.10.4"), true));
        check_refused(
            &format!("kernel = \"\\u001b[31m\"\n{HEAD}"),
            "1:10: `kernel` must be a kernel such as \"3.10.4\" or \"rhel7\"",
        );
    }
}
