/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * How long connections wait in the accept queue, until accept() returns them.
 * Shared with src/bpf/trace/counts.rs.
 */
#pragma once

#include "fill.h"

/* Four buckets to each power of two nanoseconds from 2^10 on, as in capture/src/latency.rs. */
#define FIRST_OCTAVE 10
#define OCTAVES 28
#define BUCKETS (OCTAVES * 4)
/* A power of two, so that every verifier sees an index stay below it. */
#define SLOTS 128

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
