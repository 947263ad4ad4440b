//! `docs/lab.md`: the manual of the lab and of its scenarios, in Markdown.

use halfopen_lab::{Scenario, scenarios};

const HEAD: &str = "\
# The lab

`halfopen lab run NAME` brings an incident about on the running kernel: real processes, real sockets,
in a network namespace of its own, with nothing outside touched and everything gone afterwards. It
needs no root where the kernel permits user namespaces; only a server with a CPU quota does, for its
control group.

```console
$ halfopen lab run never-accepts --hold          # look at it yourself, with ss, nstat, strace
$ halfopen lab run never-accepts --check         # exits 0 if the verdict is exactly the expected one
$ halfopen lab run all --check
$ halfopen lab run all --check --ipv6            # the same over IPv6
```

A scenario is a file: what the server does, how clients arrive, what the path loses, as a timeline of
steps. Each waits for a state of the kernel, never for a guessed time; only for the kernel's own timers
does time pass.

## Incidents

The last column is what `halfopen check` must find, and nothing besides; scenarios that must give
nothing are healthy servers that only look ill.

| scenario | what happens | findings |
| --- | --- | --- |
";

const SIMULATED: &str = "
## Incidents of other kernels and of many hosts

No single machine can bring these about: `halfopen sim NAME` simulates them. It simulates all the others
too, on any kernel.

| scenario | what happens | findings |
| --- | --- | --- |
";

const MECHANISMS: &str = "
## Mechanisms

These are about one rule of the kernel each, not about a server that is well or ill, so `--check` does
not apply to them and `run all --check` leaves them out. Their outcome is exact instead: queues, sockets,
counters and segments are the same each time. `--account` prints them as JSON:

```console
$ halfopen lab run third-acks-overflow --account | jq '.looks[] | {name, listeners, sockets, counters}'
```

A picture is taken at each `look` step and at the end, when nothing has changed for 30 ms. Counters are
those that rose. Segments are all that crossed an interface, in order, with the kernel's own times.
Most of these scenarios use raw peers: hosts on a wire that send one segment when a step says so, and
have no kernel that would decide anything for them.

| scenario | what happens |
| --- | --- |
";

const PARITY: &str = "
## The model against this kernel

The simulator plays the same files with a model of the kernel. For the scenarios whose outcome is exact,
`cargo xtask parity` plays both and compares: queues, requests, sockets and counters at each look, and
the segments of each flow with their times; with `--ipv6` over IPv6, where only what ICMP errors do to a
request is otherwise. It says which of them agree, and shows both sides where they do not. Where nothing
but times differ, a busy machine may have been late: that scenario is played again, three times at the
most, and the table says so. The incidents are not exact, but both are held to the same findings: the
kernel by `halfopen lab run all --check`, the model by the simulator's tests.

`cargo xtask vm` plays the incidents, with `--parity` the exact ones too, and takes the measurement below in
other kernels, where it also loads the BPF programs: Debian's 5.10, 6.1 and 6.12 as
guests of qemu, which emulates the processor, so that it takes neither KVM nor root. `cargo xtask vm 6.1
--scenario never-accepts` plays one scenario in one of them; `backports` and `sid` are the newest kernels
that Debian has. A scenario that an emulated processor is too slow for is tried a second time, alone, and
the table says so.
";

const PROBE: &str = "
## Which rules this kernel has

Distributions backport, so a version does not say how a kernel fills its queues. `halfopen lab probe`
measures it, in about two seconds: when the SYN queue counts as full, what becomes of a SYN that meets a
full accept queue, and when a SYN-ACK is sent again. Then it says which releases behave so, and whether
the kernel's version says the same. It needs `/dev/net/tun`.
";

/// The manual.
///
/// # Errors
/// If a scenario file of this program is broken.
pub(crate) fn manual() -> anyhow::Result<String> {
    let (mechanisms, incidents): (Vec<_>, Vec<_>) =
        scenarios()?.into_iter().partition(Scenario::is_mechanism);
    let (simulated, incidents): (Vec<_>, Vec<_>) =
        incidents.into_iter().partition(Scenario::is_for_simulator);
    let mut text = String::from(HEAD);
    text.extend(incidents.iter().map(incident));
    text.push_str(SIMULATED);
    text.extend(simulated.iter().map(incident));
    text.push_str(MECHANISMS);
    for scenario in &mechanisms {
        let about = scenario.about.trim_start_matches("Mechanism: ");
        text.push_str(&format!("| {} | {about} |\n", link(scenario)));
    }
    text.push_str(PARITY);
    text.push_str(PROBE);
    Ok(text)
}

fn incident(scenario: &Scenario) -> String {
    let expected = match scenario.expect.as_slice() {
        [] => "nothing".to_owned(),
        ids => ids.iter().map(|id| format!("[{id}](rules/{id}.md)")).collect::<Vec<_>>().join(", "),
    };
    format!("| {} | {} | {expected} |\n", link(scenario), scenario.about)
}

fn link(scenario: &Scenario) -> String {
    let name = &scenario.name;
    format!("[{name}](../scenarios/{name}.toml)")
}
