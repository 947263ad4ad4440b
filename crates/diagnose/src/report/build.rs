//! Makes a report: narrows evidence and diagnosis to what the filter matches, and writes them down.

use std::collections::BTreeMap;

use halfopen_evidence::{
    CloseWaitSide, Cookie, EndpointKey, Evidence, Gap, HolderSearch, Holders, Interval, Netns,
    NetnsId, Reading,
};

use super::entries::{
    AcceptQueueEntry, FactEntry, FindingEntry, GapEntry, HostEntry, ListenerEntry, NetnsEntry,
    ProcessEntry, SearchEntry, SeenNetnsEntry, SubjectEntry, SubjectName, UndecidedEntry,
    UndeterminedEntry, Verdict,
};
use super::{Report, SCHEMA, Status, time, verdict};
use crate::filter::Truth;
use crate::{
    Context, Diagnosis, Filter, Finding, ListenerView, Severity, Subject, SubjectKind, Undetermined,
};

pub(super) fn report(
    evidence: &Evidence,
    diagnosis: &Diagnosis,
    filter: &Filter,
    tool_version: &str,
) -> Report {
    let context = Context::new(evidence);
    let scope = Scope::new(&context, filter);
    let latest = evidence.latest();
    let mut undecided = UndecidedEntry { listeners: scope.undecided, findings: 0 };
    let mut findings = Vec::new();
    for finding in &diagnosis.findings {
        match scope.truth(&finding.subject) {
            Truth::Yes => findings.push(finding),
            Truth::Unknown => undecided.findings += 1,
            Truth::No => {}
        }
    }
    let undetermined: Vec<&Undetermined> = diagnosis
        .undetermined
        .iter()
        .filter(|undetermined| scope.truth(&undetermined.subject) == Truth::Yes)
        .collect();
    let mut report = Report {
        schema: SCHEMA.to_owned(),
        tool_version: tool_version.to_owned(),
        status: Status::Healthy,
        exit_code: 0,
        summary: String::new(),
        unknown_because: Vec::new(),
        host: HostEntry {
            name: latest.host.name.clone(),
            kernel_release: latest.host.kernel_release.clone(),
            machine: latest.host.machine.clone(),
        },
        taken_unix_ms: latest.taken.unix_ms,
        taken: time::iso_8601(latest.taken.unix_ms),
        window_ms: evidence.interval().map(Interval::elapsed_ms),
        filter: (!filter.is_everything()).then(|| filter.to_string()),
        undecided,
        namespaces: latest
            .netns
            .iter()
            .filter(|netns| filter.concerns_netns(netns))
            .map(seen_netns)
            .collect(),
        listeners: listeners(&context, &scope, &findings, &undetermined),
        findings: findings.into_iter().map(FindingEntry::from).collect(),
        undetermined: undetermined.into_iter().map(undetermined_entry).collect(),
        gaps: latest.gaps.iter().map(gap_entry).collect(),
    };
    verdict::sum_up(&mut report, filter, sees_destination(&context, filter));
    report
}

/// What the filter says of each listener.
struct Scope<'a> {
    filter: &'a Filter,
    listeners: BTreeMap<(NetnsId, Cookie), Truth>,
    endpoints: BTreeMap<(NetnsId, EndpointKey), Truth>,
    netns: BTreeMap<NetnsId, Truth>,
    undecided: u32,
}

impl<'a> Scope<'a> {
    fn new(context: &Context<'_>, filter: &'a Filter) -> Self {
        let mut scope = Self {
            filter,
            listeners: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            netns: BTreeMap::new(),
            undecided: 0,
        };
        for view in context.listeners() {
            let truth = filter.listener_truth(view.netns, view.endpoint, view.listener);
            let id = view.netns.id;
            scope.listeners.insert((id, view.listener.cookie), truth);
            let endpoint = scope.endpoints.entry((id, view.endpoint.key)).or_insert(truth);
            *endpoint = truth.max(*endpoint);
            let netns = scope.netns.entry(id).or_insert(truth);
            *netns = truth.max(*netns);
            scope.undecided += u32::from(truth == Truth::Unknown);
        }
        scope
    }

    /// Whether the filter matches a subject. A finding about a whole namespace concerns each
    /// listener in it: rules name the listener where they can.
    fn truth(&self, subject: &Subject) -> Truth {
        let seen = match subject.kind {
            SubjectKind::Listener { cookie, .. } => self.listeners.get(&(subject.netns, cookie)),
            SubjectKind::Endpoint(key) => self.endpoints.get(&(subject.netns, key)),
            SubjectKind::Netns => self.netns.get(&subject.netns),
            SubjectKind::Destination { .. }
            | SubjectKind::CloseWait(_)
            | SubjectKind::Server(_) => None,
        };
        let by_subject = self.filter.subject_truth(subject);
        match subject.kind {
            SubjectKind::Netns => seen.map_or(by_subject, |&truth| truth.max(by_subject)),
            _ => seen.copied().unwrap_or(by_subject),
        }
    }
}

/// Whether connections to a destination that the filter matches were seen.
fn sees_destination(context: &Context<'_>, filter: &Filter) -> bool {
    context.latest().netns.iter().any(|netns| {
        let ports = netns.ports.get().into_iter().flat_map(|space| &space.destinations);
        let ports = ports.map(|to| (to.source, to.destination, &to.holder));
        let connecting = netns.connecting.get().into_iter().flatten();
        let connecting = connecting.map(|to| (to.source, to.destination, &to.holder));
        ports.chain(connecting).any(|(from, to, holder)| {
            filter.matches(&Subject::destination(netns, from, to, holder))
        })
    })
}

fn listeners(
    context: &Context<'_>,
    scope: &Scope<'_>,
    findings: &[&Finding],
    undetermined: &[&Undetermined],
) -> Vec<ListenerEntry> {
    let findings = by_endpoint(findings.iter().copied(), |finding| &finding.subject);
    let undetermined = by_endpoint(undetermined.iter().copied(), |entry| &entry.subject);
    let mut entries: Vec<ListenerEntry> = context
        .listeners()
        .iter()
        .filter(|view| {
            scope.listeners.get(&(view.netns.id, view.listener.cookie)) == Some(&Truth::Yes)
        })
        .map(|view| {
            let place = (view.netns.id, view.endpoint.key);
            let here = findings.get(&place).into_iter().flatten();
            let about: Vec<&Finding> =
                here.copied().filter(|finding| is_about(&finding.subject, view)).collect();
            let mut unsure = undetermined.get(&place).into_iter().flatten();
            let unsure = unsure.any(|entry| {
                verdict::takes_the_verdict_away(entry.id, &entry.why)
                    && is_about(&entry.subject, view)
            });
            listener_entry(context, view, &about, unsure)
        })
        .collect();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.verdict));
    entries
}

/// Groups what is about listeners by where they listen.
fn by_endpoint<'a, T>(
    all: impl Iterator<Item = &'a T>,
    subject: impl Fn(&T) -> &Subject,
) -> BTreeMap<(NetnsId, EndpointKey), Vec<&'a T>> {
    let mut grouped: BTreeMap<_, Vec<&T>> = BTreeMap::new();
    for one in all {
        let subject = subject(one);
        if let SubjectKind::Listener { endpoint: key, .. }
        | SubjectKind::Endpoint(key)
        | SubjectKind::CloseWait(CloseWaitSide::AcceptedAt(key)) = subject.kind
        {
            grouped.entry((subject.netns, key)).or_default().push(one);
        }
    }
    grouped
}

/// Whether something about this endpoint is about this one of its sockets: of several, those whose
/// accept queue is empty are well while another's is not.
fn is_about(subject: &Subject, view: &ListenerView<'_>) -> bool {
    match subject.kind {
        SubjectKind::Listener { cookie, .. } => cookie == view.listener.cookie,
        _ => view.listener.depth > 0 || view.endpoint.depth() == 0,
    }
}

fn listener_entry(
    context: &Context<'_>,
    view: &ListenerView<'_>,
    findings: &[&Finding],
    unsure: bool,
) -> ListenerEntry {
    let ListenerView { endpoint, listener, .. } = view;
    let verdict = match findings.iter().map(|finding| finding.severity).max() {
        Some(Severity::Failure) => Verdict::Failure,
        Some(Severity::Warning) => Verdict::Warning,
        None if unsure => Verdict::Undetermined,
        None => Verdict::Ok,
    };
    ListenerEntry {
        netns: netns_entry(view.netns),
        local: endpoint.key.local.to_string(),
        device: (endpoint.key.device != 0).then_some(endpoint.key.device),
        v6_only: endpoint.key.v6_only,
        cookie: hexadecimal(listener.cookie),
        inode: listener.inode.0,
        uid: listener.uid,
        accept_queue: AcceptQueueEntry {
            depth: listener.depth,
            limit: listener.limit,
            longest: view.longest(),
        },
        syn_recv: endpoint.syn_recv.count,
        sockets: u32::try_from(endpoint.listeners.len()).unwrap_or(u32::MAX),
        drops: view.all_drops(context).value(),
        drops_in_window: view.drops(context).known(),
        processes: processes(&view.subject()),
        process_search: search_entry(&listener.holders),
        verdict,
        findings: findings.iter().map(|finding| finding.id.to_string()).collect(),
    }
}

fn search_entry(holders: &Reading<Holders>) -> SearchEntry {
    match holders {
        Reading::Known(holders) => match holders.search {
            HolderSearch::Everywhere => SearchEntry::Everywhere,
            HolderSearch::Permitted { unreadable } => SearchEntry::Permitted { unreadable },
            HolderSearch::FirstDescriptors => SearchEntry::FirstDescriptors,
        },
        Reading::Missing(why) => SearchEntry::None { why: why.to_string() },
    }
}

impl From<&Finding> for FindingEntry {
    fn from(finding: &Finding) -> Self {
        Self {
            id: finding.id.to_string(),
            severity: finding.severity,
            confidence: finding.confidence,
            subject: subject_entry(&finding.subject),
            headline: finding.headline.clone(),
            cause: finding.cause.clone(),
            evidence: finding
                .evidence
                .iter()
                .map(|fact| FactEntry {
                    name: fact.name.clone(),
                    value: fact.value,
                    text: fact.text.clone(),
                })
                .collect(),
            remedies: finding.remedies.clone(),
            not_helpful: finding.useless.clone(),
            refuted_by: finding.refuted_by.clone(),
        }
    }
}

fn undetermined_entry(undetermined: &Undetermined) -> UndeterminedEntry {
    UndeterminedEntry {
        id: undetermined.id.to_string(),
        subject: subject_entry(&undetermined.subject),
        why: undetermined.why.clone(),
    }
}

fn subject_entry(subject: &Subject) -> SubjectEntry {
    let mut entry = SubjectEntry {
        kind: SubjectName::Netns,
        label: subject.kind.to_string(),
        netns: NetnsEntry {
            id: subject.netns.0,
            label: subject.netns_label.clone(),
            own: subject.own_netns,
        },
        local: None,
        source: None,
        destination: None,
        cookie: None,
        processes: processes(subject),
    };
    match subject.kind {
        SubjectKind::Listener { endpoint, cookie, .. } => {
            entry.kind = SubjectName::Listener;
            entry.local = Some(endpoint.local.to_string());
            entry.cookie = Some(hexadecimal(cookie));
        }
        SubjectKind::Endpoint(endpoint) => {
            entry.kind = SubjectName::Endpoint;
            entry.local = Some(endpoint.local.to_string());
        }
        SubjectKind::Destination { source, destination } => {
            entry.kind = SubjectName::Destination;
            entry.source = Some(source.to_string());
            entry.destination = Some(destination.to_string());
        }
        SubjectKind::CloseWait(side) => {
            entry.kind = SubjectName::CloseWait;
            match side {
                CloseWaitSide::AcceptedAt(key) => entry.local = Some(key.local.to_string()),
                CloseWaitSide::LocalPort(port) => entry.local = Some(format!("*:{port}")),
                CloseWaitSide::To { source, destination } => {
                    entry.source = Some(source.to_string());
                    entry.destination = Some(destination.to_string());
                }
            }
        }
        SubjectKind::Server(server) => {
            entry.kind = SubjectName::Server;
            entry.local = Some(server.to_string());
        }
        SubjectKind::Netns => {}
    }
    entry
}

fn processes(subject: &Subject) -> Vec<ProcessEntry> {
    let mut processes: Vec<ProcessEntry> = subject
        .processes
        .iter()
        .map(|process| ProcessEntry { pid: process.pid.0, comm: process.comm.clone() })
        .collect();
    processes.dedup();
    processes
}

fn seen_netns(netns: &Netns) -> SeenNetnsEntry {
    let listeners = netns.endpoints.get().map(|endpoints| {
        let sockets: usize = endpoints.iter().map(|endpoint| endpoint.listeners.len()).sum();
        u32::try_from(sockets).unwrap_or(u32::MAX)
    });
    let missing = netns.endpoints.missing().map(ToString::to_string);
    SeenNetnsEntry { netns: netns_entry(netns), listeners, missing }
}

fn netns_entry(netns: &Netns) -> NetnsEntry {
    NetnsEntry { id: netns.id.0, label: netns.label(), own: netns.is_own }
}

fn gap_entry(gap: &Gap) -> GapEntry {
    GapEntry { what: gap.what.clone(), needs: gap.needs.clone(), costs: gap.costs.clone() }
}

/// As `ss -e` prints a cookie.
fn hexadecimal(cookie: Cookie) -> String {
    format!("{:x}", cookie.0)
}
