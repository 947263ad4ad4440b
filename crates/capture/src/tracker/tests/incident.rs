//! A listing of a real incident: a backlog that an old kernel had cut to zero (`backlog-truncated`).

use halfopen_evidence::{IgnoredEnd, Mark, Outcome};

use super::{check, families, told};

const LISTING: &str = "client 54.159262 S
    server 54.159323 S.
    client 54.159338 .
    server 55.358435 S.
    client 55.358441 .
    server 57.358422 S.
    client 57.358431 .
    client 114.158495 .
    server 114.158549 R";

#[test]
fn the_client_is_established_the_server_never_took_it_and_a_probe_ends_it() {
    let ended = IgnoredEnd::ResetByProbe;
    check(LISTING, &[(Outcome::ThirdAckIgnored { ended }, &[Mark::HalfOpenClosed])]);
    let told = told(LISTING, families()[0]);
    assert_eq!((told[0].syns.count, told[0].syn_acks.count), (1, 3));
    assert_eq!(told[0].syn_acks.at_us, [61, 1_199_173, 3_199_160]);
    assert_eq!(told[0].stages.connect_ns, Some(76_000));
}
