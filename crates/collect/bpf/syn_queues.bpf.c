/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * The SYN queues of the network namespace that the iterator was opened in: how long that of each
 * listening socket is, and of each request whether its ACK has arrived.
 */
#include "kernel.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

enum kind {
	LISTENER = 1,
	REQUEST = 2,
};

/* Read by src/bpf/syn_queues.rs. */
struct record {
	/* Cookie of the listening socket; 0 if nobody has asked for it yet. */
	__u64 listener;
	/* Of a listener: requests in its SYN queue, and those whose SYN-ACK was sent once. */
	__u32 length;
	__u32 young;
	__u8 kind;
	/* Of the listener: SYN-ACK time-outs for which TCP_DEFER_ACCEPT waits for data. */
	__u8 defer_accept;
	/* Of a request. */
	__u8 acked;
	__u8 retransmits;
	__u8 timeouts;
	__u8 unused[3];
};

static void listener(struct record *record, struct sock_common *common)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(common);
	struct request_sock_queue *queue;

	if (!tcp)
		return;
	queue = &tcp->inet_conn.icsk_accept_queue;
	record->kind = LISTENER;
	record->listener = common->skc_cookie.counter;
	record->length = queue->qlen.counter;
	record->young = queue->young.counter;
	record->defer_accept = queue->rskq_defer_accept;
}

static void request(struct record *record, struct sock_common *common)
{
	struct tcp_request_sock *tcp = bpf_skc_to_tcp_request_sock(common);
	struct inet_connection_sock *listener;
	struct inet_request_sock *inet;

	if (!tcp)
		return;
	inet = &tcp->req;
	/* A member of a union: the verifier does not know it for a pointer. */
	listener = (void *)BPF_CORE_READ(common, skc_listener);
	record->kind = REQUEST;
	record->listener = BPF_CORE_READ((struct sock_common *)listener, skc_cookie.counter);
	record->defer_accept = BPF_CORE_READ(listener, icsk_accept_queue.rskq_defer_accept);
	record->acked = BPF_CORE_READ_BITFIELD(inet, acked);
	record->retransmits = inet->req.num_retrans;
	record->timeouts = BPF_CORE_READ_BITFIELD(&inet->req, num_timeout);
}

SEC("iter/tcp")
int syn_queues(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	struct record record = {};

	if (!common)
		return 0;
	switch (common->skc_state) {
	case LISTEN:
		listener(&record, common);
		break;
	case NEW_SYN_RECV:
		request(&record, common);
		break;
	}
	if (record.kind)
		bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}
