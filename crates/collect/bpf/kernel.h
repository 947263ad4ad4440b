/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * The kernel's types, as far as these programs read them. Each access is relocated when a program is
 * loaded (CO-RE), so neither offsets nor the order of fields matter here: only their names do.
 */
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* include/net/tcp_states.h */
enum tcp_state {
	LISTEN = 10,
	NEW_SYN_RECV = 12,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	__s64 counter;
} atomic64_t;

typedef struct {
	int counter;
} atomic_t;

struct sock;

struct sock_common {
	volatile unsigned char skc_state;
	atomic64_t skc_cookie;
	struct sock *skc_listener;
};

struct sock {
	struct sock_common __sk_common;
};

struct request_sock_queue {
	__u8 rskq_defer_accept;
	atomic_t qlen;
	atomic_t young;
};

struct inet_connection_sock {
	struct request_sock_queue icsk_accept_queue;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
};

struct request_sock {
	struct sock_common __req_common;
	__u8 num_retrans;
	__u8 num_timeout : 7;
};

struct inet_request_sock {
	struct request_sock req;
	__u16 acked : 1;
};

struct tcp_request_sock {
	struct inet_request_sock req;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
};

#pragma clang attribute pop
