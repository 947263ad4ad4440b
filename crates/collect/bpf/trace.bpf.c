/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * Handshakes as they happen. Nothing is kept of a sound one: what its stages took is read from the
 * kernel's own sockets when it is complete. What goes wrong is told with an event; the rest is
 * counted, and told only if `settings.all` is set.
 *
 * Each program works without the others.
 */
#include "kernel.h"

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
	/* The process that runs, where the event is its doing; else 0. */
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
	/* The second that `told` is of. */
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

static bool is_wanted_sock(struct sock *sk)
{
	if (!settings.netns && !settings.ports_used)
		return 1;
	return is_wanted(BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum),
			 BPF_CORE_READ(sk, __sk_common.skc_num),
			 __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport)));
}

/* Room for an event, unless this CPU has told of enough in this second. */
static struct event *reserve(enum kind kind, struct counts *mine)
{
	__u64 now = bpf_ktime_get_ns();
	struct event *event;

	if (!mine)
		return 0;
	if (mine->second != now / 1000000000) {
		mine->second = now / 1000000000;
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

/* Wakes the reader only when there is much to read: it looks from time to time by itself. */
static void submit(struct event *event)
{
	bool much = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >= EVENTS_SIZE / 8;

	bpf_ringbuf_submit(event, much ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
}

static void fill_ends(struct event *event, struct sock_common *common)
{
	event->netns = BPF_CORE_READ(common, skc_net.net, ns.inum);
	event->family = BPF_CORE_READ(common, skc_family);
	event->local_port = BPF_CORE_READ(common, skc_num);
	event->peer_port = __builtin_bswap16(BPF_CORE_READ(common, skc_dport));
	if (event->family == AF_INET) {
		bpf_core_read(event->local, 4, &common->skc_rcv_saddr);
		bpf_core_read(event->peer, 4, &common->skc_daddr);
	} else {
		bpf_core_read(event->local, 16, &common->skc_v6_rcv_saddr);
		bpf_core_read(event->peer, 16, &common->skc_v6_daddr);
	}
}

static void fill_sock(struct event *event, struct sock *sk)
{
	fill_ends(event, &sk->__sk_common);
	event->state = BPF_CORE_READ(sk, __sk_common.skc_state);
	event->inode = BPF_CORE_READ(sk, sk_socket, file, f_inode, i_ino);
}

static void fill_accept_queue(struct event *event, struct sock *listener)
{
	event->depth = BPF_CORE_READ(listener, sk_ack_backlog);
	event->limit = BPF_CORE_READ(listener, sk_max_ack_backlog);
}

static void fill_process(struct event *event)
{
	event->pid = bpf_get_current_pid_tgid() >> 32;
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

static void changes_to_established(struct sock *sk, int old)
{
	struct tcp_sock *tcp = (struct tcp_sock *)sk;
	enum kind kind = old == SYN_SENT ? CONNECTED : QUEUED;
	__u32 repeats = BPF_CORE_READ(tcp, total_retrans);
	struct counts *mine = counted(kind);
	struct event *event;

	if (!repeats && !settings.all)
		return;
	event = reserve(kind, mine);
	if (!event)
		return;
	fill_sock(event, sk);
	event->state = old;
	event->repeats = repeats;
	event->took_us = BPF_CORE_READ(tcp, srtt_us) >> 3;
	submit(event);
}

static void connect_failed(struct sock *sk)
{
	struct event *event = reserve(CONNECT_FAILED, counted(CONNECT_FAILED));

	if (!event)
		return;
	fill_sock(event, sk);
	/* It was given back already. */
	event->local_port = __builtin_bswap16(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	event->state = SYN_SENT;
	event->value = BPF_CORE_READ(sk, sk_err);
	event->took_us = since_first_syn((struct tcp_sock *)sk);
	event->repeats = BPF_CORE_READ((struct tcp_sock *)sk, total_retrans);
	/* Without a port there was no SYN: connect() itself has failed. */
	if (!event->local_port)
		fill_process(event);
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

static void listens(struct sock *sk)
{
	struct event *event = reserve(LISTENING, counted(LISTENING));

	if (!event)
		return;
	fill_sock(event, sk);
	fill_accept_queue(event, sk);
	fill_process(event);
	event->value = asked_backlog();
	submit(event);
}

static bool is_connection_change(struct sock *sk, int old, int new)
{
	if (new != ESTABLISHED && !(old == SYN_SENT && new == CLOSE))
		return 0;
	return sk->sk_protocol == IPPROTO_TCP && is_wanted_sock(sk);
}

static void connection_changes(struct sock *sk, int old, int new)
{
	if (new == ESTABLISHED)
		changes_to_established(sk, old);
	else
		connect_failed(sk);
}

SEC("tp_btf/inet_sock_set_state")
int state_changes(__u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];

	if (is_connection_change(sk, ctx[1], ctx[2]))
		connection_changes(sk, ctx[1], ctx[2]);
	else if (ctx[2] == LISTEN && sk->sk_protocol == IPPROTO_TCP && is_wanted_sock(sk))
		listens(sk);
	return 0;
}

/* Before 5.15 no program can read the registers of the call that listens. */
SEC("tp_btf/inet_sock_set_state")
int connections_change(__u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];

	if (is_connection_change(sk, ctx[1], ctx[2]))
		connection_changes(sk, ctx[1], ctx[2]);
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
	struct tcp_sock *tcp = (struct tcp_sock *)sk;
	struct event *event;

	/* A connection on which data moved was one. */
	if (sk->__sk_common.skc_state != ESTABLISHED || BPF_CORE_READ(tcp, bytes_received) ||
	    BPF_CORE_READ(tcp, bytes_acked) > 1 || !is_wanted_sock(sk))
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

	if (!is_wanted(BPF_CORE_READ(listener, __sk_common.skc_net.net, ns.inum),
		       BPF_CORE_READ(request, req.__req_common.skc_num),
		       __builtin_bswap16(BPF_CORE_READ(request, req.__req_common.skc_dport))))
		return 0;
	event = reserve(SYN_ACK_REPEATED, counted(SYN_ACK_REPEATED));
	if (!event)
		return 0;
	fill_ends(event, &request->req.__req_common);
	fill_accept_queue(event, listener);
	event->inode = BPF_CORE_READ(listener, sk_socket, file, f_inode, i_ino);
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
#define FLAG_RST 4
#define FLAG_ACK 16

/* Reads the headers of a segment that is on its way up or down. False if it is none of TCP. */
static bool read_segment(struct sk_buff *skb, struct segment *segment)
{
	unsigned char *head = BPF_CORE_READ(skb, head);
	unsigned char *ip = head + BPF_CORE_READ(skb, network_header);
	unsigned char *tcp;
	__u8 version = 0, protocol = 0;

	bpf_probe_read_kernel(&version, 1, ip);
	if (version >> 4 == 4) {
		bpf_probe_read_kernel(&protocol, 1, ip + 9);
		if (protocol != IPPROTO_TCP)
			return 0;
		segment->family = AF_INET;
		bpf_probe_read_kernel(segment->source, 4, ip + 12);
		bpf_probe_read_kernel(segment->dest, 4, ip + 16);
		tcp = ip + (version & 15) * 4;
	} else if (version >> 4 == 6) {
		bpf_probe_read_kernel(&protocol, 1, ip + 6);
		if (protocol != IPPROTO_TCP)
			return 0;
		segment->family = AF_INET6;
		bpf_probe_read_kernel(segment->source, 16, ip + 8);
		bpf_probe_read_kernel(segment->dest, 16, ip + 24);
		tcp = ip + 40;
	} else {
		return 0;
	}
	bpf_probe_read_kernel(&segment->ports, sizeof(segment->ports), tcp);
	bpf_probe_read_kernel(&segment->flags, 1, tcp + 13);
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
	if (event->state != LISTEN)
		return;
	fill_accept_queue(event, sk);
	event->inode = BPF_CORE_READ(sk, sk_socket, file, f_inode, i_ino);
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

	if (!sk)
		return;
	port = __builtin_bswap16(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	if (BPF_CORE_READ(sk, sk_socket) ||
	    BPF_CORE_READ(sk, __sk_common.skc_state) != CLOSE ||
	    !is_wanted(BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum), port,
		       __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport))))
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

static void add_wait(struct sock *sk, __u64 us)
{
	struct place place = {};
	struct waits *waits;
	__u64 ns = us * 1000;
	__u32 zero = 0, octave = 0, bucket = 0;

	place.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	place.port = BPF_CORE_READ(sk, __sk_common.skc_num);
	place.family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if (place.family == AF_INET)
		bpf_core_read(place.local, 4, &sk->__sk_common.skc_rcv_saddr);
	else
		bpf_core_read(place.local, 16, &sk->__sk_common.skc_v6_rcv_saddr);
	waits = bpf_map_lookup_elem(&accept_waits, &place);
	if (!waits) {
		struct waits *none = bpf_map_lookup_elem(&no_waits, &zero);

		if (!none)
			return;
		bpf_map_update_elem(&accept_waits, &place, none, BPF_NOEXIST);
		waits = bpf_map_lookup_elem(&accept_waits, &place);
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
	struct event *event;
	struct counts *mine;
	__u64 waited;

	if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP || !is_wanted_sock(sk))
		return;
	mine = counted(ACCEPTED);
	waited = since_established((struct tcp_sock *)sk);
	add_wait(sk, waited);
	if (!settings.all)
		return;
	event = reserve(ACCEPTED, mine);
	if (!event)
		return;
	fill_sock(event, sk);
	fill_process(event);
	event->took_us = waited;
	event->repeats = BPF_CORE_READ((struct tcp_sock *)sk, total_retrans);
	submit(event);
}

SEC("fexit/inet_csk_accept")
int accept_returns(__u64 *ctx)
{
	__u64 sk = 0;

	if (!bpf_get_func_ret(ctx, &sk) && sk)
		is_accepted((struct sock *)sk);
	return 0;
}

/* Before 5.17 what a function returns is where its arguments end: there were four. */
SEC("fexit/inet_csk_accept")
int accept_of_four_returns(__u64 *ctx)
{
	if (ctx[4])
		is_accepted((struct sock *)ctx[4]);
	return 0;
}

/* accept() and accept4() by their numbers; 0 for neither. */
static bool is_accept(void *regs)
{
	long number;

	if (bpf_core_field_exists(struct pt_regs___x86, orig_ax)) {
		number = ((struct pt_regs___x86 *)regs)->orig_ax;
		return number == 43 || number == 288;
	}
	number = ((struct pt_regs___arm64 *)regs)->syscallno;
	return number == 202 || number == 242;
}

/* Where the function's return cannot be hooked, the system call's can, at the price of a test at the
 * end of every system call of this host. */
SEC("tp_btf/sys_exit")
int system_call_returns(__u64 *ctx)
{
	long fd = ctx[1];
	struct task_struct *task;
	struct fdtable *table;
	struct file **files, *file;
	struct socket *socket;

	if (fd < 0 || !is_accept((void *)ctx[0]))
		return 0;
	task = bpf_get_current_task_btf();
	table = BPF_CORE_READ(task, files, fdt);
	if (fd >= BPF_CORE_READ(table, max_fds))
		return 0;
	files = BPF_CORE_READ(table, fd);
	bpf_probe_read_kernel(&file, sizeof(file), files + fd);
	socket = BPF_CORE_READ(file, private_data);
	/* Another thread may have closed it and opened something else. */
	if (BPF_CORE_READ(socket, file) != file)
		return 0;
	is_accepted(BPF_CORE_READ(socket, sk));
	return 0;
}
