/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * Who has called connect(), until what comes of it is told: the segment that decides it comes in
 * whatever process runs then.
 */
#pragma once

#include "fill.h"

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

/* Where the socket is; else where none is; else one of them by the socket's address, so that what nobody
 * takes out any more makes room in time. Sockets are aligned to 64 bytes. */
static struct caller *place_for(struct callers *near, __u64 sk)
{
	struct caller *free = &near->of[sk >> 6 & (NEIGHBOURS - 1)];

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
