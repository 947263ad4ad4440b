/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * Where the return of a kernel's function cannot be hooked, that of the system call can, at the price of a
 * test at the end of every system call of this host.
 */
#pragma once

#include "accepts.h"
#include "failures.h"

/* Which system call it is, by its number. */
static enum call call_of(void *regs)
{
	if (bpf_core_field_exists(struct pt_regs___x86, orig_ax)) {
		switch (((struct pt_regs___x86 *)regs)->orig_ax) {
		case 42: return CONNECT;
		case 49: return BIND;
		case 43:
		case 288: return ACCEPT;
		default: return OTHER;
		}
	}
	switch (((struct pt_regs___arm64 *)regs)->syscallno) {
	case 203: return CONNECT;
	case 200: return BIND;
	case 202:
	case 242: return ACCEPT;
	default: return OTHER;
	}
}

/* The TCP socket that is open as a descriptor of this process. */
static struct sock *tcp_socket_at(unsigned long fd)
{
	struct fdtable *table = bpf_get_current_task_btf()->files->fdt;
	struct file *file = 0;
	struct socket *socket;
	struct sock *sk;

	if (fd >= table->max_fds)
		return 0;
	bpf_probe_read_kernel(&file, sizeof(file), table->fd + fd);
	socket = BPF_CORE_READ(file, private_data);
	/* Another thread may have closed it and opened something else. */
	if (!file || BPF_CORE_READ(socket, file) != file)
		return 0;
	sk = BPF_CORE_READ(socket, sk);
	return BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP ? sk : 0;
}

static void accept_call_returns(long fd)
{
	struct sock *sk = fd < 0 ? 0 : tcp_socket_at(fd);

	if (sk)
		is_accepted(sk);
}

static void bind_or_connect_returns(enum call call, void *regs, long error)
{
	struct address address = {};
	unsigned long fd;
	const void *given;
	struct sock *sk;

	if (error >= 0 || (call == CONNECT && is_told_otherwise(error)))
		return;
	if (bpf_core_field_exists(struct pt_regs___x86, di)) {
		fd = ((struct pt_regs___x86 *)regs)->di;
		given = (void *)((struct pt_regs___x86 *)regs)->si;
	} else {
		fd = ((struct pt_regs___arm64 *)regs)->orig_x0;
		given = (void *)((struct pt_regs___arm64 *)regs)->regs[1];
	}
	sk = tcp_socket_at(fd);
	/* The first SYN sets write_seq: what comes of one is told as a handshake. */
	if (!sk || (call == CONNECT && BPF_CORE_READ((struct tcp_sock *)sk, write_seq)))
		return;
	read_address(&address, given, 1);
	call_fails(call, sk, &address, error);
}

/* What `call_returns` is to tell, since the kernel did not take the programs that would. */
struct told_by_call {
	__u8 accepts;
	__u8 failures;
} told_by_call = {};

SEC("tp_btf/sys_exit")
int call_returns(__u64 *ctx)
{
	enum call call = call_of((void *)ctx[0]);

	if (call == ACCEPT && told_by_call.accepts)
		accept_call_returns(ctx[1]);
	else if ((call == BIND || call == CONNECT) && told_by_call.failures)
		bind_or_connect_returns(call, (void *)ctx[0], ctx[1]);
	return 0;
}
