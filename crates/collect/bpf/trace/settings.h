/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * What is to be told. Shared with src/bpf/trace/settings.rs.
 */
#pragma once

#include "../kernel.h"

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
