/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * Which processes hold sockets open: every descriptor for a socket of every process in this pid
 * namespace.
 */
#include "pids.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* Read by src/bpf/holders.rs. */
struct record {
	__u64 inode;
	__u32 pid;
	__u32 fd;
};

SEC("iter/task_file")
int holders(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct record record = {};
	struct socket *socket;

	/* The kernel goes over the threads of a process whose descriptors are not those of its first. */
	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	record.inode = file->f_inode->i_ino;
	record.pid = process_number(task);
	record.fd = ctx->fd;
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}
