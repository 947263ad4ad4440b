# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_halfopen_global_optspecs
    string join \n h/help V/version
end

function __fish_halfopen_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_halfopen_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_halfopen_using_subcommand
    set -l cmd (__fish_halfopen_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c halfopen -n "__fish_halfopen_needs_command" -s h -l help -d 'Print help'
complete -c halfopen -n "__fish_halfopen_needs_command" -s V -l version -d 'Print version'
complete -c halfopen -n "__fish_halfopen_needs_command" -f -a "check" -d 'What is wrong on this host now?'
complete -c halfopen -n "__fish_halfopen_needs_command" -f -a "record" -d 'Take the evidence of a check into a file, to look at it elsewhere'
complete -c halfopen -n "__fish_halfopen_needs_command" -f -a "replay" -d 'Run a check over recorded evidence'
complete -c halfopen -n "__fish_halfopen_needs_command" -f -a "trace" -d 'Each TCP handshake as it happens: how it came out, when, between whom, what was sent again'
complete -c halfopen -n "__fish_halfopen_needs_command" -f -a "pcap" -d 'What became of each TCP handshake in a capture?'
complete -c halfopen -n "__fish_halfopen_needs_command" -f -a "stacks" -d 'What is every thread of a process doing, and who holds the lock that it waits for?'
complete -c halfopen -n "__fish_halfopen_needs_command" -f -a "sim" -d 'What would a kernel do? Simulate a scenario on any kernel, with any settings'
complete -c halfopen -n "__fish_halfopen_needs_command" -f -a "explain" -d 'The kernel\'s rules behind a number: queue limits, timetables, counters, drop reasons'
complete -c halfopen -n "__fish_halfopen_needs_command" -f -a "lab" -d 'Reproduce incidents on the running kernel, in scratch namespaces'
complete -c halfopen -n "__fish_halfopen_needs_command" -f -a "completions" -d 'Print a completion script for a shell'
complete -c halfopen -n "__fish_halfopen_needs_command" -f -a "man" -d 'Print the man page (roff)'
complete -c halfopen -n "__fish_halfopen_needs_command" -f -a "generate" -d 'Write docs, schema, man page and completions'
complete -c halfopen -n "__fish_halfopen_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c halfopen -n "__fish_halfopen_using_subcommand check" -l record -d 'Keep the evidence in a file too, for `halfopen replay`' -r -F
complete -c halfopen -n "__fish_halfopen_using_subcommand check" -l window -d 'Time between the two looks, such as 500ms, 5s or 1m' -r
complete -c halfopen -n "__fish_halfopen_using_subcommand check" -l format -d 'Text for people, Markdown for a ticket, JSON for programs' -r -f -a "text\t'For people'
markdown\t'For a ticket or a chat'
json\t'For programs; the schema is docs/schema/check.json'"
complete -c halfopen -n "__fish_halfopen_using_subcommand check" -l explain -d 'Print the page of a finding and look at nothing' -r
complete -c halfopen -n "__fish_halfopen_using_subcommand check" -l now -d 'Look once, without a window: for exec probes and load balancers'
complete -c halfopen -n "__fish_halfopen_using_subcommand check" -s j -l json -d 'The same as --format json'
complete -c halfopen -n "__fish_halfopen_using_subcommand check" -s v -l verbose -d 'Show every listener, not only the first ones'
complete -c halfopen -n "__fish_halfopen_using_subcommand check" -l no-bpf -d 'Load no BPF programs into the kernel: some verdicts are less sure then, and the report says which'
complete -c halfopen -n "__fish_halfopen_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c halfopen -n "__fish_halfopen_using_subcommand record" -s o -l output -d 'Where to write it; must not exist yet' -r -F
complete -c halfopen -n "__fish_halfopen_using_subcommand record" -l window -d 'Time between the two looks, such as 500ms, 5s or 1m' -r
complete -c halfopen -n "__fish_halfopen_using_subcommand record" -l no-bpf -d 'Load no BPF programs into the kernel: some verdicts are less sure then, and the report says which'
complete -c halfopen -n "__fish_halfopen_using_subcommand record" -s h -l help -d 'Print help'
complete -c halfopen -n "__fish_halfopen_using_subcommand replay" -l format -d 'Text for people, Markdown for a ticket, JSON for programs' -r -f -a "text\t'For people'
markdown\t'For a ticket or a chat'
json\t'For programs; the schema is docs/schema/check.json'"
complete -c halfopen -n "__fish_halfopen_using_subcommand replay" -s j -l json -d 'The same as --format json'
complete -c halfopen -n "__fish_halfopen_using_subcommand replay" -s v -l verbose -d 'Show every listener, not only the first ones'
complete -c halfopen -n "__fish_halfopen_using_subcommand replay" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c halfopen -n "__fish_halfopen_using_subcommand trace" -l for -d 'End after this time, such as 500ms, 10s or 1m [default: at Ctrl-C]' -r
complete -c halfopen -n "__fish_halfopen_using_subcommand trace" -l count -d 'End when so many lines of handshakes have been shown' -r
complete -c halfopen -n "__fish_halfopen_using_subcommand trace" -l netns -d 'Watch one network namespace, by name, pod, container, unit, process name or number' -r
complete -c halfopen -n "__fish_halfopen_using_subcommand trace" -l rate -d 'Lines of handshakes a second at the most; how many were left out is said. 0 for no bound' -r
complete -c halfopen -n "__fish_halfopen_using_subcommand trace" -s a -l all -d 'Show every handshake, not only those that go wrong'
complete -c halfopen -n "__fish_halfopen_using_subcommand trace" -l hist -d 'How long connections wait for accept(), by listener, at the end'
complete -c halfopen -n "__fish_halfopen_using_subcommand trace" -l packets -d 'Watch through packet sockets, even where BPF programs may be loaded, which see more'
complete -c halfopen -n "__fish_halfopen_using_subcommand trace" -s j -l json -d 'A line of JSON per handshake and one for the summary; the schema is docs/schema/trace.json'
complete -c halfopen -n "__fish_halfopen_using_subcommand trace" -s v -l verbose -d 'Show everything in the summary: findings with their evidence, every server'
complete -c halfopen -n "__fish_halfopen_using_subcommand trace" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c halfopen -n "__fish_halfopen_using_subcommand pcap" -l point -d 'A capture and the point on the path where it was taken, twice or more: client=a.pcap. Two files that hold the same packets are taken for two points anyway' -r
complete -c halfopen -n "__fish_halfopen_using_subcommand pcap" -l csv -d 'Write the handshakes as comma-separated values; `-` for standard output' -r -F
complete -c halfopen -n "__fish_halfopen_using_subcommand pcap" -l parquet -d 'Write the handshakes as a Parquet file, for DuckDB, ClickHouse, Spark' -r -F
complete -c halfopen -n "__fish_halfopen_using_subcommand pcap" -l html -d 'Write a report with charts that needs nothing else; `-` for standard output' -r -F
complete -c halfopen -n "__fish_halfopen_using_subcommand pcap" -l sequence -d 'Draw one handshake segment by segment: 10.0.0.9:40000, A:PORT-B:PORT, or its number (#)' -r
complete -c halfopen -n "__fish_halfopen_using_subcommand pcap" -l svg -d 'With --sequence: write the drawing; `-` for standard output' -r -F
complete -c halfopen -n "__fish_halfopen_using_subcommand pcap" -l max-flows -d 'Flows kept in memory at a time, some 150 bytes each; of two points some 700 bytes more' -r
complete -c halfopen -n "__fish_halfopen_using_subcommand pcap" -l threads -d '3 reads packets, follows handshakes and writes them on a thread each, 1 does all on one' -r
complete -c halfopen -n "__fish_halfopen_using_subcommand pcap" -l tunnel -d 'Look into these tunnels only [default: all]' -r -f -a "ip\t'IPv4 or IPv6 in IPv4 or IPv6'
gre\t'GRE'
vxlan\t'VXLAN'
geneve\t'Geneve'
erspan\t'Mirrored traffic'
gtp\t'Mobile networks'
teredo\t'Teredo'"
complete -c halfopen -n "__fish_halfopen_using_subcommand pcap" -l pieces -d 'The files are pieces of one capture, even if two of them hold the same packets'
complete -c halfopen -n "__fish_halfopen_using_subcommand pcap" -l handshakes -d 'A line per handshake, in the order in which they end, instead of the summary'
complete -c halfopen -n "__fish_halfopen_using_subcommand pcap" -s j -l json -d 'A line of JSON per handshake and one for the summary; the schema is docs/schema/pcap.json'
complete -c halfopen -n "__fish_halfopen_using_subcommand pcap" -s v -l verbose -d 'Show everything: findings with their evidence, every server, every warning'
complete -c halfopen -n "__fish_halfopen_using_subcommand pcap" -s f -l follow -d 'Go on as the file is written, until Ctrl-C'
complete -c halfopen -n "__fish_halfopen_using_subcommand pcap" -l no-tunnels -d 'Look into no tunnel: take the outer packets as they are'
complete -c halfopen -n "__fish_halfopen_using_subcommand pcap" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c halfopen -n "__fish_halfopen_using_subcommand stacks" -s l -l lines -d 'Name files and lines of source too, and functions that were inlined; reads debugging information'
complete -c halfopen -n "__fish_halfopen_using_subcommand stacks" -l folded -d 'One line per stack, functions from the outermost, and a count: for flame graphs'
complete -c halfopen -n "__fish_halfopen_using_subcommand stacks" -s j -l json -d 'As JSON, a line per process; the schema is docs/schema/stacks.json'
complete -c halfopen -n "__fish_halfopen_using_subcommand stacks" -l java -d 'Ask a Java VM for its own thread dump, as jstack does: names, Java frames, who holds which monitor or lock. Brings its threads to a safepoint for some milliseconds. If nobody has attached to it before, this writes a file .attach_pidN into its /tmp, removes it again, and sends it SIGQUIT; never to a process that is no HotSpot VM, has no handler for the signal, or is stopped, traced or frozen'
complete -c halfopen -n "__fish_halfopen_using_subcommand stacks" -l python -d 'Run `py-spy dump --nonblocking` from PATH, which reads the memory of a Python process and does not stop it: names and Python frames'
complete -c halfopen -n "__fish_halfopen_using_subcommand stacks" -l ptrace -d 'Stop the threads whose stacks are not to be had otherwise, by ptrace: one after the other, each until its registers and its stack are copied, which takes some tenths of a millisecond. Says beforehand which. A stop makes a thread\'s epoll_wait, and some other calls, fail with EINTR'
complete -c halfopen -n "__fish_halfopen_using_subcommand stacks" -l no-bpf -d 'With --verbose: load no program into the kernel, and so show what the kernel does for few threads'
complete -c halfopen -n "__fish_halfopen_using_subcommand stacks" -s v -l verbose -d 'Show every thread by name and every frame; of the kernel\'s too, by a BPF program'
complete -c halfopen -n "__fish_halfopen_using_subcommand stacks" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c halfopen -n "__fish_halfopen_using_subcommand sim" -l kernel -d 'The servers\' kernel: 3.10.4, 6.1.0-32-amd64, rhel7; without it, the scenario\'s own or 6.18' -r
complete -c halfopen -n "__fish_halfopen_using_subcommand sim" -l seed -d 'What is left to chance follows from it: the same seed gives the same bytes' -r
complete -c halfopen -n "__fish_halfopen_using_subcommand sim" -l set -d 'Change the scenario: backlog, pause, workers, count, every, kernel, or a sysctl by its name' -r
complete -c halfopen -n "__fish_halfopen_using_subcommand sim" -l sweep -d 'Run it for each of several values of one key: FROM..TO, FROM..TO:STEPS, or VALUE,VALUE…' -r
complete -c halfopen -n "__fish_halfopen_using_subcommand sim" -l for -d 'Observe it for so long after its last step, instead of awaiting the states that it awaits there; pass over others that do not come [default with --set and --sweep: 10s]' -r
complete -c halfopen -n "__fish_halfopen_using_subcommand sim" -l csv -d 'Write the queues over time, or the sweep, as comma-separated values; `-` for standard output' -r -F
complete -c halfopen -n "__fish_halfopen_using_subcommand sim" -l svg -d 'Write a picture of the queues over time and of connect latency, or of the sweep' -r -F
complete -c halfopen -n "__fish_halfopen_using_subcommand sim" -l pcap -d 'Write what crossed the servers\' interfaces as a capture (pcapng)' -r -F
complete -c halfopen -n "__fish_halfopen_using_subcommand sim" -s j -l json -d 'As JSON; the schemas are docs/schema/sim.json and sim-sweep.json'
complete -c halfopen -n "__fish_halfopen_using_subcommand sim" -s v -l verbose -d 'Show everything: every step, listener and counter'
complete -c halfopen -n "__fish_halfopen_using_subcommand sim" -l list -d 'List the scenarios that are built in'
complete -c halfopen -n "__fish_halfopen_using_subcommand sim" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and not __fish_seen_subcommand_from limits retries counter reason rule help" -s h -l help -d 'Print help'
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and not __fish_seen_subcommand_from limits retries counter reason rule help" -f -a "limits" -d 'What a backlog becomes: room of the accept queue and of the SYN queue'
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and not __fish_seen_subcommand_from limits retries counter reason rule help" -f -a "retries" -d 'When SYN and SYN-ACK are sent again, and when either side gives up'
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and not __fish_seen_subcommand_from limits retries counter reason rule help" -f -a "counter" -d 'What moves a counter, on which kernels, and what it is mistaken for'
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and not __fish_seen_subcommand_from limits retries counter reason rule help" -f -a "reason" -d 'What a drop reason or a reset reason of the kernel says of a handshake'
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and not __fish_seen_subcommand_from limits retries counter reason rule help" -f -a "rule" -d 'A rule of the kernel, or the page of a finding'
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and not __fish_seen_subcommand_from limits retries counter reason rule help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and __fish_seen_subcommand_from limits" -l kernel -d 'Another kernel: 3.10.4, 6.1.0-32-amd64, rhel7, \'RHEL 7\'' -r
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and __fish_seen_subcommand_from limits" -l backlog -d 'What the program gives to listen(); without it, common values are shown' -r
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and __fish_seen_subcommand_from limits" -l somaxconn -d 'net.core.somaxconn' -r
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and __fish_seen_subcommand_from limits" -l max-syn-backlog -d 'net.ipv4.tcp_max_syn_backlog' -r
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and __fish_seen_subcommand_from limits" -l syncookies -d 'net.ipv4.tcp_syncookies: 0 never, 1 when the SYN queue is full, 2 always' -r
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and __fish_seen_subcommand_from limits" -s j -l json -d 'As JSON'
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and __fish_seen_subcommand_from limits" -s h -l help -d 'Print help'
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and __fish_seen_subcommand_from retries" -l kernel -d 'Another kernel: 3.10.4, 6.1.0-32-amd64, rhel7, \'RHEL 7\'' -r
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and __fish_seen_subcommand_from retries" -l syn-retries -d 'net.ipv4.tcp_syn_retries, or TCP_SYNCNT of the client\'s socket' -r
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and __fish_seen_subcommand_from retries" -l linear -d 'net.ipv4.tcp_syn_linear_timeouts (Linux 6.5 and later)' -r
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and __fish_seen_subcommand_from retries" -l synack-retries -d 'net.ipv4.tcp_synack_retries, or TCP_SYNCNT of the listener' -r
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and __fish_seen_subcommand_from retries" -l defer-accept -d 'The seconds that the listener gives to TCP_DEFER_ACCEPT' -r
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and __fish_seen_subcommand_from retries" -s j -l json -d 'As JSON'
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and __fish_seen_subcommand_from retries" -s h -l help -d 'Print help'
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and __fish_seen_subcommand_from counter" -s j -l json -d 'As JSON'
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and __fish_seen_subcommand_from counter" -s h -l help -d 'Print help'
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and __fish_seen_subcommand_from reason" -s j -l json -d 'As JSON'
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and __fish_seen_subcommand_from reason" -s h -l help -d 'Print help'
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and __fish_seen_subcommand_from rule" -s j -l json -d 'As JSON'
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and __fish_seen_subcommand_from rule" -s h -l help -d 'Print help'
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and __fish_seen_subcommand_from help" -f -a "limits" -d 'What a backlog becomes: room of the accept queue and of the SYN queue'
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and __fish_seen_subcommand_from help" -f -a "retries" -d 'When SYN and SYN-ACK are sent again, and when either side gives up'
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and __fish_seen_subcommand_from help" -f -a "counter" -d 'What moves a counter, on which kernels, and what it is mistaken for'
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and __fish_seen_subcommand_from help" -f -a "reason" -d 'What a drop reason or a reset reason of the kernel says of a handshake'
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and __fish_seen_subcommand_from help" -f -a "rule" -d 'A rule of the kernel, or the page of a finding'
complete -c halfopen -n "__fish_halfopen_using_subcommand explain; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c halfopen -n "__fish_halfopen_using_subcommand lab; and not __fish_seen_subcommand_from list probe run help" -s h -l help -d 'Print help'
complete -c halfopen -n "__fish_halfopen_using_subcommand lab; and not __fish_seen_subcommand_from list probe run help" -f -a "list" -d 'List the scenarios, the findings that each must give, and what each needs'
complete -c halfopen -n "__fish_halfopen_using_subcommand lab; and not __fish_seen_subcommand_from list probe run help" -f -a "probe" -d 'Measure how this kernel fills its queues, and which releases do so'
complete -c halfopen -n "__fish_halfopen_using_subcommand lab; and not __fish_seen_subcommand_from list probe run help" -f -a "run" -d 'Bring a scenario about'
complete -c halfopen -n "__fish_halfopen_using_subcommand lab; and not __fish_seen_subcommand_from list probe run help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c halfopen -n "__fish_halfopen_using_subcommand lab; and __fish_seen_subcommand_from list" -s j -l json -d 'As JSON'
complete -c halfopen -n "__fish_halfopen_using_subcommand lab; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c halfopen -n "__fish_halfopen_using_subcommand lab; and __fish_seen_subcommand_from probe" -s j -l json -d 'As JSON'
complete -c halfopen -n "__fish_halfopen_using_subcommand lab; and __fish_seen_subcommand_from probe" -s h -l help -d 'Print help'
complete -c halfopen -n "__fish_halfopen_using_subcommand lab; and __fish_seen_subcommand_from run" -l pcap -d 'Write what crosses its interfaces to a capture file, for tcpdump and Wireshark' -r -F
complete -c halfopen -n "__fish_halfopen_using_subcommand lab; and __fish_seen_subcommand_from run" -l hold -d 'Leave it standing until Enter, Ctrl-C or ten minutes'
complete -c halfopen -n "__fish_halfopen_using_subcommand lab; and __fish_seen_subcommand_from run" -l check -d 'Check it, print the verdict, and exit 0 only if it is exactly the expected one'
complete -c halfopen -n "__fish_halfopen_using_subcommand lab; and __fish_seen_subcommand_from run" -l no-bpf -d 'Load no BPF programs for the check'
complete -c halfopen -n "__fish_halfopen_using_subcommand lab; and __fish_seen_subcommand_from run" -s 6 -l ipv6 -d 'Play it over IPv6 instead of IPv4'
complete -c halfopen -n "__fish_halfopen_using_subcommand lab; and __fish_seen_subcommand_from run" -s j -l json -d 'Print the verdict alone, as a line of JSON for each scenario'
complete -c halfopen -n "__fish_halfopen_using_subcommand lab; and __fish_seen_subcommand_from run" -l account -d 'Print what was seen of it as JSON, for programs: queues, sockets and counters at each look and at the end, and every segment'
complete -c halfopen -n "__fish_halfopen_using_subcommand lab; and __fish_seen_subcommand_from run" -s h -l help -d 'Print help'
complete -c halfopen -n "__fish_halfopen_using_subcommand lab; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the scenarios, the findings that each must give, and what each needs'
complete -c halfopen -n "__fish_halfopen_using_subcommand lab; and __fish_seen_subcommand_from help" -f -a "probe" -d 'Measure how this kernel fills its queues, and which releases do so'
complete -c halfopen -n "__fish_halfopen_using_subcommand lab; and __fish_seen_subcommand_from help" -f -a "run" -d 'Bring a scenario about'
complete -c halfopen -n "__fish_halfopen_using_subcommand lab; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c halfopen -n "__fish_halfopen_using_subcommand completions" -s h -l help -d 'Print help'
complete -c halfopen -n "__fish_halfopen_using_subcommand man" -s h -l help -d 'Print help'
complete -c halfopen -n "__fish_halfopen_using_subcommand generate" -l out -d 'The directory to write to' -r -F
complete -c halfopen -n "__fish_halfopen_using_subcommand generate" -s h -l help -d 'Print help'
complete -c halfopen -n "__fish_halfopen_using_subcommand help; and not __fish_seen_subcommand_from check record replay trace pcap stacks sim explain lab completions man generate help" -f -a "check" -d 'What is wrong on this host now?'
complete -c halfopen -n "__fish_halfopen_using_subcommand help; and not __fish_seen_subcommand_from check record replay trace pcap stacks sim explain lab completions man generate help" -f -a "record" -d 'Take the evidence of a check into a file, to look at it elsewhere'
complete -c halfopen -n "__fish_halfopen_using_subcommand help; and not __fish_seen_subcommand_from check record replay trace pcap stacks sim explain lab completions man generate help" -f -a "replay" -d 'Run a check over recorded evidence'
complete -c halfopen -n "__fish_halfopen_using_subcommand help; and not __fish_seen_subcommand_from check record replay trace pcap stacks sim explain lab completions man generate help" -f -a "trace" -d 'Each TCP handshake as it happens: how it came out, when, between whom, what was sent again'
complete -c halfopen -n "__fish_halfopen_using_subcommand help; and not __fish_seen_subcommand_from check record replay trace pcap stacks sim explain lab completions man generate help" -f -a "pcap" -d 'What became of each TCP handshake in a capture?'
complete -c halfopen -n "__fish_halfopen_using_subcommand help; and not __fish_seen_subcommand_from check record replay trace pcap stacks sim explain lab completions man generate help" -f -a "stacks" -d 'What is every thread of a process doing, and who holds the lock that it waits for?'
complete -c halfopen -n "__fish_halfopen_using_subcommand help; and not __fish_seen_subcommand_from check record replay trace pcap stacks sim explain lab completions man generate help" -f -a "sim" -d 'What would a kernel do? Simulate a scenario on any kernel, with any settings'
complete -c halfopen -n "__fish_halfopen_using_subcommand help; and not __fish_seen_subcommand_from check record replay trace pcap stacks sim explain lab completions man generate help" -f -a "explain" -d 'The kernel\'s rules behind a number: queue limits, timetables, counters, drop reasons'
complete -c halfopen -n "__fish_halfopen_using_subcommand help; and not __fish_seen_subcommand_from check record replay trace pcap stacks sim explain lab completions man generate help" -f -a "lab" -d 'Reproduce incidents on the running kernel, in scratch namespaces'
complete -c halfopen -n "__fish_halfopen_using_subcommand help; and not __fish_seen_subcommand_from check record replay trace pcap stacks sim explain lab completions man generate help" -f -a "completions" -d 'Print a completion script for a shell'
complete -c halfopen -n "__fish_halfopen_using_subcommand help; and not __fish_seen_subcommand_from check record replay trace pcap stacks sim explain lab completions man generate help" -f -a "man" -d 'Print the man page (roff)'
complete -c halfopen -n "__fish_halfopen_using_subcommand help; and not __fish_seen_subcommand_from check record replay trace pcap stacks sim explain lab completions man generate help" -f -a "generate" -d 'Write docs, schema, man page and completions'
complete -c halfopen -n "__fish_halfopen_using_subcommand help; and not __fish_seen_subcommand_from check record replay trace pcap stacks sim explain lab completions man generate help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c halfopen -n "__fish_halfopen_using_subcommand help; and __fish_seen_subcommand_from explain" -f -a "limits" -d 'What a backlog becomes: room of the accept queue and of the SYN queue'
complete -c halfopen -n "__fish_halfopen_using_subcommand help; and __fish_seen_subcommand_from explain" -f -a "retries" -d 'When SYN and SYN-ACK are sent again, and when either side gives up'
complete -c halfopen -n "__fish_halfopen_using_subcommand help; and __fish_seen_subcommand_from explain" -f -a "counter" -d 'What moves a counter, on which kernels, and what it is mistaken for'
complete -c halfopen -n "__fish_halfopen_using_subcommand help; and __fish_seen_subcommand_from explain" -f -a "reason" -d 'What a drop reason or a reset reason of the kernel says of a handshake'
complete -c halfopen -n "__fish_halfopen_using_subcommand help; and __fish_seen_subcommand_from explain" -f -a "rule" -d 'A rule of the kernel, or the page of a finding'
complete -c halfopen -n "__fish_halfopen_using_subcommand help; and __fish_seen_subcommand_from lab" -f -a "list" -d 'List the scenarios, the findings that each must give, and what each needs'
complete -c halfopen -n "__fish_halfopen_using_subcommand help; and __fish_seen_subcommand_from lab" -f -a "probe" -d 'Measure how this kernel fills its queues, and which releases do so'
complete -c halfopen -n "__fish_halfopen_using_subcommand help; and __fish_seen_subcommand_from lab" -f -a "run" -d 'Bring a scenario about'
