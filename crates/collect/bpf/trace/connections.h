/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * Connections at the ends of this host, and sockets that listen.
 */
#pragma once

#include "callers.h"

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
