/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * Handshakes as they happen. Nothing is kept of a sound one: what its stages took is read from the
 * kernel's own sockets when it is complete. What goes wrong is told with an event; the rest is
 * counted, and told only if `settings.all` is set.
 *
 * Each program works without the others.
 */
#include "pids.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* Settings, counters and events are shared with src/bpf/trace/. */

#define EVENTS_SIZE (1 << 20)
#define PORTS_MAX 16
#define REASONS_MAX 256

/* What to do with a segment that was dropped for a reason. */
#define TELL_OF_SYN 1
#define TELL_OF_ANY 2

struct settings {
	/* Inode of the only network namespace to tell of; 0 for all. */
	__u32 netns;
	/* Events of one CPU and second that are told of. */
	__u32 events_per_second;
	/* Tells of sound handshakes too. */
	__u8 all;
	/* How many ports there are in `ports`; 0 for all. */
	__u8 ports_used;
	/* Tells of connections to or from these alone. */
	__u16 ports[PORTS_MAX];
	/* TELL_OF_SYN, TELL_OF_ANY by the kernel's number of a drop reason. */
	__u8 reasons[REASONS_MAX];
};

const volatile struct settings settings = {};

enum kind {
	CONNECTED = 1,
	CONNECT_FAILED = 2,
	SYN_REPEATED = 3,
	DATA_REPEATED = 4,
	QUEUED = 5,
	ACCEPTED = 6,
	SYN_ACK_REPEATED = 7,
	SEGMENT_DROPPED = 8,
	RESET_SENT = 9,
	RESET_RECEIVED = 10,
	LISTENING = 11,
	SYN_DROPPED = 12,
	CLOSED_UNACCEPTED = 13,
	BIND_CALL_FAILED = 14,
	CONNECT_CALL_FAILED = 15,
	KINDS,
};

struct event {
	/* CLOCK_MONOTONIC. */
	__u64 at_ns;
	/* What it took, by kind; 0 if that is not known. */
	__u64 took_us;
	/* Inode of the socket of the own end, or of the listening socket; 0 if there is none. */
	__u64 inode;
	__u32 netns;
	/* The process whose doing it is; 0 if that is not known, or has no number where we are. */
	__u32 pid;
	/* errno, drop or reset reason, the backlog that was asked for; by kind. */
	__s32 value;
	/* Of a listening socket: its accept queue. */
	__u32 depth;
	__u32 limit;
	/* SYNs, SYN-ACKs or data that were sent again. */
	__u32 repeats;
	__u16 local_port;
	__u16 peer_port;
	__u8 kind;
	__u8 family;
	/* State of the socket before. */
	__u8 state;
	/* Flags of the segment. */
	__u8 flags;
	/* Of a request: its ACK has arrived; TCP_DEFER_ACCEPT; time-outs. */
	__u8 acked;
	__u8 defer_accept;
	__u8 timeouts;
	__u8 unused;
	__u8 local[16];
	__u8 peer[16];
	char comm[16];
	__u8 padding[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENTS_SIZE);
} events SEC(".maps");

struct counts {
	/* By kind: how often it happened, told or not. */
	__u64 seen[KINDS];
	/* Events that the rate limit held back, and those that found no room. */
	__u64 held_back;
	__u64 lost;
	/* The second, of 2^30 ns, that `told` is of. */
	__u64 second;
	__u64 told;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counts);
} counts SEC(".maps");

/* Four buckets to each power of two nanoseconds from 2^10 on, as in capture/src/latency.rs. */
#define FIRST_OCTAVE 10
#define OCTAVES 28
#define BUCKETS (OCTAVES * 4)
/* A power of two, so that every verifier sees an index stay below it. */
#define SLOTS 128

struct place {
	__u32 netns;
	__u16 port;
	__u16 family;
	__u8 local[16];
};

struct waits {
	__u64 buckets[SLOTS];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(max_entries, 256);
	__type(key, struct place);
	__type(value, struct waits);
} accept_waits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct waits);
} no_waits SEC(".maps");

static struct counts *counted(enum kind kind)
{
	__u32 zero = 0;
	struct counts *mine = bpf_map_lookup_elem(&counts, &zero);

	if (mine)
		mine->seen[kind]++;
	return mine;
}

static bool is_wanted_port(__u16 port)
{
	for (int i = 0; i < PORTS_MAX; i++) {
		if (i >= settings.ports_used)
			break;
		if (settings.ports[i] == port)
			return 1;
	}
	return 0;
}

static bool is_wanted(__u32 netns, __u16 local_port, __u16 peer_port)
{
	if (settings.netns && settings.netns != netns)
		return 0;
	return !settings.ports_used || is_wanted_port(local_port) || is_wanted_port(peer_port);
}

/* Asked first, since a socket's ends have a price. */
static bool is_all_wanted(void)
{
	return !settings.netns && !settings.ports_used;
}

static bool is_wanted_with(struct sock_common *common, __u16 local_port)
{
	return is_wanted(BPF_CORE_READ(common, skc_net.net, ns.inum), local_port,
			 __builtin_bswap16(BPF_CORE_READ(common, skc_dport)));
}

static bool is_wanted_sock(struct sock *sk)
{
	return is_all_wanted() ||
	       is_wanted_with(&sk->__sk_common, BPF_CORE_READ(sk, __sk_common.skc_num));
}

/* Room for an event, unless this CPU has told of enough in this second. */
static struct event *reserve(enum kind kind, struct counts *mine)
{
	__u64 now = bpf_ktime_get_ns();
	struct event *event;

	if (!mine)
		return 0;
	if (mine->second != now >> 30) {
		mine->second = now >> 30;
		mine->told = 0;
	}
	if (mine->told >= settings.events_per_second) {
		mine->held_back++;
		return 0;
	}
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		mine->lost++;
		return 0;
	}
	mine->told++;
	__builtin_memset(event, 0, sizeof(*event));
	event->at_ns = now;
	event->kind = kind;
	return event;
}

/* What there is to read when the reader is woken. */
#define MUCH (EVENTS_SIZE / 8)
/* Events that other CPUs may add in between. */
#define ADDED (32 * sizeof(struct event))

/* Wakes the reader only when there is much to read, since a wake-up is an interrupt: it looks from time
 * to time by itself. */
static void submit(struct event *event)
{
	__u64 there = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA);
	bool wakes = there >= MUCH && there % MUCH < ADDED;

	bpf_ringbuf_submit(event, wakes ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
}

/* A socket that comes from a tracepoint's arguments is read by plain loads, which cost a twentieth of a
 * read by address; `by_load` is a constant wherever this is used. */
#define READ(by_load, pointer, field) \
	((by_load) ? (pointer)->field : BPF_CORE_READ(pointer, field))

static inline __attribute__((always_inline)) void
read_place(struct place *place, struct sock_common *common, const bool by_load)
{
	place->netns = by_load ? common->skc_net.net->ns.inum :
				 BPF_CORE_READ(common, skc_net.net, ns.inum);
	place->port = READ(by_load, common, skc_num);
	place->family = READ(by_load, common, skc_family);
	if (place->family == AF_INET)
		*(__be32 *)place->local = READ(by_load, common, skc_rcv_saddr);
	else
		bpf_core_read(place->local, 16, &common->skc_v6_rcv_saddr);
}

/* `place` is the local end. */
static inline __attribute__((always_inline)) void
fill_ends_at(struct event *event, const struct place *place, struct sock_common *common,
	     const bool by_load)
{
	event->netns = place->netns;
	event->family = place->family;
	event->local_port = place->port;
	__builtin_memcpy(event->local, place->local, sizeof(event->local));
	event->peer_port = __builtin_bswap16(READ(by_load, common, skc_dport));
	if (place->family == AF_INET)
		*(__be32 *)event->peer = READ(by_load, common, skc_daddr);
	else
		bpf_core_read(event->peer, 16, &common->skc_v6_daddr);
}

static void fill_ends(struct event *event, struct sock_common *common)
{
	struct place place = {};

	read_place(&place, common, 0);
	fill_ends_at(event, &place, common, 0);
}

static void fill_sock(struct event *event, struct sock *sk)
{
	fill_ends(event, &sk->__sk_common);
	event->state = BPF_CORE_READ(sk, __sk_common.skc_state);
	event->inode = BPF_CORE_READ(sk, sk_socket, file, f_inode, i_ino);
}

static void fill_listening(struct event *event, struct sock *listener)
{
	event->inode = BPF_CORE_READ(listener, sk_socket, file, f_inode, i_ino);
	event->depth = BPF_CORE_READ(listener, sk_ack_backlog);
	event->limit = BPF_CORE_READ(listener, sk_max_ack_backlog);
}

static __u32 this_process(void)
{
	if (pid_namespace == FIRST_PID_NAMESPACE)
		return bpf_get_current_pid_tgid() >> 32;
	return process_number((struct task_struct *)bpf_get_current_task());
}

static void fill_process(struct event *event)
{
	event->pid = this_process();
	bpf_get_current_comm(event->comm, sizeof(event->comm));
}

/* Microseconds since the connection was established: nobody has read from it yet, so the clock of its
 * receive buffer still stands where tcp_init_buffer_space() set it. */
static __u64 since_established(struct tcp_sock *tcp)
{
	__u64 then = BPF_CORE_READ(tcp, rcvq_space.time);
	__u64 now = bpf_ktime_get_ns() / 1000;

	return then && now > then ? now - then : 0;
}

/* Microseconds since the first SYN, by tcp_connect()'s stamp in milliseconds. */
static __u64 since_first_syn(struct tcp_sock *tcp)
{
	__u32 now = bpf_ktime_get_ns() / 1000000;
	__u32 then = BPF_CORE_READ(tcp, retrans_stamp);

	return then ? (__u64)(now - then) * 1000 : 0;
}

/* Connections. */

/* Who has called connect() and waits for what comes of it. */
struct caller {
	/* The socket, XORed with the rest: what two CPUs wrote at once is nobody's. */
	__u64 check;
	__u64 pid;
	__u64 comm[2];
};

/* Sockets that share a place, in which each is searched for. */
#define NEIGHBOURS 4
#define CALLER_PLACES_LOG2 13

struct callers {
	struct caller of[NEIGHBOURS];
};

/* Callers by a hash of the socket, without locks; only if all is told. When a place is full, one of
 * them loses its name. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << CALLER_PLACES_LOG2);
	__type(key, __u32);
	__type(value, struct callers);
} callers SEC(".maps");

static struct callers *callers_near(__u64 sk)
{
	/* 2^64 by the golden ratio: multiplicative hashing. */
	__u32 place = sk * 0x9e3779b97f4a7c15 >> (64 - CALLER_PLACES_LOG2);

	return bpf_map_lookup_elem(&callers, &place);
}

static __u64 socket_of(const struct caller *caller)
{
	return caller->check ^ caller->pid ^ caller->comm[0] ^ caller->comm[1];
}

/* Where the socket is; else where none is; else the first. */
static struct caller *place_for(struct callers *near, __u64 sk)
{
	struct caller *free = &near->of[0];

	for (int i = 0; i < NEIGHBOURS; i++) {
		__u64 there = socket_of(&near->of[i]);

		if (there == sk)
			return &near->of[i];
		if (!there)
			free = &near->of[i];
	}
	return free;
}

/* A tracepoint's first argument as a number: verifiers let nobody calculate with a pointer. */
static __u64 number_of_first(__u64 *ctx)
{
	__u64 number = 0;

	bpf_probe_read_kernel(&number, sizeof(number), ctx);
	return number;
}

/* The socket is the first argument. */
static void calls(__u64 *ctx)
{
	struct caller caller = { .pid = this_process() };
	__u64 sk = number_of_first(ctx);
	struct callers *near = callers_near(sk);

	if (!near)
		return;
	bpf_get_current_comm(caller.comm, sizeof(caller.comm));
	caller.check = sk ^ caller.pid ^ caller.comm[0] ^ caller.comm[1];
	*place_for(near, sk) = caller;
}

static void fill_caller(struct event *event, __u64 *ctx)
{
	__u64 sk = number_of_first(ctx);
	struct callers *near = callers_near(sk);
	struct caller none = {}, caller, *place;

	if (!near)
		return;
	place = place_for(near, sk);
	caller = *place;
	if (socket_of(&caller) != sk)
		return;
	*place = none;
	event->pid = caller.pid;
	__builtin_memcpy(event->comm, caller.comm, sizeof(event->comm));
}

static void changes_to_established(__u64 *ctx, int old)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
	enum kind kind = old == SYN_SENT ? CONNECTED : QUEUED;
	struct counts *mine = counted(kind);
	struct place place = {};
	struct event *event;

	if (!tcp || (!tcp->total_retrans && !settings.all))
		return;
	event = reserve(kind, mine);
	if (!event)
		return;
	read_place(&place, &sk->__sk_common, 1);
	fill_ends_at(event, &place, &sk->__sk_common, 1);
	event->state = old;
	event->repeats = tcp->total_retrans;
	event->took_us = tcp->srtt_us >> 3;
	/* The other end is no process's yet. */
	if (kind == CONNECTED) {
		event->inode = sk->sk_socket->file->f_inode->i_ino;
		if (settings.all)
			fill_caller(event, ctx);
	}
	submit(event);
}

/* tcp_v4_connect() has changed the state and found no port for this destination: no SYN was made. */
static void finds_no_port(struct sock *sk)
{
	struct event *event = reserve(CONNECT_CALL_FAILED, counted(CONNECT_CALL_FAILED));

	if (!event)
		return;
	fill_sock(event, sk);
	fill_process(event);
	event->value = EADDRNOTAVAIL;
	submit(event);
}

static void connect_failed(__u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct tcp_sock *tcp = (struct tcp_sock *)sk;
	__u16 port = __builtin_bswap16(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	struct event *event;

	/* The first SYN sets write_seq. A socket that was connected before keeps one. */
	if (!port || !BPF_CORE_READ(tcp, write_seq)) {
		finds_no_port(sk);
		return;
	}
	event = reserve(CONNECT_FAILED, counted(CONNECT_FAILED));
	if (!event)
		return;
	fill_sock(event, sk);
	/* It was given back already. */
	event->local_port = port;
	event->state = SYN_SENT;
	event->value = BPF_CORE_READ(sk, sk_err);
	event->took_us = since_first_syn(tcp);
	event->repeats = BPF_CORE_READ(tcp, total_retrans);
	if (settings.all)
		fill_caller(event, ctx);
	submit(event);
}

/* The backlog as listen() was called with it, before somaxconn cut it. */
static int asked_backlog(void)
{
	void *regs = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());

	if (bpf_core_field_exists(struct pt_regs___x86, si))
		return BPF_CORE_READ((struct pt_regs___x86 *)regs, si);
	return BPF_CORE_READ((struct pt_regs___arm64 *)regs, regs[1]);
}

static void listens(struct sock *sk, int backlog)
{
	struct event *event = reserve(LISTENING, counted(LISTENING));

	if (!event)
		return;
	fill_sock(event, sk);
	fill_listening(event, sk);
	fill_process(event);
	event->value = backlog;
	submit(event);
}

static bool is_connection_change(struct sock *sk, int old, int new)
{
	bool ends = old == SYN_SENT && new == CLOSE;
	bool begins = new == SYN_SENT && settings.all;

	if (new != ESTABLISHED && !ends && !begins)
		return 0;
	return sk->sk_protocol == IPPROTO_TCP && is_wanted_sock(sk);
}

static void connection_changes(__u64 *ctx, int old, int new)
{
	if (new == ESTABLISHED)
		changes_to_established(ctx, old);
	else if (new == SYN_SENT)
		calls(ctx);
	else
		connect_failed(ctx);
}

SEC("tp_btf/inet_sock_set_state")
int state_changes(__u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];

	if (is_connection_change(sk, ctx[1], ctx[2]))
		connection_changes(ctx, ctx[1], ctx[2]);
	else if (ctx[2] == LISTEN && sk->sk_protocol == IPPROTO_TCP && is_wanted_sock(sk))
		listens(sk, asked_backlog());
	return 0;
}

/* For when another program tells of listen(), and for before 5.15, when none can read the registers of
 * the call. */
SEC("tp_btf/inet_sock_set_state")
int connections_change(__u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];

	if (is_connection_change(sk, ctx[1], ctx[2]))
		connection_changes(ctx, ctx[1], ctx[2]);
	return 0;
}

/* Also tells when a socket that listens is given another backlog. */
SEC("fexit/inet_listen")
int listen_returns(__u64 *ctx)
{
	struct socket *socket = (struct socket *)ctx[0];
	struct sock *sk = socket->sk;

	if (!(int)ctx[2] && sk->sk_protocol == IPPROTO_TCP && is_wanted_sock(sk))
		listens(sk, ctx[1]);
	return 0;
}

SEC("tp_btf/tcp_retransmit_skb")
int segment_is_repeated(__u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct tcp_sock *tcp = (struct tcp_sock *)sk;
	int state = BPF_CORE_READ(sk, __sk_common.skc_state);
	bool is_syn = state == SYN_SENT;
	struct event *event;
	enum kind kind;

	/* Of an established connection only its first data matter here, and only as long as the peer has
	 * acknowledged nothing but the SYN. */
	if (!is_syn && (state != ESTABLISHED || BPF_CORE_READ(tcp, bytes_acked) > 1))
		return 0;
	if (!is_wanted_sock(sk))
		return 0;
	kind = is_syn ? SYN_REPEATED : DATA_REPEATED;
	event = reserve(kind, counted(kind));
	if (!event)
		return 0;
	fill_sock(event, sk);
	event->repeats = BPF_CORE_READ(tcp, total_retrans);
	if (is_syn)
		event->took_us = since_first_syn(tcp);
	submit(event);
	return 0;
}

SEC("tp_btf/tcp_receive_reset")
int reset_is_received(__u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
	struct event *event;

	/* A connection on which data moved was one. */
	if (!tcp || sk->__sk_common.skc_state != ESTABLISHED || tcp->bytes_received ||
	    tcp->bytes_acked > 1 || !is_wanted_sock(sk))
		return 0;
	event = reserve(RESET_RECEIVED, counted(RESET_RECEIVED));
	if (!event)
		return 0;
	fill_sock(event, sk);
	event->took_us = since_established(tcp);
	submit(event);
	return 0;
}

/* Requests. */

SEC("tp_btf/tcp_retransmit_synack")
int syn_ack_is_repeated(__u64 *ctx)
{
	struct sock *listener = (struct sock *)ctx[0];
	struct inet_request_sock *request = (struct inet_request_sock *)ctx[1];
	struct event *event;

	if (!is_all_wanted() && !is_wanted_with(&request->req.__req_common,
						BPF_CORE_READ(request, req.__req_common.skc_num)))
		return 0;
	event = reserve(SYN_ACK_REPEATED, counted(SYN_ACK_REPEATED));
	if (!event)
		return 0;
	fill_ends(event, &request->req.__req_common);
	fill_listening(event, listener);
	event->state = NEW_SYN_RECV;
	event->acked = BPF_CORE_READ_BITFIELD_PROBED(request, acked);
	event->timeouts = BPF_CORE_READ_BITFIELD_PROBED(&request->req, num_timeout);
	/* It is counted after this. */
	event->repeats = BPF_CORE_READ(request, req.num_retrans) + 1;
	event->defer_accept = BPF_CORE_READ((struct tcp_sock *)listener,
					    inet_conn.icsk_accept_queue.rskq_defer_accept);
	submit(event);
	return 0;
}

/* Segments. */

struct ports {
	__be16 source;
	__be16 dest;
};

struct segment {
	struct ports ports;
	__u8 flags;
	__u8 family;
	__u8 source[16];
	__u8 dest[16];
};

#define FLAG_SYN 2

/* Bytes of a header of IPv6, and of TCP up to the flags. */
#define IPV6_HEADER 40
#define TCP_TO_FLAGS 14

/* Reads the headers of a segment that is on its way up or down. False if it is none of TCP. */
static bool read_segment(struct sk_buff *skb, struct segment *segment)
{
	unsigned char *at = skb->head + skb->network_header;
	__u8 ip[IPV6_HEADER], tcp[TCP_TO_FLAGS];

	/* Behind a shorter header is the rest of the buffer. */
	if (bpf_probe_read_kernel(ip, sizeof(ip), at))
		return 0;
	if (ip[0] >> 4 == 4 && ip[9] == IPPROTO_TCP) {
		segment->family = AF_INET;
		__builtin_memcpy(segment->source, ip + 12, 4);
		__builtin_memcpy(segment->dest, ip + 16, 4);
		at += (ip[0] & 15) * 4;
	} else if (ip[0] >> 4 == 6 && ip[6] == IPPROTO_TCP) {
		segment->family = AF_INET6;
		__builtin_memcpy(segment->source, ip + 8, 16);
		__builtin_memcpy(segment->dest, ip + 24, 16);
		at += sizeof(ip);
	} else {
		return 0;
	}
	if (bpf_probe_read_kernel(tcp, sizeof(tcp), at))
		return 0;
	__builtin_memcpy(&segment->ports, tcp, sizeof(segment->ports));
	segment->flags = tcp[13];
	return 1;
}

static __u32 netns_of(struct sock *sk, struct sk_buff *skb)
{
	/* What has not left yet has no device. */
	if (!sk)
		sk = BPF_CORE_READ(skb, sk);
	if (sk)
		return BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	return BPF_CORE_READ(skb, dev, nd_net.net, ns.inum);
}

/* The segment came from the peer. */
static void fill_segment(struct event *event, struct segment *segment)
{
	event->family = segment->family;
	event->flags = segment->flags;
	event->local_port = __builtin_bswap16(segment->ports.dest);
	event->peer_port = __builtin_bswap16(segment->ports.source);
	__builtin_memcpy(event->local, segment->dest, 16);
	__builtin_memcpy(event->peer, segment->source, 16);
}

static void fill_listener(struct event *event, struct sock *sk)
{
	if (!sk)
		return;
	event->state = BPF_CORE_READ(sk, __sk_common.skc_state);
	if (event->state == LISTEN)
		fill_listening(event, sk);
}

static void tell_of_segment(enum kind kind, struct sock *sk, struct sk_buff *skb,
			    struct segment *segment, int value)
{
	__u32 netns = netns_of(sk, skb);
	struct event *event;

	if (!is_wanted(netns, __builtin_bswap16(segment->ports.dest),
		       __builtin_bswap16(segment->ports.source)))
		return;
	event = reserve(kind, counted(kind));
	if (!event)
		return;
	fill_segment(event, segment);
	fill_listener(event, sk);
	event->netns = netns;
	event->value = value;
	submit(event);
}

static void segment_is_freed(struct sk_buff *skb, __u32 reason, struct sock *sk)
{
	struct segment segment = {};
	__u8 tell;

	if (reason >= REASONS_MAX)
		return;
	tell = settings.reasons[reason];
	if (!tell || !read_segment(skb, &segment))
		return;
	if (tell == TELL_OF_SYN && !(segment.flags & FLAG_SYN))
		return;
	tell_of_segment(SEGMENT_DROPPED, sk, skb, &segment, reason);
}

/* Since 6.11 the tracepoint says which socket the segment was for. */
SEC("tp_btf/kfree_skb")
int segment_is_dropped_at(__u64 *ctx)
{
	segment_is_freed((struct sk_buff *)ctx[0], ctx[2], (struct sock *)ctx[3]);
	return 0;
}

SEC("tp_btf/kfree_skb")
int segment_is_dropped(__u64 *ctx)
{
	segment_is_freed((struct sk_buff *)ctx[0], ctx[2], 0);
	return 0;
}

/* A reset that answers no segment: of a child that was closed with its listening socket, before any
 * process had it. Its port was given back already. */
static void closes_unaccepted(struct sock *sk, int reason)
{
	struct event *event;
	__u16 port;

	if (!sk || sk->sk_socket || sk->__sk_common.skc_state != CLOSE)
		return;
	port = __builtin_bswap16(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	if (!is_all_wanted() && !is_wanted_with(&sk->__sk_common, port))
		return;
	event = reserve(CLOSED_UNACCEPTED, counted(CLOSED_UNACCEPTED));
	if (!event)
		return;
	fill_sock(event, sk);
	event->local_port = port;
	event->value = reason;
	event->took_us = since_established((struct tcp_sock *)sk);
	submit(event);
}

static void reset_goes_out(struct sock *sk, struct sk_buff *skb, int reason)
{
	struct segment segment = {};

	if (!skb) {
		closes_unaccepted(sk, reason);
		return;
	}
	if (!read_segment(skb, &segment))
		return;
	tell_of_segment(RESET_SENT, sk, skb, &segment, reason);
}

/* Since 6.10 the tracepoint has a reason. */
SEC("tp_btf/tcp_send_reset")
int reset_is_sent_for(__u64 *ctx)
{
	reset_goes_out((struct sock *)ctx[0], (struct sk_buff *)ctx[1], ctx[2]);
	return 0;
}

SEC("tp_btf/tcp_send_reset")
int reset_is_sent(__u64 *ctx)
{
	reset_goes_out((struct sock *)ctx[0], (struct sk_buff *)ctx[1], -1);
	return 0;
}

/* Drops of SYNs have had no reason since 4.10: the function returns 0 either way, and what it has
 * decided by is still there when it returns. */
SEC("fexit/tcp_conn_request")
int syn_is_answered(__u64 *ctx)
{
	struct sock *listener = (struct sock *)ctx[2];
	struct sk_buff *skb = (struct sk_buff *)ctx[3];
	struct segment segment = {};

	if (BPF_CORE_READ(listener, sk_ack_backlog) <= BPF_CORE_READ(listener, sk_max_ack_backlog))
		return 0;
	if (read_segment(skb, &segment))
		tell_of_segment(SYN_DROPPED, listener, skb, &segment, 0);
	return 0;
}

/* Accepting. */

static void add_wait(const struct place *place, __u64 us)
{
	struct waits *waits = bpf_map_lookup_elem(&accept_waits, place);
	__u64 ns = us * 1000;
	__u32 zero = 0, octave = 0, bucket = 0;

	if (!waits) {
		struct waits *none = bpf_map_lookup_elem(&no_waits, &zero);

		if (!none)
			return;
		bpf_map_update_elem(&accept_waits, place, none, BPF_NOEXIST);
		waits = bpf_map_lookup_elem(&accept_waits, place);
		if (!waits)
			return;
	}
	for (__u32 bit = 32; bit; bit >>= 1) {
		if (ns >> octave >> bit)
			octave += bit;
	}
	if (octave >= FIRST_OCTAVE)
		bucket = (octave - FIRST_OCTAVE) * 4 + (ns >> (octave - 2) & 3);
	if (bucket >= BUCKETS)
		bucket = BUCKETS - 1;
	/* The compiler knows that this changes nothing and would leave it out. */
	asm volatile("" : "+r"(bucket));
	waits->buckets[bucket & (SLOTS - 1)]++;
}

static void is_accepted(struct sock *sk)
{
	struct place place = {};
	struct event *event;
	struct counts *mine;
	__u64 waited;

	if (!is_wanted_sock(sk))
		return;
	mine = counted(ACCEPTED);
	waited = since_established((struct tcp_sock *)sk);
	read_place(&place, &sk->__sk_common, 0);
	add_wait(&place, waited);
	if (!settings.all)
		return;
	event = reserve(ACCEPTED, mine);
	if (!event)
		return;
	fill_ends_at(event, &place, &sk->__sk_common, 0);
	fill_process(event);
	event->took_us = waited;
	submit(event);
}

/* Other protocols use this function too. */
static void tcp_is_accepted(struct sock *sk)
{
	if (BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP)
		is_accepted(sk);
}

SEC("fexit/inet_csk_accept")
int accept_returns(__u64 *ctx)
{
	__u64 sk = 0;

	if (!bpf_get_func_ret(ctx, &sk) && sk)
		tcp_is_accepted((struct sock *)sk);
	return 0;
}

/* Before 5.17 what a function returns is where its arguments end: there were four. */
SEC("fexit/inet_csk_accept")
int accept_of_four_returns(__u64 *ctx)
{
	if (ctx[4])
		tcp_is_accepted((struct sock *)ctx[4]);
	return 0;
}

/* Where the function's return cannot be hooked, the system call's can, at the price of a test at the
 * end of every system call of this host. */

enum call { OTHER, BIND, CONNECT, ACCEPT };

/* Which system call it is, by its number. */
static enum call call_of(void *regs)
{
	if (bpf_core_field_exists(struct pt_regs___x86, orig_ax)) {
		switch (((struct pt_regs___x86 *)regs)->orig_ax) {
		case 42: return CONNECT;
		case 49: return BIND;
		case 43:
		case 288: return ACCEPT;
		default: return OTHER;
		}
	}
	switch (((struct pt_regs___arm64 *)regs)->syscallno) {
	case 203: return CONNECT;
	case 200: return BIND;
	case 202:
	case 242: return ACCEPT;
	default: return OTHER;
	}
}

/* The TCP socket that is open as a descriptor of this process. */
static struct sock *tcp_socket_at(unsigned long fd)
{
	struct fdtable *table = bpf_get_current_task_btf()->files->fdt;
	struct file *file = 0;
	struct socket *socket;
	struct sock *sk;

	if (fd >= table->max_fds)
		return 0;
	bpf_probe_read_kernel(&file, sizeof(file), table->fd + fd);
	socket = BPF_CORE_READ(file, private_data);
	/* Another thread may have closed it and opened something else. */
	if (!file || BPF_CORE_READ(socket, file) != file)
		return 0;
	sk = BPF_CORE_READ(socket, sk);
	return BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP ? sk : 0;
}

static void accept_call_returns(long fd)
{
	struct sock *sk = fd < 0 ? 0 : tcp_socket_at(fd);

	if (sk)
		is_accepted(sk);
}

/* Calls that fail before anything is sent. */

/* What a call was given. */
struct address {
	__u16 family;
	__be16 port;
	__u8 ip[16];
};

static void read_from(void *to, __u32 size, const void *from, bool is_user)
{
	if (is_user)
		bpf_probe_read_user(to, size, from);
	else
		bpf_probe_read_kernel(to, size, from);
}

/* Reads `struct sockaddr_in` or `struct sockaddr_in6`. */
static void read_address(struct address *address, const void *given, bool is_user)
{
	/* Family and port. */
	read_from(address, 4, given, is_user);
	if (address->family == AF_INET)
		read_from(address->ip, 4, given + 4, is_user);
	else if (address->family == AF_INET6)
		read_from(address->ip, 16, given + 8, is_user);
}

static void call_fails(enum call call, struct sock *sk, struct address *address, int error)
{
	enum kind kind = call == BIND ? BIND_CALL_FAILED : CONNECT_CALL_FAILED;
	__u16 port = __builtin_bswap16(address->port);
	__u32 netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	struct event *event;

	if (address->family != AF_INET && address->family != AF_INET6)
		return;
	if (!is_wanted(netns, port, port))
		return;
	event = reserve(kind, counted(kind));
	if (!event)
		return;
	fill_process(event);
	event->netns = netns;
	event->value = -error;
	event->family = address->family;
	if (call == BIND) {
		event->local_port = port;
		__builtin_memcpy(event->local, address->ip, 16);
	} else {
		event->peer_port = port;
		__builtin_memcpy(event->peer, address->ip, 16);
	}
	submit(event);
}

/* That there is no port is told by the change of state that comes of it; the others are no failures. */
static bool is_told_otherwise(int error)
{
	return error == -EADDRNOTAVAIL || error == -EINPROGRESS || error == -EALREADY ||
	       error == -EISCONN || error == -EINTR || error <= -ERESTARTSYS;
}

static void bind_or_connect_returns(enum call call, void *regs, long error)
{
	struct address address = {};
	unsigned long fd;
	const void *given;
	struct sock *sk;

	if (error >= 0 || (call == CONNECT && is_told_otherwise(error)))
		return;
	if (bpf_core_field_exists(struct pt_regs___x86, di)) {
		fd = ((struct pt_regs___x86 *)regs)->di;
		given = (void *)((struct pt_regs___x86 *)regs)->si;
	} else {
		fd = ((struct pt_regs___arm64 *)regs)->orig_x0;
		given = (void *)((struct pt_regs___arm64 *)regs)->regs[1];
	}
	sk = tcp_socket_at(fd);
	/* The first SYN sets write_seq: what comes of one is told as a handshake. */
	if (!sk || (call == CONNECT && BPF_CORE_READ((struct tcp_sock *)sk, write_seq)))
		return;
	read_address(&address, given, 1);
	call_fails(call, sk, &address, error);
}

/* What `call_returns` is to tell, since the kernel did not take the programs that would. */
struct told_by_call {
	__u8 accepts;
	__u8 failures;
} told_by_call = {};

SEC("tp_btf/sys_exit")
int call_returns(__u64 *ctx)
{
	enum call call = call_of((void *)ctx[0]);

	if (call == ACCEPT && told_by_call.accepts)
		accept_call_returns(ctx[1]);
	else if ((call == BIND || call == CONNECT) && told_by_call.failures)
		bind_or_connect_returns(call, (void *)ctx[0], ctx[1]);
	return 0;
}

static bool is_ipv4_mapped(const __u8 *ip)
{
	for (int i = 0; i < 10; i++) {
		if (ip[i])
			return 0;
	}
	return ip[10] == 0xff && ip[11] == 0xff;
}

static void bind_ends(__u64 *ctx)
{
	struct sock *sk = ((struct socket *)ctx[0])->sk;
	int error = ctx[3];
	struct address address = {};

	if (!error || sk->sk_protocol != IPPROTO_TCP)
		return;
	read_address(&address, (void *)ctx[1], 0);
	call_fails(BIND, sk, &address, error);
}

SEC("fexit/inet_bind")
int bind_returns(__u64 *ctx)
{
	bind_ends(ctx);
	return 0;
}

SEC("fexit/inet6_bind")
int bind_of_ipv6_returns(__u64 *ctx)
{
	bind_ends(ctx);
	return 0;
}

static void connect_ends(__u64 *ctx, __u16 family)
{
	int error = ctx[3];
	struct address address = {};

	if (!error || is_told_otherwise(error))
		return;
	read_address(&address, (void *)ctx[1], 0);
	/* An IPv4 address in IPv6's clothes has come by tcp_v4_connect() before. */
	if (family == AF_INET6 && address.family == family && is_ipv4_mapped(address.ip))
		return;
	call_fails(CONNECT, (struct sock *)ctx[0], &address, error);
}

SEC("fexit/tcp_v4_connect")
int connect_returns(__u64 *ctx)
{
	connect_ends(ctx, AF_INET);
	return 0;
}

SEC("fexit/tcp_v6_connect")
int connect_of_ipv6_returns(__u64 *ctx)
{
	connect_ends(ctx, AF_INET6);
	return 0;
}
