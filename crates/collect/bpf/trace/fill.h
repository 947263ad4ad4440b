/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * What an event says of sockets and processes.
 */
#pragma once

#include "../pids.h"
#include "event.h"

/* A local end. */
struct place {
	__u32 netns;
	__u16 port;
	__u16 family;
	__u8 local[16];
};

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
