#compdef halfopen

autoload -U is-at-least

_halfopen() {
    typeset -A opt_args
    typeset -a _arguments_options
    local ret=1

    if is-at-least 5.2; then
        _arguments_options=(-s -S -C)
    else
        _arguments_options=(-s -C)
    fi

    local context curcontext="$curcontext" state line
    _arguments "${_arguments_options[@]}" : \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
":: :_halfopen_commands" \
"*::: :->halfopen" \
&& ret=0
    case $state in
    (halfopen)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:halfopen-command-$line[1]:"
        case $line[1] in
            (check)
_arguments "${_arguments_options[@]}" : \
'--record=[Keep the evidence in a file too, for \`halfopen replay\`]:FILE:_files' \
'--window=[Time between the two looks, such as 500ms, 5s or 1m]:TIME:_default' \
'--format=[Text for people, Markdown for a ticket, JSON for programs]:FORMAT:((text\:"For people"
markdown\:"For a ticket or a chat"
json\:"For programs; the schema is docs/schema/check.json"))' \
'--explain=[Print the page of a finding and look at nothing]:ID:_default' \
'(--window)--now[Look once, without a window\: for exec probes and load balancers]' \
'(--format)-j[The same as --format json]' \
'(--format)--json[The same as --format json]' \
'-v[Show every listener, not only the first ones]' \
'--verbose[Show every listener, not only the first ones]' \
'--no-bpf[Load no BPF programs into the kernel\: some verdicts are less sure then, and the report says which]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'*::filter -- Only these, in the language of ss and tcpdump\: `\:8080`, `sport = \:8080`, `dst 10.0.0.7`, `pid 812`, `netns NAME`, joined by `and`, `or`, `not`:_default' \
&& ret=0
;;
(record)
_arguments "${_arguments_options[@]}" : \
'-o+[Where to write it; must not exist yet]:FILE:_files' \
'--output=[Where to write it; must not exist yet]:FILE:_files' \
'--window=[Time between the two looks, such as 500ms, 5s or 1m]:TIME:_default' \
'--no-bpf[Load no BPF programs into the kernel\: some verdicts are less sure then, and the report says which]' \
'-h[Print help]' \
'--help[Print help]' \
'*::filter -- Only these, in the language of ss and tcpdump\: `\:8080`, `sport = \:8080`, `dst 10.0.0.7`, `pid 812`, `netns NAME`, joined by `and`, `or`, `not`:_default' \
&& ret=0
;;
(replay)
_arguments "${_arguments_options[@]}" : \
'--format=[Text for people, Markdown for a ticket, JSON for programs]:FORMAT:((text\:"For people"
markdown\:"For a ticket or a chat"
json\:"For programs; the schema is docs/schema/check.json"))' \
'(--format)-j[The same as --format json]' \
'(--format)--json[The same as --format json]' \
'-v[Show every listener, not only the first ones]' \
'--verbose[Show every listener, not only the first ones]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':file -- A file that `record`, or `check --record`, wrote; `-` for standard input:_files' \
'*::filter -- Only these, in the language of ss and tcpdump\: `\:8080`, `sport = \:8080`, `dst 10.0.0.7`, `pid 812`, `netns NAME`, joined by `and`, `or`, `not`:_default' \
&& ret=0
;;
(trace)
_arguments "${_arguments_options[@]}" : \
'--for=[End after this time, such as 500ms, 10s or 1m \[default\: at Ctrl-C\]]:TIME:_default' \
'--count=[End when so many lines of handshakes have been shown]:N:_default' \
'--netns=[Watch one network namespace, by name, pod, container, unit, process name or number]:NAME:_default' \
'--rate=[Lines of handshakes a second at the most; how many were left out is said. 0 for no bound]:N:_default' \
'-a[Show every handshake, not only those that go wrong]' \
'--all[Show every handshake, not only those that go wrong]' \
'(--packets)--hist[How long connections wait for accept(), by listener, at the end]' \
'--packets[Watch through packet sockets, even where BPF programs may be loaded, which see more]' \
'-j[A line of JSON per handshake and one for the summary; the schema is docs/schema/trace.json]' \
'--json[A line of JSON per handshake and one for the summary; the schema is docs/schema/trace.json]' \
'-v[Show everything in the summary\: findings with their evidence, every server]' \
'--verbose[Show everything in the summary\: findings with their evidence, every server]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'*::filter -- Only these, in the language of ss and tcpdump\: `\:8080`, `sport = \:8080`, `dst 10.0.0.7`, `pid 812`, `netns NAME`, joined by `and`, `or`, `not`:_default' \
&& ret=0
;;
(pcap)
_arguments "${_arguments_options[@]}" : \
'(--pieces -f --follow)*--point=[A capture and the point on the path where it was taken, twice or more\: client=a.pcap. Two files that hold the same packets are taken for two points anyway]:NAME=FILE:_default' \
'--csv=[Write the handshakes as comma-separated values; \`-\` for standard output]:FILE:_files' \
'--parquet=[Write the handshakes as a Parquet file, for DuckDB, ClickHouse, Spark]:FILE:_files' \
'(--sequence)--html=[Write a report with charts that needs nothing else; \`-\` for standard output]:FILE:_files' \
'--sequence=[Draw one handshake segment by segment\: 10.0.0.9\:40000, A\:PORT-B\:PORT, or its number (#)]:FLOW:_default' \
'--svg=[With --sequence\: write the drawing; \`-\` for standard output]:FILE:_files' \
'--max-flows=[Flows kept in memory at a time, some 150 bytes each; of two points some 700 bytes more]:N:_default' \
'--threads=[3 reads packets, follows handshakes and writes them on a thread each, 1 does all on one]:N:_default' \
'*--tunnel=[Look into these tunnels only \[default\: all\]]:LIST:((ip\:"IPv4 or IPv6 in IPv4 or IPv6"
gre\:"GRE"
vxlan\:"VXLAN"
geneve\:"Geneve"
erspan\:"Mirrored traffic"
gtp\:"Mobile networks"
teredo\:"Teredo"))' \
'--pieces[The files are pieces of one capture, even if two of them hold the same packets]' \
'(-j --json --sequence)--handshakes[A line per handshake, in the order in which they end, instead of the summary]' \
'(--sequence)-j[A line of JSON per handshake and one for the summary; the schema is docs/schema/pcap.json]' \
'(--sequence)--json[A line of JSON per handshake and one for the summary; the schema is docs/schema/pcap.json]' \
'-v[Show everything\: findings with their evidence, every server, every warning]' \
'--verbose[Show everything\: findings with their evidence, every server, every warning]' \
'(--sequence --html)-f[Go on as the file is written, until Ctrl-C]' \
'(--sequence --html)--follow[Go on as the file is written, until Ctrl-C]' \
'(--tunnel)--no-tunnels[Look into no tunnel\: take the outer packets as they are]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'*::words -- Captures, `-` for standard input; then a filter in the words of tcpdump\: `port 443 and net 10.0.0.0/8`:_default' \
&& ret=0
;;
(stacks)
_arguments "${_arguments_options[@]}" : \
'-l[Name files and lines of source too, and functions that were inlined; reads debugging information]' \
'--lines[Name files and lines of source too, and functions that were inlined; reads debugging information]' \
'(-j --json)--folded[One line per stack, functions from the outermost, and a count\: for flame graphs]' \
'-j[As JSON, a line per process; the schema is docs/schema/stacks.json]' \
'--json[As JSON, a line per process; the schema is docs/schema/stacks.json]' \
'--java[Ask a Java VM for its own thread dump, as jstack does\: names, Java frames, who holds which monitor or lock. Brings its threads to a safepoint for some milliseconds. If nobody has attached to it before, this writes a file .attach_pidN into its /tmp, removes it again, and sends it SIGQUIT; never to a process that is no HotSpot VM, has no handler for the signal, or is stopped, traced or frozen]' \
'--python[Run \`py-spy dump --nonblocking\` from PATH, which reads the memory of a Python process and does not stop it\: names and Python frames]' \
'--ptrace[Stop the threads whose stacks are not to be had otherwise, by ptrace\: one after the other, each until its registers and its stack are copied, which takes some tenths of a millisecond. Says beforehand which. A stop makes a thread'\''s epoll_wait, and some other calls, fail with EINTR]' \
'--no-bpf[With --verbose\: load no program into the kernel, and so show what the kernel does for few threads]' \
'-v[Show every thread by name and every frame; of the kernel'\''s too, by a BPF program]' \
'--verbose[Show every thread by name and every frame; of the kernel'\''s too, by a BPF program]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':target -- A pid, `\:PORT` for whoever listens there, or the name of a process:_default' \
&& ret=0
;;
(sim)
_arguments "${_arguments_options[@]}" : \
'--kernel=[The servers'\'' kernel\: 3.10.4, 6.1.0-32-amd64, rhel7; without it, the scenario'\''s own or 6.18]:RELEASE:_default' \
'--seed=[What is left to chance follows from it\: the same seed gives the same bytes]:N:_default' \
'*--set=[Change the scenario\: backlog, pause, workers, count, every, kernel, or a sysctl by its name]:KEY=VALUE:_default' \
'--sweep=[Run it for each of several values of one key\: FROM..TO, FROM..TO\:STEPS, or VALUE,VALUE…]:KEY=VALUES:_default' \
'--for=[Observe it for so long after its last step, instead of awaiting the states that it awaits there; pass over others that do not come \[default with --set and --sweep\: 10s\]]:TIME:_default' \
'--csv=[Write the queues over time, or the sweep, as comma-separated values; \`-\` for standard output]:FILE:_files' \
'--svg=[Write a picture of the queues over time and of connect latency, or of the sweep]:FILE:_files' \
'(--sweep)--pcap=[Write what crossed the servers'\'' interfaces as a capture (pcapng)]:FILE:_files' \
'-j[As JSON; the schemas are docs/schema/sim.json and sim-sweep.json]' \
'--json[As JSON; the schemas are docs/schema/sim.json and sim-sweep.json]' \
'-v[Show everything\: every step, listener and counter]' \
'--verbose[Show everything\: every step, listener and counter]' \
'(--kernel --set --sweep --for --csv --svg --pcap)--list[List the scenarios that are built in]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'::scenario -- A scenario file, the name of a scenario that is built in, or `-` for standard input:_default' \
&& ret=0
;;
(explain)
_arguments "${_arguments_options[@]}" : \
'-h[Print help]' \
'--help[Print help]' \
":: :_halfopen__subcmd__explain_commands" \
"*::: :->explain" \
&& ret=0

    case $state in
    (explain)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:halfopen-explain-command-$line[1]:"
        case $line[1] in
            (limits)
_arguments "${_arguments_options[@]}" : \
'--kernel=[Another kernel\: 3.10.4, 6.1.0-32-amd64, rhel7, '\''RHEL 7'\'']:RELEASE:_default' \
'--backlog=[What the program gives to listen(); without it, common values are shown]:N:_default' \
'--somaxconn=[net.core.somaxconn]:N:_default' \
'--max-syn-backlog=[net.ipv4.tcp_max_syn_backlog]:N:_default' \
'--syncookies=[net.ipv4.tcp_syncookies\: 0 never, 1 when the SYN queue is full, 2 always]:0|1|2:_default' \
'-j[As JSON]' \
'--json[As JSON]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(retries)
_arguments "${_arguments_options[@]}" : \
'--kernel=[Another kernel\: 3.10.4, 6.1.0-32-amd64, rhel7, '\''RHEL 7'\'']:RELEASE:_default' \
'--syn-retries=[net.ipv4.tcp_syn_retries, or TCP_SYNCNT of the client'\''s socket]:N:_default' \
'--linear=[net.ipv4.tcp_syn_linear_timeouts (Linux 6.5 and later)]:N:_default' \
'--synack-retries=[net.ipv4.tcp_synack_retries, or TCP_SYNCNT of the listener]:N:_default' \
'--defer-accept=[The seconds that the listener gives to TCP_DEFER_ACCEPT]:SECONDS:_default' \
'-j[As JSON]' \
'--json[As JSON]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(counter)
_arguments "${_arguments_options[@]}" : \
'-j[As JSON]' \
'--json[As JSON]' \
'-h[Print help]' \
'--help[Print help]' \
'::name -- Its name, in any case\: ListenDrops, TcpExt.ListenDrops; without it, all are listed:_default' \
&& ret=0
;;
(reason)
_arguments "${_arguments_options[@]}" : \
'-j[As JSON]' \
'--json[As JSON]' \
'-h[Print help]' \
'--help[Print help]' \
'::name -- Its name, in any case, with or without prefix; without it, all are listed:_default' \
&& ret=0
;;
(rule)
_arguments "${_arguments_options[@]}" : \
'-j[As JSON]' \
'--json[As JSON]' \
'-h[Print help]' \
'--help[Print help]' \
'::id -- Its id; without it, all are listed:_default' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_halfopen__subcmd__explain__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:halfopen-explain-help-command-$line[1]:"
        case $line[1] in
            (limits)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(retries)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(counter)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(reason)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(rule)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
;;
(lab)
_arguments "${_arguments_options[@]}" : \
'-h[Print help]' \
'--help[Print help]' \
":: :_halfopen__subcmd__lab_commands" \
"*::: :->lab" \
&& ret=0

    case $state in
    (lab)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:halfopen-lab-command-$line[1]:"
        case $line[1] in
            (list)
_arguments "${_arguments_options[@]}" : \
'-j[As JSON]' \
'--json[As JSON]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(probe)
_arguments "${_arguments_options[@]}" : \
'-j[As JSON]' \
'--json[As JSON]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(run)
_arguments "${_arguments_options[@]}" : \
'(--hold --check)--pcap=[Write what crosses its interfaces to a capture file, for tcpdump and Wireshark]:FILE:_files' \
'--hold[Leave it standing until Enter, Ctrl-C or ten minutes]' \
'--check[Check it, print the verdict, and exit 0 only if it is exactly the expected one]' \
'--no-bpf[Load no BPF programs for the check]' \
'-6[Play it over IPv6 instead of IPv4]' \
'--ipv6[Play it over IPv6 instead of IPv4]' \
'(--hold)-j[Print the verdict alone, as a line of JSON for each scenario]' \
'(--hold)--json[Print the verdict alone, as a line of JSON for each scenario]' \
'(--hold --check)--account[Print what was seen of it as JSON, for programs\: queues, sockets and counters at each look and at the end, and every segment]' \
'-h[Print help]' \
'--help[Print help]' \
'*::names -- Its name; with --check several, or `all`:_default' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_halfopen__subcmd__lab__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:halfopen-lab-help-command-$line[1]:"
        case $line[1] in
            (list)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(probe)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(run)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
;;
(completions)
_arguments "${_arguments_options[@]}" : \
'-h[Print help]' \
'--help[Print help]' \
':shell -- The shell:(bash elvish fish powershell zsh)' \
&& ret=0
;;
(man)
_arguments "${_arguments_options[@]}" : \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(generate)
_arguments "${_arguments_options[@]}" : \
'--out=[The directory to write to]:OUT:_files' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_halfopen__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:halfopen-help-command-$line[1]:"
        case $line[1] in
            (check)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(record)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(replay)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(trace)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(pcap)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(stacks)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(sim)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(explain)
_arguments "${_arguments_options[@]}" : \
":: :_halfopen__subcmd__help__subcmd__explain_commands" \
"*::: :->explain" \
&& ret=0

    case $state in
    (explain)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:halfopen-help-explain-command-$line[1]:"
        case $line[1] in
            (limits)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(retries)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(counter)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(reason)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(rule)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
(lab)
_arguments "${_arguments_options[@]}" : \
":: :_halfopen__subcmd__help__subcmd__lab_commands" \
"*::: :->lab" \
&& ret=0

    case $state in
    (lab)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:halfopen-help-lab-command-$line[1]:"
        case $line[1] in
            (list)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(probe)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(run)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
(completions)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(man)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(generate)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
}

(( $+functions[_halfopen_commands] )) ||
_halfopen_commands() {
    local commands; commands=(
'check:What is wrong on this host now?' \
'record:Take the evidence of a check into a file, to look at it elsewhere' \
'replay:Run a check over recorded evidence' \
'trace:Each TCP handshake as it happens\: how it came out, when, between whom, what was sent again' \
'pcap:What became of each TCP handshake in a capture?' \
'stacks:What is every thread of a process doing, and who holds the lock that it waits for?' \
'sim:What would a kernel do? Simulate a scenario on any kernel, with any settings' \
'explain:The kernel'\''s rules behind a number\: queue limits, timetables, counters, drop reasons' \
'lab:Reproduce incidents on the running kernel, in scratch namespaces' \
'completions:Print a completion script for a shell' \
'man:Print the man page (roff)' \
'generate:Write docs, schema, man page and completions' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'halfopen commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__check_commands] )) ||
_halfopen__subcmd__check_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen check commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__completions_commands] )) ||
_halfopen__subcmd__completions_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen completions commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__explain_commands] )) ||
_halfopen__subcmd__explain_commands() {
    local commands; commands=(
'limits:What a backlog becomes\: room of the accept queue and of the SYN queue' \
'retries:When SYN and SYN-ACK are sent again, and when either side gives up' \
'counter:What moves a counter, on which kernels, and what it is mistaken for' \
'reason:What a drop reason or a reset reason of the kernel says of a handshake' \
'rule:A rule of the kernel, or the page of a finding' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'halfopen explain commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__explain__subcmd__counter_commands] )) ||
_halfopen__subcmd__explain__subcmd__counter_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen explain counter commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__explain__subcmd__help_commands] )) ||
_halfopen__subcmd__explain__subcmd__help_commands() {
    local commands; commands=(
'limits:What a backlog becomes\: room of the accept queue and of the SYN queue' \
'retries:When SYN and SYN-ACK are sent again, and when either side gives up' \
'counter:What moves a counter, on which kernels, and what it is mistaken for' \
'reason:What a drop reason or a reset reason of the kernel says of a handshake' \
'rule:A rule of the kernel, or the page of a finding' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'halfopen explain help commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__explain__subcmd__help__subcmd__counter_commands] )) ||
_halfopen__subcmd__explain__subcmd__help__subcmd__counter_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen explain help counter commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__explain__subcmd__help__subcmd__help_commands] )) ||
_halfopen__subcmd__explain__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen explain help help commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__explain__subcmd__help__subcmd__limits_commands] )) ||
_halfopen__subcmd__explain__subcmd__help__subcmd__limits_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen explain help limits commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__explain__subcmd__help__subcmd__reason_commands] )) ||
_halfopen__subcmd__explain__subcmd__help__subcmd__reason_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen explain help reason commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__explain__subcmd__help__subcmd__retries_commands] )) ||
_halfopen__subcmd__explain__subcmd__help__subcmd__retries_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen explain help retries commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__explain__subcmd__help__subcmd__rule_commands] )) ||
_halfopen__subcmd__explain__subcmd__help__subcmd__rule_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen explain help rule commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__explain__subcmd__limits_commands] )) ||
_halfopen__subcmd__explain__subcmd__limits_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen explain limits commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__explain__subcmd__reason_commands] )) ||
_halfopen__subcmd__explain__subcmd__reason_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen explain reason commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__explain__subcmd__retries_commands] )) ||
_halfopen__subcmd__explain__subcmd__retries_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen explain retries commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__explain__subcmd__rule_commands] )) ||
_halfopen__subcmd__explain__subcmd__rule_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen explain rule commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__generate_commands] )) ||
_halfopen__subcmd__generate_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen generate commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__help_commands] )) ||
_halfopen__subcmd__help_commands() {
    local commands; commands=(
'check:What is wrong on this host now?' \
'record:Take the evidence of a check into a file, to look at it elsewhere' \
'replay:Run a check over recorded evidence' \
'trace:Each TCP handshake as it happens\: how it came out, when, between whom, what was sent again' \
'pcap:What became of each TCP handshake in a capture?' \
'stacks:What is every thread of a process doing, and who holds the lock that it waits for?' \
'sim:What would a kernel do? Simulate a scenario on any kernel, with any settings' \
'explain:The kernel'\''s rules behind a number\: queue limits, timetables, counters, drop reasons' \
'lab:Reproduce incidents on the running kernel, in scratch namespaces' \
'completions:Print a completion script for a shell' \
'man:Print the man page (roff)' \
'generate:Write docs, schema, man page and completions' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'halfopen help commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__help__subcmd__check_commands] )) ||
_halfopen__subcmd__help__subcmd__check_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen help check commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__help__subcmd__completions_commands] )) ||
_halfopen__subcmd__help__subcmd__completions_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen help completions commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__help__subcmd__explain_commands] )) ||
_halfopen__subcmd__help__subcmd__explain_commands() {
    local commands; commands=(
'limits:What a backlog becomes\: room of the accept queue and of the SYN queue' \
'retries:When SYN and SYN-ACK are sent again, and when either side gives up' \
'counter:What moves a counter, on which kernels, and what it is mistaken for' \
'reason:What a drop reason or a reset reason of the kernel says of a handshake' \
'rule:A rule of the kernel, or the page of a finding' \
    )
    _describe -t commands 'halfopen help explain commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__help__subcmd__explain__subcmd__counter_commands] )) ||
_halfopen__subcmd__help__subcmd__explain__subcmd__counter_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen help explain counter commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__help__subcmd__explain__subcmd__limits_commands] )) ||
_halfopen__subcmd__help__subcmd__explain__subcmd__limits_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen help explain limits commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__help__subcmd__explain__subcmd__reason_commands] )) ||
_halfopen__subcmd__help__subcmd__explain__subcmd__reason_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen help explain reason commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__help__subcmd__explain__subcmd__retries_commands] )) ||
_halfopen__subcmd__help__subcmd__explain__subcmd__retries_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen help explain retries commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__help__subcmd__explain__subcmd__rule_commands] )) ||
_halfopen__subcmd__help__subcmd__explain__subcmd__rule_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen help explain rule commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__help__subcmd__generate_commands] )) ||
_halfopen__subcmd__help__subcmd__generate_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen help generate commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__help__subcmd__help_commands] )) ||
_halfopen__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen help help commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__help__subcmd__lab_commands] )) ||
_halfopen__subcmd__help__subcmd__lab_commands() {
    local commands; commands=(
'list:List the scenarios, the findings that each must give, and what each needs' \
'probe:Measure how this kernel fills its queues, and which releases do so' \
'run:Bring a scenario about' \
    )
    _describe -t commands 'halfopen help lab commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__help__subcmd__lab__subcmd__list_commands] )) ||
_halfopen__subcmd__help__subcmd__lab__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen help lab list commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__help__subcmd__lab__subcmd__probe_commands] )) ||
_halfopen__subcmd__help__subcmd__lab__subcmd__probe_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen help lab probe commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__help__subcmd__lab__subcmd__run_commands] )) ||
_halfopen__subcmd__help__subcmd__lab__subcmd__run_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen help lab run commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__help__subcmd__man_commands] )) ||
_halfopen__subcmd__help__subcmd__man_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen help man commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__help__subcmd__pcap_commands] )) ||
_halfopen__subcmd__help__subcmd__pcap_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen help pcap commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__help__subcmd__record_commands] )) ||
_halfopen__subcmd__help__subcmd__record_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen help record commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__help__subcmd__replay_commands] )) ||
_halfopen__subcmd__help__subcmd__replay_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen help replay commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__help__subcmd__sim_commands] )) ||
_halfopen__subcmd__help__subcmd__sim_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen help sim commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__help__subcmd__stacks_commands] )) ||
_halfopen__subcmd__help__subcmd__stacks_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen help stacks commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__help__subcmd__trace_commands] )) ||
_halfopen__subcmd__help__subcmd__trace_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen help trace commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__lab_commands] )) ||
_halfopen__subcmd__lab_commands() {
    local commands; commands=(
'list:List the scenarios, the findings that each must give, and what each needs' \
'probe:Measure how this kernel fills its queues, and which releases do so' \
'run:Bring a scenario about' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'halfopen lab commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__lab__subcmd__help_commands] )) ||
_halfopen__subcmd__lab__subcmd__help_commands() {
    local commands; commands=(
'list:List the scenarios, the findings that each must give, and what each needs' \
'probe:Measure how this kernel fills its queues, and which releases do so' \
'run:Bring a scenario about' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'halfopen lab help commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__lab__subcmd__help__subcmd__help_commands] )) ||
_halfopen__subcmd__lab__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen lab help help commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__lab__subcmd__help__subcmd__list_commands] )) ||
_halfopen__subcmd__lab__subcmd__help__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen lab help list commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__lab__subcmd__help__subcmd__probe_commands] )) ||
_halfopen__subcmd__lab__subcmd__help__subcmd__probe_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen lab help probe commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__lab__subcmd__help__subcmd__run_commands] )) ||
_halfopen__subcmd__lab__subcmd__help__subcmd__run_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen lab help run commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__lab__subcmd__list_commands] )) ||
_halfopen__subcmd__lab__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen lab list commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__lab__subcmd__probe_commands] )) ||
_halfopen__subcmd__lab__subcmd__probe_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen lab probe commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__lab__subcmd__run_commands] )) ||
_halfopen__subcmd__lab__subcmd__run_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen lab run commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__man_commands] )) ||
_halfopen__subcmd__man_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen man commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__pcap_commands] )) ||
_halfopen__subcmd__pcap_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen pcap commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__record_commands] )) ||
_halfopen__subcmd__record_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen record commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__replay_commands] )) ||
_halfopen__subcmd__replay_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen replay commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__sim_commands] )) ||
_halfopen__subcmd__sim_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen sim commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__stacks_commands] )) ||
_halfopen__subcmd__stacks_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen stacks commands' commands "$@"
}
(( $+functions[_halfopen__subcmd__trace_commands] )) ||
_halfopen__subcmd__trace_commands() {
    local commands; commands=()
    _describe -t commands 'halfopen trace commands' commands "$@"
}

if [ "$funcstack[1]" = "_halfopen" ]; then
    _halfopen "$@"
else
    compdef _halfopen halfopen
fi
