//! Reads captures as `read` does, on a thread of its own, some batches ahead of who looks at them.

use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::mpsc::{channel, sync_channel};
use std::thread;

use halfopen_capture::{Observed, Scopes};

use super::input::Complaint;
use super::read::{self, Account, Event, Plan};

/// Batches that wait at most: more would not fit the caches.
const AHEAD: usize = 4;

/// What is sent from one thread to the other.
enum Sent {
    /// A batch, and all scopes if there are new ones.
    Batch(Vec<Observed>, Option<Scopes>),
    Idle(i64),
}

/// Reads all of it, as [`read::read`]; `visit` is called on this thread.
///
/// # Errors
/// As [`read::read`].
pub(super) fn read(
    plan: &Plan,
    mut visit: impl FnMut(Event<'_>) -> ControlFlow<()>,
) -> Result<Account, Complaint> {
    let (send, receive) = sync_channel(AHEAD);
    let (send_back, spare) = channel::<Vec<Observed>>();
    thread::scope(|threads| {
        let reader = threads.spawn(move || {
            let mut known = 0;
            read::read(plan, |event| {
                let sent = match event {
                    Event::Batch(batch, scopes) => {
                        let next = spare.try_recv().unwrap_or_default();
                        let has_more = scopes.count() > known;
                        known = scopes.count();
                        let scopes = has_more.then(|| scopes.clone());
                        Sent::Batch(std::mem::replace(batch, next), scopes)
                    }
                    Event::Idle(now_ns, _) => Sent::Idle(now_ns),
                    Event::End(_) => return ControlFlow::Break(()),
                };
                // Nobody receives any more who has seen enough.
                send.send(sent).map_or(ControlFlow::Break(()), ControlFlow::Continue)
            })
        });
        let mut scopes = Scopes::default();
        for sent in receive {
            let flow = match sent {
                Sent::Batch(mut batch, more) => {
                    scopes = more.unwrap_or(scopes);
                    let flow = visit(Event::Batch(&mut batch, &scopes));
                    batch.clear();
                    // The reader may have ended.
                    let _ = send_back.send(batch);
                    flow
                }
                Sent::Idle(now_ns) => visit(Event::Idle(now_ns, &scopes)),
            };
            if flow.is_break() {
                break;
            }
        }
        let account = reader.join().unwrap_or_else(|panic| resume_unwind(panic));
        let _ = visit(Event::End(&scopes));
        account
    })
}

#[cfg(test)]
mod tests {
    use halfopen_capture::{Filter, Tunnels};

    use super::super::input::Input;
    use super::*;

    /// A capture of SYNs, so many in each of so many VLANs.
    fn capture(vlans: u16, packets: u16) -> Vec<u8> {
        let mut bytes = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0]);
        for vlan in 1..=vlans {
            for _ in 0..packets {
                bytes.extend([0, 0, 0, 1, 0, 0, 0, 0, 58, 0, 0, 0, 58, 0, 0, 0]);
                bytes.extend([0; 12]);
                bytes.extend([0x81, 0x00]);
                bytes.extend(vlan.to_be_bytes());
                bytes.extend([0x08, 0x00, 0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0]);
                bytes.extend([10, 0, 0, 1, 10, 0, 0, 2]);
                bytes
                    .extend([0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0]);
            }
        }
        bytes
    }

    fn plan(path: &str) -> Plan {
        let inputs = vec![Input::new(path).expect("a file")];
        let filter = Filter::default();
        Plan { inputs, filter, tunnels: Tunnels::default(), follow: false, clocks: Vec::new() }
    }

    /// The record and the scope of each segment, until there were so many.
    fn seen(event: Event<'_>, seen: &mut Vec<(u64, String)>, most: usize) -> ControlFlow<()> {
        if let Event::Batch(batch, scopes) = event {
            for observed in batch.iter() {
                let Observed::Segment(segment) = observed else { panic!("{observed:?}") };
                seen.push((segment.record, scopes.name(segment.scope).expect("a name")));
            }
        }
        if seen.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    #[test]
    fn what_is_read_ahead_is_what_is_read() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), capture(40, 500)).expect("written");
        let plan = plan(file.path().to_str().expect("UTF-8"));
        for most in [usize::MAX, 3000] {
            let (mut here, mut ahead) = (Vec::new(), Vec::new());
            read::read(&plan, |event| seen(event, &mut here, most)).expect("read");
            let account = read(&plan, |event| seen(event, &mut ahead, most)).expect("read");
            assert!(account.packets >= here.len() as u64);
            assert_eq!(here.len(), if most == 3000 { 3072 } else { 20_000 });
            assert_eq!(here[1024], (1025, "vlan 3".to_owned()));
            assert_eq!(here, ahead);
        }
    }
}
