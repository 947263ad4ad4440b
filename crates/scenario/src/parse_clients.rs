//! From a `connect` or `arrivals` step to [`Clients`] and [`Arrivals`]. What a machine must open is
//! bounded lower than what a simulator only counts.

use std::time::Duration;

use crate::error::Problem;
use crate::fields::Fields;
use crate::parse_steps::{BYTES_AT_MOST, port};
use crate::{Arrivals, Clients, Handshakes, Network, Remote, Way};

pub(crate) fn clients(fields: &Fields<'_>) -> Result<Clients, Problem> {
    #[derive(Clone, Copy)]
    enum Word {
        InTurn,
        Overlapping,
        HalfOpen,
    }
    let words = [
        ("in-turn", Word::InTurn),
        ("overlapping", Word::Overlapping),
        ("half-open", Word::HalfOpen),
    ];
    let handshakes = match fields.word("handshakes", &words)?.unwrap_or(Word::InTurn) {
        Word::InTurn => Handshakes::InTurn,
        Word::Overlapping => Handshakes::Overlapping,
        Word::HalfOpen => {
            Handshakes::HalfOpen { unroutable: fields.yes_or_no("unroutable")?.unwrap_or(false) }
        }
    };
    let ways = [("loopback", Way::Loopback), ("wire", Way::Wire), ("network", Way::Network)];
    let way = fields.word("way", &ways)?.unwrap_or(Way::Loopback);
    let at_most = if way == Way::Network { 10_000_000 } else { 2_000 };
    Ok(Clients {
        name: fields.text("clients")?.unwrap_or("clients").to_owned(),
        port: port(fields)?,
        count: fields.number("count", 1..=at_most)?.unwrap_or(1),
        way,
        handshakes,
        sends: fields.number("sends", 0..=BYTES_AT_MOST)?.unwrap_or(0),
        remote: (way == Way::Network).then(|| remote(fields)).transpose()?,
    })
}

fn remote(fields: &Fields<'_>) -> Result<Remote, Problem> {
    Ok(Remote {
        to: fields.texts("to")?.into_iter().map(|(host, _)| host.to_owned()).collect(),
        keepalive: fields.duration("keepalive")?,
        reconnects: fields.duration("reconnects")?,
        talks: fields.duration("talks")?,
    })
}

pub(crate) fn arrivals(fields: &Fields<'_>) -> Result<Arrivals, Problem> {
    let clients = clients(fields)?;
    let every = fields.required("every", fields.duration("every")?)?;
    let simulated = clients.way == Way::Network;
    if !simulated && every < Duration::from_millis(5) {
        return Err(Problem::new(fields.at_field("every"), "`every` must be at least \"5ms\""));
    }
    if every.is_zero() {
        return Err(Problem::new(fields.at_field("every"), "`every` must not be zero"));
    }
    let most = if simulated { 100_000_000 } else { 100_000 };
    Ok(Arrivals {
        clients,
        every,
        at_random: fields.yes_or_no("at_random")?.unwrap_or(false),
        at_most: fields.required("at_most", fields.number("at_most", 1..=most)?)?,
        patience: fields.duration("patience")?,
        stays: fields.duration("stays")?,
    })
}

pub(crate) fn network(fields: &Fields<'_>) -> Result<Network, Problem> {
    Ok(Network {
        delay: fields.required("delay", fields.duration("delay")?)?,
        jitter: fields.duration("jitter")?.unwrap_or_default(),
        lost_per_thousand: fields.number("lost_per_thousand", 0..=1000)?.unwrap_or(0),
        late_per_thousand: fields.number("late_per_thousand", 0..=1000)?.unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Scenario, Step};

    fn step(step: &str) -> Result<Step, String> {
        let text =
            format!("about = \"x\"\nexpect = []\nneeds = [\"simulator\"]\n[[step]]\n{step}\n");
        let scenario = Scenario::parse("x", &text).map_err(|error| error.to_string())?;
        Ok(scenario.steps[0].clone())
    }

    #[test]
    fn remote_clients_live_longer_than_one_connection() {
        let text = "do = \"arrivals\"\nport = 80\nway = \"network\"\ncount = 1_000_000\nto = [\"server\"]\nevery = \"50us\"\nat_random = true\nat_most = 5_000_000\nkeepalive = \
                    \"60s\"\nreconnects = \"2s\"";
        let Ok(Step::Arrivals(arrivals)) = step(text) else { panic!("{:?}", step(text)) };
        assert_eq!(arrivals.every, Duration::from_micros(50));
        assert!(arrivals.at_random);
        let remote = Remote {
            to: vec!["server".to_owned()],
            keepalive: Some(Duration::from_secs(60)),
            reconnects: Some(Duration::from_secs(2)),
            talks: None,
        };
        assert_eq!(arrivals.clients.remote, Some(remote));
    }

    #[test]
    fn remote_clients_connect_to_hosts_that_are_there() {
        let text = "do = \"connect\"\nport = 80\nway = \"network\"\nto = [\"server\", \"b3\"]";
        assert_eq!(step(text), Err("x.toml:4:1: there is no host \"b3\" yet".to_owned()));
        let text = "do = \"serve\"\nprocess = \"a\"\nhost = \"clients\"\nlisten = [{ port = 80, \
                    backlog = 1 }]\nthreads = [{ port = 80 }]";
        let message = "x.toml:4:1: \"clients\" is the host of remote clients";
        assert_eq!(step(text), Err(message.to_owned()));
    }

    #[test]
    fn a_network_has_a_delay() {
        let expected = Network {
            delay: Duration::from_millis(20),
            jitter: Duration::from_millis(2),
            lost_per_thousand: 5,
            late_per_thousand: 0,
        };
        let text = "do = \"network\"\ndelay = \"20ms\"\njitter = \"2ms\"\nlost_per_thousand = 5";
        assert_eq!(step(text), Ok(Step::Network(expected)));
        assert_eq!(step("do = \"network\""), Err("x.toml:4:1: `delay` is missing".to_owned()));
    }

    #[test]
    fn what_only_remote_clients_do_is_unknown_of_others() {
        let error = step("do = \"connect\"\nport = 80\nreconnects = \"1s\"");
        let known = "`clients`, `count`, `do`, `handshakes`, `port`, `sends`, `way`";
        let message = format!("x.toml:7:1: `reconnects` is unknown here; known are {known}");
        assert_eq!(error, Err(message));
    }
}
