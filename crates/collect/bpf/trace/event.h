/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * What is told, and what is only counted. Shared with src/bpf/trace/event.rs and counts.rs.
 */
#pragma once

#include "settings.h"

#define EVENTS_SIZE (1 << 20)

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

static struct counts *counted(enum kind kind)
{
	__u32 zero = 0;
	struct counts *mine = bpf_map_lookup_elem(&counts, &zero);

	if (mine)
		mine->seen[kind]++;
	return mine;
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
