/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * The threads of one process: registers, time on CPUs, and where in the kernel each sleeps.
 */
#include "kernel.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* Pid namespaces within each other (include/linux/pid_namespace.h, MAX_PID_NS_LEVEL). */
#define LEVELS_MAX 32

/* Frames of a kernel stack that are told. */
#define FRAMES_MAX 24

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct pid_namespace {
	struct ns_common ns;
};

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

struct sched_entity {
	__u64 sum_exec_runtime;
};

struct sched_info {
	unsigned long pcount;
	unsigned long long run_delay;
};

/* What only this program reads of a task. */
struct task_struct___threads {
	unsigned int __state;
	int exit_state;
	int on_cpu;
	struct sched_entity se;
	struct sched_info sched_info;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	char comm[16];
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#pragma clang attribute pop

/* Read by src/bpf/threads.rs. */
struct record {
	/* /proc/TID/schedstat: read first, so that what follows is of a thread that has not run since. */
	__u64 cpu_ns;
	__u64 wait_ns;
	__u64 slices;
	__u32 tid;
	/* include/linux/sched.h, TASK_*. */
	__u32 state;
	__u32 on_cpu;
	/* Bytes of the kernel stack; negative if it could not be read. */
	__s32 kernel_length;
	char comm[16];
	/* As a call's arguments come: its number, then six. */
	__u64 call[7];
	__u64 sp, pc, frame_pointer;
	/* Innermost first. */
	__u64 kernel[FRAMES_MAX];
};

/* The pid namespace in which numbers are told. */
const volatile __u32 pid_namespace = 0;

/* The process that is told of. */
__u32 process = 0;

/* What a process or a thread is called in our namespace; 0 if it has no number there. */
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

static void registers(struct record *record, struct task_struct *task)
{
	struct pt_regs___x86 *regs = (void *)bpf_task_pt_regs(task);

	record->call[0] = BPF_CORE_READ(regs, orig_ax);
	record->call[1] = BPF_CORE_READ(regs, di);
	record->call[2] = BPF_CORE_READ(regs, si);
	record->call[3] = BPF_CORE_READ(regs, dx);
	record->call[4] = BPF_CORE_READ(regs, r10);
	record->call[5] = BPF_CORE_READ(regs, r8);
	record->call[6] = BPF_CORE_READ(regs, r9);
	record->sp = BPF_CORE_READ(regs, sp);
	record->pc = BPF_CORE_READ(regs, ip);
	record->frame_pointer = BPF_CORE_READ(regs, bp);
}

SEC("iter/task")
int threads(struct bpf_iter__task *ctx)
{
	struct task_struct *given = ctx->task;
	struct task_struct___threads *task = (void *)given;
	struct record record = {};

	if (!given)
		return 0;
	/* Kernels before 6.1 go over all tasks, whatever was asked for. */
	if (number(BPF_CORE_READ((struct task_struct___threads *)task->group_leader, thread_pid)) !=
	    process)
		return 0;
	record.cpu_ns = task->se.sum_exec_runtime;
	record.wait_ns = task->sched_info.run_delay;
	record.slices = task->sched_info.pcount;
	record.tid = number(task->thread_pid);
	record.state = task->__state | task->exit_state;
	if (bpf_core_field_exists(task->on_cpu))
		record.on_cpu = task->on_cpu;
	bpf_probe_read_kernel(record.comm, sizeof(record.comm), task->comm);
	registers(&record, given);
	/* Where it runs there is nothing to be read. */
	if (record.state && !record.on_cpu)
		record.kernel_length =
			bpf_get_task_stack(given, record.kernel, sizeof(record.kernel), 0);
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}
