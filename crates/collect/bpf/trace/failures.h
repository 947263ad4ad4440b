/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * Calls of bind() and connect() that fail before anything is sent.
 */
#pragma once

#include "fill.h"

/* System calls that are told apart. */
enum call { OTHER, BIND, CONNECT, ACCEPT };

/* What a call was given. */
struct address {
	__u16 family;
	__be16 port;
	__u8 ip[16];
};

static void read_from(void *to, __u32 size, const void *from, bool is_user)
{
	if (is_user)
		bpf_probe_read_user(to, size, from);
	else
		bpf_probe_read_kernel(to, size, from);
}

/* Reads `struct sockaddr_in` or `struct sockaddr_in6`. */
static void read_address(struct address *address, const void *given, bool is_user)
{
	/* Family and port. */
	read_from(address, 4, given, is_user);
	if (address->family == AF_INET)
		read_from(address->ip, 4, given + 4, is_user);
	else if (address->family == AF_INET6)
		read_from(address->ip, 16, given + 8, is_user);
}

static void call_fails(enum call call, struct sock *sk, struct address *address, int error)
{
	enum kind kind = call == BIND ? BIND_CALL_FAILED : CONNECT_CALL_FAILED;
	__u16 port = __builtin_bswap16(address->port);
	__u32 netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	struct event *event;

	if (address->family != AF_INET && address->family != AF_INET6)
		return;
	if (!is_wanted(netns, port, port))
		return;
	event = reserve(kind, counted(kind));
	if (!event)
		return;
	fill_process(event);
	event->netns = netns;
	event->value = -error;
	event->family = address->family;
	if (call == BIND) {
		event->local_port = port;
		__builtin_memcpy(event->local, address->ip, 16);
	} else {
		event->peer_port = port;
		__builtin_memcpy(event->peer, address->ip, 16);
	}
	submit(event);
}

/* That there is no port is told by the change of state that comes of it; the others are no failures. */
static bool is_told_otherwise(int error)
{
	return error == -EADDRNOTAVAIL || error == -EINPROGRESS || error == -EALREADY ||
	       error == -EISCONN || error == -EINTR || error <= -ERESTARTSYS;
}

static bool is_ipv4_mapped(const __u8 *ip)
{
	for (int i = 0; i < 10; i++) {
		if (ip[i])
			return 0;
	}
	return ip[10] == 0xff && ip[11] == 0xff;
}

static void bind_ends(__u64 *ctx)
{
	struct sock *sk = ((struct socket *)ctx[0])->sk;
	int error = ctx[3];
	struct address address = {};

	if (!error || sk->sk_protocol != IPPROTO_TCP)
		return;
	read_address(&address, (void *)ctx[1], 0);
	call_fails(BIND, sk, &address, error);
}

SEC("fexit/inet_bind")
int bind_returns(__u64 *ctx)
{
	bind_ends(ctx);
	return 0;
}

SEC("fexit/inet6_bind")
int bind_of_ipv6_returns(__u64 *ctx)
{
	bind_ends(ctx);
	return 0;
}

static void connect_ends(__u64 *ctx, __u16 family)
{
	int error = ctx[3];
	struct address address = {};

	if (!error || is_told_otherwise(error))
		return;
	read_address(&address, (void *)ctx[1], 0);
	/* An IPv4 address in IPv6's clothes has come by tcp_v4_connect() before. */
	if (family == AF_INET6 && address.family == family && is_ipv4_mapped(address.ip))
		return;
	call_fails(CONNECT, (struct sock *)ctx[0], &address, error);
}

SEC("fexit/tcp_v4_connect")
int connect_returns(__u64 *ctx)
{
	connect_ends(ctx, AF_INET);
	return 0;
}

SEC("fexit/tcp_v6_connect")
int connect_of_ipv6_returns(__u64 *ctx)
{
	connect_ends(ctx, AF_INET6);
	return 0;
}
