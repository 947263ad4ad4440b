/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * Requests, and segments that are dropped or answered by a reset.
 */
#pragma once

#include "fill.h"

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
