//! # What it sees
//! The thread that should accept connections could run and gets no CPU: over the window it waited for
//! one for longer than it had one. Either nothing is accepted, or connections are taken too slowly, so
//! that the accept queue overflows.
//!
//! # Why it happens
//! A CPU quota is the common cause (a container's CPU limit, `docker --cpus`, systemd's `CPUQuota=`,
//! `cpu.max`): once the control group has used up its share of a period, the kernel keeps all its
//! threads from running until the next period begins. The host may be idle meanwhile, and its load
//! average and CPU graphs look healthy. The quota is for the whole group, so many threads that are
//! busy for an instant use it up together, and quotas of groups above count as well. Without a quota,
//! others have the CPUs: too many threads for the CPUs of the machine, a low `cpu.weight` or a high
//! nice value beside busy neighbours, real-time threads, a hypervisor that runs other guests. The
//! kernel completes handshakes without the program's help, so clients are connected and then get no
//! answer, or are refused once the queue is full.
//!
//! # How sure
//! Certain if the thread did not run at all between the two looks although it could at both, and these
//! are more than a second apart, the longest period that a quota can have. Probable
//! if it ran for a little: it may have spent that on something that has nothing to do with accepting.
//! Where connections are taken too slowly, as sure as that. The kernel's own account says how long a
//! thread ran and waited (`schedstat`) and how often a quota ran out (`cpu.stat`). After a single look, or
//! on a kernel that keeps no `schedstat`, the thread is watched for 60 ms: it could run all the time, and
//! no sample of it was taken. Where it gets some CPU, samples say where in the program it spends that.
//!
//! # What to do
//! Raise the quota of the group that the finding names, or lift it: `cpu.max`, the CPU limit of the
//! container. Give the program fewer threads than the quota allows CPUs (a runtime that counts the
//! host's CPUs starts too many: GOMAXPROCS, `-XX:ActiveProcessorCount`). Where others have the CPUs,
//! see who (`top`), and give the server its share: `cpu.weight`, nice values, CPUs of its own.
//!
//! # What not to do
//! A larger backlog only lets more clients wait. More threads or workers in the same control group
//! share the same quota and use it up sooner.
//!
//! # Sources
//! - `kernel/sched/fair.c throttle_cfs_rq`, `Documentation/scheduler/sched-bwc.rst`: quotas, and what
//!   `nr_periods`, `nr_throttled` and `throttled_time` (`throttled_usec`) count
//! - `kernel/sched/stats.h sched_info_arrive`: a wait for a CPU is added to `run_delay` when it ends
//! - `Documentation/scheduler/sched-stats.rst`: the fields of `/proc/PID/task/TID/schedstat`

use halfopen_evidence::CpuQuota;

use crate::analysis::blocked_report::place_fact;
use crate::analysis::cause::StallCause;
use crate::analysis::stall_report::{self, Told};
use crate::analysis::starvation::{self, Hungry, Starved, hunger_words, quota_fact, quota_words};
use crate::analysis::too_slow::{self, TooSlow};
use crate::words::{duration, harmless};
use crate::{Context, Fact, Finding, FindingId, ListenerView, Verdicts};

const ID: FindingId = FindingId::AcceptStarved;

pub(crate) fn look(context: &Context<'_>, verdicts: &mut Verdicts) {
    for (view, stalled) in stall_report::stalls(context) {
        if let StallCause::Starved(starved) = &stalled.cause {
            let told = tell(context, starved);
            verdicts.find(stall_report::finding(ID, context, view, stalled, told));
        }
    }
    for view in context.listeners() {
        if context.interval().is_none() {
            ask_before_the_window(context, view, verdicts);
        } else if let Ok(Some(slow)) = too_slow::judge(context, view) {
            starvation::wants(context, view).into_iter().for_each(|want| verdicts.want(want));
            if let Some(starved) = &slow.starved {
                let wants = starvation::samples_wanted(context, starved);
                wants.into_iter().for_each(|want| verdicts.want(want));
                verdicts.find(slowly(context, view, &slow, starved));
            } else if let Some(why) = starvation::unknown(context, view) {
                verdicts.undetermined(ID, view.subject(), why);
            }
        }
    }
}

/// How long threads waited is the difference of two looks, so whoever serves a queue that is half full at
/// the first one is looked at then: one that overflows all the time has just been taken from as often as
/// it is full.
fn ask_before_the_window(context: &Context<'_>, view: &ListenerView<'_>, verdicts: &mut Verdicts) {
    let queue = view.listener.accept_queue();
    if u64::from(queue.depth) * 2 >= queue.room() {
        starvation::wants(context, view).into_iter().for_each(|want| verdicts.want(want));
    }
}

fn tell(context: &Context<'_>, starved: &Starved) -> Told {
    Told {
        cause: cause(starved),
        confidence: starved.confidence,
        evidence: facts(context, starved),
        refuted_by: "a thread that ran for longer than it waited for a CPU, and still accepts \
                     nothing"
            .to_owned(),
        remedies: remedies(starved),
        useless: useless(starved),
    }
}

fn slowly(
    context: &Context<'_>,
    view: &ListenerView<'_>,
    slow: &TooSlow,
    starved: &Starved,
) -> Finding {
    let mut evidence = slow.facts(context, view);
    evidence.extend(facts(context, starved));
    let mut not = useless(starved);
    not.insert(0, "a larger backlog: it fills as well, and clients wait longer".to_owned());
    Finding {
        id: ID,
        severity: slow.severity(),
        subject: view.subject(),
        headline: slow.headline(context, view),
        cause: cause(starved),
        evidence,
        confidence: starved.confidence,
        refuted_by: "a thread that ran for longer than it waited for a CPU while ListenOverflows \
                     rose"
            .to_owned(),
        remedies: remedies(starved),
        useless: not,
    }
}

fn cause(starved: &Starved) -> String {
    let Some(Hungry { doing, hunger }) = starved.threads.first() else { return String::new() };
    let gets = format!("{} {}", doing.thread, hunger_words(*hunger));
    match starved.quotas.as_slice() {
        [] => format!("{gets}: others have the CPUs"),
        [quota, ..] => format!(
            "{gets}: its control group {} may use {}, and has used that up",
            harmless(&quota.group),
            quota_words(quota)
        ),
    }
}

fn facts(context: &Context<'_>, starved: &Starved) -> Vec<Fact> {
    let of_thread = |Hungry { doing, hunger }: &Hungry| {
        let text = format!(
            "{} ran for {} ms and waited for a CPU for {}",
            doing.thread,
            hunger.ran_ms,
            duration(hunger.waited_ms)
        );
        let waited = Fact::number("cpu-wait-ms", hunger.waited_ms, text);
        std::iter::once(waited).chain(place_fact(doing))
    };
    let mut facts: Vec<Fact> = starved.threads.iter().flat_map(of_thread).collect();
    if starved.quotas.is_empty() {
        let processes = &context.latest().processes;
        let first = starved.threads.first();
        let process = first.and_then(|hungry| processes.get(&hungry.doing.thread.pid));
        let quotas = process.map(|process| starvation::throttled(context, process));
        facts.extend(quotas.unwrap_or_default());
    }
    facts.extend(starved.quotas.iter().map(|quota| quota_fact(context, quota)));
    facts
}

fn remedies(starved: &Starved) -> Vec<String> {
    let pid = starved.threads.first().map_or(0, |hungry| hungry.doing.thread.pid.0);
    let mut remedies: Vec<String> = starved.quotas.iter().map(raise).collect();
    if remedies.is_empty() {
        remedies.push(
            "see who has the CPUs (top), and whether the hypervisor takes some (st)".to_owned(),
        );
        remedies.push(
            "give it its share: cpu.weight of its control group, nice values, CPUs of its own"
                .to_owned(),
        );
    }
    remedies.push(format!("see what it spends its CPU time on: perf top --pid {pid}"));
    remedies
}

fn raise(quota: &CpuQuota) -> String {
    format!(
        "raise the CPU quota of control group {}, now {}: cpu.max (cpu.cfs_quota_us with cgroup \
         v1), or the CPU limit of the container or unit",
        harmless(&quota.group),
        quota_words(quota)
    )
}

fn useless(starved: &Starved) -> Vec<String> {
    let shared = if starved.quotas.is_empty() {
        "more threads or workers: they wait for the same CPUs"
    } else {
        "more threads or workers: they share the quota and use it up sooner"
    };
    vec![shared.to_owned()]
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{
        Activity, Endpoint, Missing, Pid, Process, Reading, SchedStat, Throttling, Via, Want,
    };
    use halfopen_model::Counter;

    use super::*;
    use crate::fixture::{
        NETNS, Scene, blocked, endpoint, held, in_futex, inode, listener, process, samples, thread,
    };
    use crate::{Confidence, Severity};

    const RUNNING: Activity = Activity::Running;

    fn quota(throttled_periods: u64, periods: u64) -> CpuQuota {
        CpuQuota {
            group: "/kubepods/pod1".to_owned(),
            quota_us: 5_000,
            period_us: 100_000,
            throttling: Throttling { periods, throttled_periods, throttled_us: 0 },
        }
    }

    /// A server with one thread that does this, at both looks, and so much CPU time and waiting for it
    /// in between.
    fn server(activity: &Activity, cpu_ms: u64, wait_ms: u64) -> [Process; 2] {
        let at = |after: u64| {
            let mut only = thread(812, "app", activity.clone());
            only.sched = Reading::Known(SchedStat {
                cpu_ns: 5_000_000 + after * cpu_ms * 1_000_000,
                wait_ns: after * wait_ms * 1_000_000,
                slices: 40 + after * cpu_ms,
            });
            process(812, [only])
        };
        [at(0), at(1)]
    }

    /// The same in a control group with a quota that ran out in so many of twenty periods.
    fn throttled(mut looks: [Process; 2], periods: u64) -> [Process; 2] {
        for (look, (ran_out, all)) in looks.iter_mut().zip([(7, 90), (7 + periods, 110)]) {
            look.cgroup.get_mut().expect("a group").cpu_quotas =
                Reading::Known(vec![quota(ran_out, all)]);
        }
        looks
    }

    fn full() -> Endpoint {
        endpoint("0.0.0.0:8080", [held(listener(1, 6, 5), &[812])])
    }

    fn with([before, after]: [Process; 2], mut scene: Scene) -> Scene {
        scene.first.processes.insert(Pid(812), before);
        scene.second.processes.insert(Pid(812), after);
        scene
    }

    fn stall(looks: [Process; 2]) -> Scene {
        with(looks, Scene::window().endpoint(full()))
    }

    fn overflow(looks: [Process; 2]) -> Scene {
        let queue = |depth, drops| {
            let mut queue = endpoint("0.0.0.0:8080", [held(listener(1, depth, 5), &[812])]);
            queue.listeners[0].drops = Reading::Known(drops);
            queue
        };
        let scene = Scene::window()
            .endpoint_changing(queue(2, 0), queue(2, 12))
            .track(1, 1, 6, 7)
            .rise(Counter::ListenOverflows, 12)
            .rise(Counter::PassiveOpens, 10);
        with(looks, scene)
    }

    #[test]
    fn a_stall_for_want_of_quota_is_told_from_a_computation() {
        let finding = stall(throttled(server(&RUNNING, 90, 1800), 20)).finding(ID);
        assert_eq!(
            (finding.severity, finding.confidence),
            (Severity::Failure, Confidence::Probable)
        );
        assert!(
            finding.cause.ends_with(
                "got 90 ms of CPU in 2.0 s; it waited for one for 1.8 s: its control group \
                 /kubepods/pod1 may use 5 ms per 100 ms, and has used that up"
            ),
            "{}",
            finding.cause
        );
        assert!(finding.evidence.iter().any(|fact| fact.text.ends_with("in 20 of 20 periods")));
        assert!(finding.remedies[0].contains("/kubepods/pod1, now 5 ms per 100 ms"));
    }

    #[test]
    fn a_thread_that_never_ran_although_it_could_is_certain() {
        let finding = stall(server(&RUNNING, 0, 0)).finding(ID);
        assert_eq!(finding.confidence, Confidence::Certain);
        assert!(finding.cause.ends_with("got none in 2.0 s: others have the CPUs"));
    }

    #[test]
    fn one_look_tells_by_samples_whether_a_thread_gets_the_cpu() {
        let [_, mut app] = throttled(server(&RUNNING, 90, 1800), 20);
        let mut watched = |samples| {
            app.threads.get_mut().expect("threads")[0].samples = Reading::Known(samples);
            let mut scene = Scene::now().endpoint(full());
            scene.second.processes.insert(Pid(812), app.clone());
            scene
        };
        let finding = watched(samples(0, &[])).finding(ID);
        assert_eq!(finding.confidence, Confidence::Possible);
        assert!(
            finding.cause.contains("waits for a CPU and got none in 60 ms"),
            "{}",
            finding.cause
        );
        assert!(
            finding
                .evidence
                .iter()
                .any(|fact| { fact.text.ends_with("in 27 of 110 periods since it was made") })
        );
        assert!(watched(samples(58, &[("work()", 58)])).is_silent_about(ID));
    }

    #[test]
    fn what_little_cpu_it_gets_is_told_with_where_it_goes() {
        let looks = throttled(server(&RUNNING, 90, 1800), 20).map(|mut app| {
            app.threads.get_mut().expect("threads")[0].samples =
                Reading::Known(samples(3, &[("work()", 3)]));
            app
        });
        let finding = stall(looks).finding(ID);
        let code = finding.evidence.iter().find(|fact| fact.name == "code").map(|fact| &*fact.text);
        assert_eq!(code, Some("tid 812 was in work() of app in 3 of 3 samples"));
    }

    #[test]
    fn accepting_too_slowly_for_want_of_quota_is_not_blamed_on_the_program() {
        let scene = overflow(throttled(server(&RUNNING, 90, 1300), 20));
        let finding = scene.clone().finding(ID);
        assert!(finding.headline.starts_with("accepts too slowly"), "{}", finding.headline);
        assert!(scene.is_silent_about(FindingId::AcceptTooSlow));
    }

    #[test]
    fn a_computation_that_has_the_cpu_is_no_starvation() {
        for looks in [server(&RUNNING, 1900, 80), throttled(server(&RUNNING, 1100, 700), 9)] {
            assert_eq!(stall(looks.clone()).ids()[0], FindingId::AcceptBlocked);
            let slow = overflow(looks);
            assert!(!slow.is_silent_about(FindingId::AcceptTooSlow));
            assert!(slow.is_silent_about(ID));
        }
    }

    #[test]
    fn a_quota_that_seldom_ran_out_does_not_take_the_blame() {
        let finding = stall(throttled(server(&RUNNING, 300, 1500), 3)).finding(ID);
        assert!(finding.cause.ends_with("others have the CPUs"), "{}", finding.cause);
        assert!(finding.evidence.iter().any(|fact| fact.text.ends_with("in 3 of 20 periods")));
    }

    #[test]
    fn a_blocked_acceptor_beside_hungry_workers_is_blocked() {
        let lock = crate::fixture::in_lock(813);
        let looks = throttled(server(&RUNNING, 90, 1800), 20).map(|mut process| {
            let mut acceptor = thread(830, "acceptor", lock.clone());
            acceptor.state = 'S';
            process.threads.get_mut().expect("threads").push(acceptor);
            process
        });
        assert_eq!(stall(looks).ids()[0], FindingId::AcceptBlocked);
    }

    #[test]
    fn of_a_pool_the_thread_that_waited_for_the_listener_is_looked_at() {
        let looks = throttled(server(&RUNNING, 90, 1800), 20).map(|mut process| {
            process.threads.get_mut().expect("threads").push(thread(813, "idle", in_futex()));
            process
        });
        let seen = blocked("epoll_wait", halfopen_evidence::CallTarget::Descriptors { count: 3 });
        let waited =
            stall(looks.clone()).sighting((812, 812), seen.clone(), &[(inode(1), Via::EpollLevel)]);
        assert_eq!(waited.finding(ID).confidence, Confidence::Probable);
        let fed = overflow(looks).sighting((812, 813), seen, &[(inode(1), Via::EpollLevel)]);
        assert!(fed.is_silent_about(ID), "the hungry thread is not the one that accepts");
    }

    #[test]
    fn without_the_threads_account_it_is_not_known() {
        let blind = |mut looks: [Process; 2]| {
            for look in &mut looks {
                look.threads.get_mut().expect("threads")[0].sched = Missing::NotOnThisKernel.into();
            }
            looks
        };
        let slow = overflow(blind(throttled(server(&RUNNING, 90, 1800), 20))).diagnose();
        assert_eq!(slow.findings[0].id, FindingId::AcceptTooSlow);
        assert_eq!(slow.undetermined[0].id, ID);
        let unlimited = overflow(blind(server(&RUNNING, 90, 1800))).diagnose();
        assert_eq!(unlimited.undetermined, []);
    }

    #[test]
    fn who_serves_a_queue_that_is_half_full_is_asked_for_before_the_window() {
        let mut young = full();
        for waiting in &mut young.never_accepted.waiting {
            waiting.age_ms = Reading::Known(300);
        }
        let wants = Scene::now().endpoint(young).diagnose().wants;
        assert_eq!(wants.into_iter().collect::<Vec<_>>(), [Want::Process { pid: Pid(812) }]);
        let unknown = endpoint("0.0.0.0:8080", [listener(1, 0, 5)]);
        assert_eq!(Scene::now().endpoint(unknown).diagnose().wants.len(), 0);
        let inodes = vec![inode(1)];
        let holders = Want::Holders { netns: NETNS, inodes };
        for (depth, is_asked_for) in [(2, false), (3, true), (5, true), (6, true)] {
            let mut queue = endpoint("0.0.0.0:8080", [listener(1, depth, 5)]);
            queue.never_accepted.waiting.clear();
            let wants = Scene::now().endpoint(queue).diagnose().wants;
            assert_eq!(wants.contains(&holders), is_asked_for, "{depth} of 5");
        }
    }
}
