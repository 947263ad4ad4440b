/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * The threads of one process: registers, time on CPUs, and where in the kernel each sleeps.
 */
#include "pids.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* Frames of a kernel stack that are told. */
#define FRAMES_MAX 24

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

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

/* The process that is told of. */
__u32 process = 0;

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
	if (process_number(given) != process)
		return 0;
	record.cpu_ns = task->se.sum_exec_runtime;
	record.wait_ns = task->sched_info.run_delay;
	record.slices = task->sched_info.pcount;
	record.tid = number(given->thread_pid);
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
