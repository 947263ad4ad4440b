//! From a `peers` step to new raw peers, or to a segment of those that are there: the first SYN of a
//! group brings it in, and says all that is said of it but once.

use std::ops::RangeInclusive;

use crate::error::Problem;
use crate::fields::Fields;
use crate::known::Known;
use crate::parse_steps::port;
use crate::{PeerSegment, Peers, PeersSend, Step};

/// The most that one host sends in one segment over the wire, whose packets have 1500 bytes.
const SEGMENT: RangeInclusive<i64> = 1..=1_400;

pub(crate) fn peers(fields: &Fields<'_>, known: &Known) -> Result<Step, Problem> {
    let name = fields.text("peers")?.unwrap_or("peers").to_owned();
    let segment = segment(fields)?;
    match known.peers(&name) {
        None if segment == PeerSegment::Syn => Ok(Step::Peers(Peers {
            name,
            port: port(fields)?,
            count: fields.number("count", 1..=2_000)?.unwrap_or(1),
            answers: fields.yes_or_no("answers")?.unwrap_or(false),
        })),
        None => {
            let message =
                format!("there are no peers \"{name}\" yet: the first they send is a SYN");
            Err(Problem::new(fields.at_field("send"), message))
        }
        Some(members) => {
            let count = fields.number("count", 1..=i64::from(members))?.unwrap_or(members);
            Ok(Step::PeersSend(PeersSend { peers: name, count, segment }))
        }
    }
}

fn segment(fields: &Fields<'_>) -> Result<PeerSegment, Problem> {
    const DATA: PeerSegment = PeerSegment::Data { bytes: 16 };
    let words = [
        ("syn", PeerSegment::Syn),
        ("ack", PeerSegment::Ack),
        ("bad-ack", PeerSegment::BadAck),
        ("data", DATA),
        ("rst", PeerSegment::Rst),
        ("fin", PeerSegment::Fin),
    ];
    let segment = fields.required("send", fields.word("send", &words)?)?;
    if segment != DATA {
        return Ok(segment);
    }
    let bytes = fields.number("bytes", SEGMENT)?;
    Ok(bytes.map_or(DATA, |bytes| PeerSegment::Data { bytes }))
}

#[cfg(test)]
mod tests {
    use crate::{PeerSegment, Peers, PeersSend, Scenario, Step};

    /// The step that follows the SYNs of four peers.
    fn check(step: &str, expected: Result<Step, &str>) {
        let text = format!(
            "about = \"x\"\nexpect = []\nneeds = [\"tun\"]\n\
             [[step]]\ndo = \"peers\"\nsend = \"syn\"\nport = 80\ncount = 4\n\
             [[step]]\n{step}\n"
        );
        let found = Scenario::parse("x", &text).map(|scenario| scenario.steps[1].clone());
        let expected = expected.map_err(|error| format!("x.toml:{error}"));
        assert_eq!(found.map_err(|error| error.to_string()), expected);
    }

    fn sent(count: u32, segment: PeerSegment) -> Result<Step, &'static str> {
        Ok(Step::PeersSend(PeersSend { peers: "peers".to_owned(), count, segment }))
    }

    #[test]
    fn the_first_syn_brings_a_group_in_and_later_segments_are_of_its_members() {
        let new = Peers { name: "late".to_owned(), port: 81, count: 1, answers: true };
        check(
            "do = \"peers\"\npeers = \"late\"\nsend = \"syn\"\nport = 81\nanswers = true",
            Ok(Step::Peers(new)),
        );
        check("do = \"peers\"\nsend = \"syn\"", sent(4, PeerSegment::Syn));
        check("do = \"peers\"\nsend = \"ack\"\ncount = 2", sent(2, PeerSegment::Ack));
        check("do = \"peers\"\nsend = \"data\"", sent(4, PeerSegment::Data { bytes: 16 }));
        check(
            "do = \"peers\"\nsend = \"data\"\nbytes = 100",
            sent(4, PeerSegment::Data { bytes: 100 }),
        );
    }

    #[test]
    fn peers_that_are_not_there_cannot_send() {
        check(
            "do = \"peers\"\npeers = \"late\"\nsend = \"ack\"",
            Err("12:8: there are no peers \"late\" yet: the first they send is a SYN"),
        );
        check(
            "do = \"peers\"\nsend = \"ack\"\ncount = 5",
            Err("12:9: `count` must be from 1 to 4"),
        );
    }

    #[test]
    fn what_is_said_of_a_group_is_said_once() {
        for (field, known) in [
            ("port = 80", "`count`, `do`, `peers`, `send`"),
            ("answers = true", "`count`, `do`, `peers`, `send`"),
            ("bytes = 16", "`count`, `do`, `peers`, `send`"),
        ] {
            let name = field.split(' ').next().unwrap_or_default();
            check(
                &format!("do = \"peers\"\nsend = \"ack\"\n{field}"),
                Err(&format!("12:1: `{name}` is unknown here; known are {known}")),
            );
        }
    }
}
