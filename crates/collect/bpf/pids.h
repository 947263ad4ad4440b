/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * What processes and threads are called in the pid namespace of the reader. The kernel's own numbers are
 * those of the first namespace, which mean nothing in a container.
 */
#pragma once

#include "kernel.h"

/* PROC_PID_INIT_INO of include/linux/proc_ns.h. */
#define FIRST_PID_NAMESPACE 0xeffffffc

/* Pid namespaces within each other (include/linux/pid_namespace.h, MAX_PID_NS_LEVEL). */
#define LEVELS_MAX 32

/* The pid namespace in which numbers are told. */
const volatile __u32 pid_namespace = 0;

/* 0 if it has no number there. */
static __u32 number(struct pid *pid)
{
	__u64 first = bpf_core_field_offset(struct pid, numbers);
	unsigned int level = BPF_CORE_READ(pid, level);
	unsigned int at;

	for (at = 0; at < LEVELS_MAX && at <= level; at++) {
		struct upid *upid = (void *)pid + first + at * bpf_core_type_size(struct upid);

		if (BPF_CORE_READ(upid, ns, ns.inum) == pid_namespace)
			return BPF_CORE_READ(upid, nr);
	}
	return 0;
}

/* The process that a thread is of. */
static __u32 process_number(struct task_struct *task)
{
	if (pid_namespace == FIRST_PID_NAMESPACE)
		return BPF_CORE_READ(task, tgid);
	return number(BPF_CORE_READ(task, group_leader, thread_pid));
}
