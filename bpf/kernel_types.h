/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The few kernel types that the programs read, cut down to the fields they
 * use. CO-RE relocates every access by the running kernel's BTF, so neither the
 * order nor the absence of other fields matters, and the build needs no BTF of
 * any machine (libbpf, "BPF CO-RE reference guide").
 */
#pragma once

#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/bpf_perf_event.h>
#include <linux/ptrace.h>

#ifdef __bpf__
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
#endif

typedef int pid_t;

typedef struct {
	int counter;
} atomic_t;

struct super_block {
	__u32 s_dev;
};

struct inode {
	unsigned long i_ino;
	struct super_block *i_sb;
	__s64 i_ctime_sec; /* since 6.11 */
	__u32 i_ctime_nsec;
};

struct timespec64 {
	__s64 tv_sec;
	long tv_nsec;
};

/* inode from 6.6 to 6.10, and before that. */
struct inode___wrapped {
	struct timespec64 __i_ctime;
};

struct inode___plain {
	struct timespec64 i_ctime;
};

struct qstr {
	const unsigned char *name;
};

struct hlist_bl_node {
	struct hlist_bl_node **pprev;
};

struct dentry {
	struct hlist_bl_node d_hash; /* without a pprev: it has no name any more */
	struct dentry *d_parent; /* itself: there is none */
	struct qstr d_name;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent; /* itself: there is none */
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct fs_struct {
	struct path root;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
};

/* Since 6.1: a process's mappings by address (lib/maple_tree.c). */
struct maple_tree {
	void *ma_root;
};

struct maple_range_64 {
	unsigned long pivot[15];
	void *slot[16];
};

struct maple_arange_64 {
	unsigned long pivot[9];
	void *slot[10];
};

typedef struct {
	void *vdso;
} mm_context_t;

/* Since 6.2; before that mm_rss_stat. */
struct percpu_counter {
	__s64 count;
	__s32 *counters; /* per CPU: what is not in `count` yet */
};

typedef struct {
	__s64 counter;
} atomic64_t;

struct mm_rss_stat {
	atomic64_t count[4];
};

struct mm_struct {
	unsigned long flags; /* before 6.18 */
	unsigned long start_code;
	unsigned long start_brk;
	unsigned long brk;
	struct percpu_counter rss_stat[4];
	mm_context_t context;
	struct maple_tree mm_mt;
};

typedef struct seqcount {
	unsigned int sequence;
} seqcount_t;

/* mm_struct since 6.13, and from 6.4 on: how often the mappings may have changed so far
 * (vma_end_write_all(), include/linux/mmap_lock.h). */
struct mm_struct___sequence {
	seqcount_t mm_lock_seq;
};

struct mm_struct___number {
	int mm_lock_seq;
};

typedef struct {
	__u32 val;
} kuid_t;

/* Two halves before 6.3, of the same size. */
typedef struct {
	__u64 val;
} kernel_cap_t;

struct user_namespace {
	int level; /* 0: the first one */
	kuid_t owner;
};

struct cred {
	kuid_t uid;
	kuid_t suid;
	kuid_t euid;
	kernel_cap_t cap_permitted;
	struct user_namespace *user_ns;
};

struct vm_area_struct {
	unsigned long vm_start;
	unsigned long vm_end;
	unsigned long vm_flags;
	unsigned long vm_pgoff;
	struct file *vm_file;
	struct mm_struct *vm_mm;
};

struct signal_struct {
	atomic_t live; /* threads that have not begun to exit */
};

struct sched_entity {
	__u64 sum_exec_runtime; /* CPU time, ns; brought up to date some hundred times a second */
};

struct kernfs_node {
	__u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup *dfl_cgrp; /* of version 2 */
};

struct thread_info {
	__u32 status; /* x86 */
};

/* Of each call whose return is probed, the latest first. */
struct return_instance {
	unsigned long stack; /* where its return address lies */
	unsigned long orig_ret_vaddr; /* what lay there */
	struct return_instance *next;
};

struct uprobe_task {
	struct return_instance *return_instances;
};

struct task_struct {
	struct thread_info thread_info;
	unsigned int flags;
	int exit_state;
	pid_t pid;
	pid_t tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct mm_struct *mm;
	struct cred *real_cred;
	struct signal_struct *signal;
	struct css_set *cgroups;
	struct fs_struct *fs;
	struct uprobe_task *utask; /* NULL: it has met no uprobe */
	struct sched_entity se;
	unsigned int in_execve : 1;
	int pagefault_disabled;
	unsigned long nvcsw; /* context switches, voluntary and not */
	unsigned long nivcsw;
	__u64 start_boottime;
	__u64 self_exec_id; /* 32 bits before 5.7; only the lower half is used */
	char comm[16];
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

/* A per-CPU array map as the kernel has it: its values' per-CPU addresses. */
struct bpf_array {
	void *pptrs[1];
};

typedef struct {
	unsigned long bits[1];
} mm_flags_t;

/* mm_struct since 6.18. */
struct mm_struct___bitmap {
	mm_flags_t flags;
};

/* mm_struct before 6.2. */
struct mm_struct___counts {
	struct mm_rss_stat rss_stat;
};

#ifdef __bpf__
#pragma clang attribute pop
#endif

#define VM_EXEC 0x00000004 /* include/linux/mm.h */
#define PF_KTHREAD 0x00200000 /* include/linux/sched.h */
