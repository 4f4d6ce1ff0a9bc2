/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/process_table.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/suite.h"

static struct process *forked(struct process_table *table, uint32_t ppid, uint32_t pid,
			      uint64_t time)
{
	struct abi_fork fork = {
		.hdr = {.time = time}, .pid = pid, .tid = pid, .ppid = ppid, .ptid = ppid};
	bool is_new;

	return process_table_fork(table, &fork, &is_new);
}

static void thread(struct process_table *table, uint32_t pid, uint32_t tid)
{
	struct abi_fork fork = {.pid = pid, .tid = tid, .ppid = pid, .ptid = pid};
	bool is_new;

	process_table_fork(table, &fork, &is_new);
	ck_assert(!is_new);
}

static struct process *exec_unmapped(struct process_table *table, uint32_t pid, const char *comm)
{
	struct abi_exec exec = {.pid = pid, .tid = pid};

	snprintf(exec.comm, sizeof(exec.comm), "%s", comm);
	return process_table_exec(table, &exec);
}

static struct process *exec(struct process_table *table, uint32_t pid, const char *comm)
{
	struct process *process = exec_unmapped(table, pid, comm);

	process_table_settled(process); /* its program's mapping was told */
	return process;
}

static bool gone(struct process_table *table, uint32_t pid, uint32_t tid, uint64_t time)
{
	struct abi_exit ended = {.hdr = {.time = time}, .pid = pid, .tid = tid};
	bool last;

	process_table_exit(table, &ended, &last);
	return last;
}

static struct process *listed(struct process_table *table, uint32_t pid, uint64_t start)
{
	struct abi_task task = {.pid = pid, .tid = pid, .ppid = 1, .start = start, .comm = "old"};

	return process_table_task(table, &task);
}

START_TEST(a_reused_pid_is_another_process)
{
	struct process_table table;
	struct process *first, *second;

	process_table_init(&table, 100, 1000);
	listed(&table, 1, 1);
	first = process_ref(forked(&table, 1, 50, 10));
	exec(&table, 50, "first");
	ck_assert(gone(&table, 50, 50, 20));
	/* Within the grace time it is still found. */
	ck_assert_ptr_eq(process_table_find(&table, 50), first);
	ck_assert_ptr_null(process_table_alive(&table, 50));
	second = forked(&table, 1, 50, 30);
	exec(&table, 50, "second");
	ck_assert_ptr_ne(first, second);
	ck_assert_uint_ne(first->serial, second->serial);
	ck_assert_ptr_eq(process_table_find(&table, 50), second);
	ck_assert_str_eq(first->comm, "first");
	process_table_expire(&table, 2000);
	ck_assert_ptr_eq(process_table_find(&table, 50), second);
	process_unref(first);
	process_table_deinit(&table);
}
END_TEST

START_TEST(grace_time_ends)
{
	struct process_table table;

	process_table_init(&table, 100, 1000);
	forked(&table, 1, 50, 10);
	gone(&table, 50, 50, 20);
	process_table_expire(&table, 1020);
	ck_assert_ptr_nonnull(process_table_find(&table, 50));
	process_table_expire(&table, 1021);
	ck_assert_ptr_null(process_table_find(&table, 50));
	process_table_deinit(&table);
}
END_TEST

START_TEST(child_inherits_name_mappings_and_sessions)
{
	struct process_table table;
	struct process *parent, *child;
	struct mapping mapping = {0x1000, 0x2000, 0, 7, false};

	process_table_init(&table, 100, 1000);
	parent = forked(&table, 1, 50, 10);
	exec(&table, 50, "shell");
	parent->slots = 1u << 3;
	ck_assert_int_eq(mapping_set_own(&parent->maps), 0);
	mapping_set_insert(parent->maps, &mapping);
	child = forked(&table, 50, 51, 20);
	ck_assert_str_eq(child->comm, "shell");
	ck_assert_uint_eq(child->slots, 1u << 3);
	ck_assert_int_eq(child->maps_state, MAPS_KNOWN);
	ck_assert_uint_eq(mapping_set_find(child->maps, 0x1800)->image, 7);
	/* An exec begins with nothing. */
	exec(&table, 51, "ls");
	ck_assert_str_eq(child->comm, "ls");
	ck_assert_ptr_null(mapping_set_find(child->maps, 0x1800));
	ck_assert_ptr_nonnull(mapping_set_find(parent->maps, 0x1800));
	process_table_deinit(&table);
}
END_TEST

/* Only whose fork was seen is known to have what its parent has: another may have executed
 * another program before. */
START_TEST(who_has_its_parents_mappings)
{
	struct process_table table;
	struct process *child;

	process_table_init(&table, 100, 1000);
	listed(&table, 50, 10);
	child = forked(&table, 50, 51, 20);
	ck_assert_int_eq(child->maps_state, MAPS_UNKNOWN);
	ck_assert(child->inherits);
	exec(&table, 51, "ls");
	ck_assert(!child->inherits);
	child = listed(&table, 52, 15);
	ck_assert(!child->inherits);
	/* Its fork is told late. */
	ck_assert_ptr_eq(forked(&table, 50, 52, 16), child);
	ck_assert(!child->inherits);
	process_table_deinit(&table);
}
END_TEST

START_TEST(process_lives_as_long_as_a_thread)
{
	struct process_table table;

	process_table_init(&table, 100, 1000);
	forked(&table, 1, 50, 10);
	thread(&table, 50, 51);
	ck_assert(!gone(&table, 50, 50, 20)); /* the main one leaves */
	ck_assert_ptr_nonnull(process_table_alive(&table, 50));
	ck_assert(gone(&table, 50, 51, 30));
	ck_assert_ptr_null(process_table_alive(&table, 50));
	ck_assert_uint_eq(table.threads.count, 0);
	process_table_deinit(&table);
}
END_TEST

/* The main thread's exit is told, the exec'ing thread's never is. */
START_TEST(exec_by_another_thread)
{
	struct process_table table;

	process_table_init(&table, 100, 1000);
	forked(&table, 1, 50, 10);
	thread(&table, 50, 51);
	thread(&table, 50, 52);
	gone(&table, 50, 52, 20);
	gone(&table, 50, 50, 21);
	exec(&table, 50, "new");
	ck_assert_uint_eq(process_table_alive(&table, 50)->threads, 1);
	ck_assert(gone(&table, 50, 50, 30));
	ck_assert_uint_eq(table.threads.count, 0);
	process_table_deinit(&table);
}
END_TEST

/* What the kernel tells when a set-user-id program is executed, and when an exec fails. */
START_TEST(an_end_that_was_not_told)
{
	struct process_table table;
	struct process *process;
	bool is_new;

	process_table_init(&table, 100, 1000);
	process = forked(&table, 1, 50, 10);
	for (uint32_t tid = 51; tid < 60; tid++) {
		struct abi_fork fork = {
			.hdr = {.time = 20}, .pid = 50, .tid = tid, .ppid = 50, .ptid = 50};

		ck_assert_ptr_eq(process_table_fork(&table, &fork, &is_new), process);
	}
	ck_assert_uint_eq(process->threads, 10);
	process_table_gone(&table, process, 30);
	ck_assert_ptr_null(process_table_alive(&table, 50));
	ck_assert_ptr_eq(process_table_find(&table, 50), process);
	ck_assert_uint_eq(process->end, 30);
	ck_assert_uint_eq(table.threads.count, 0);
	/* Its event comes late. */
	ck_assert(!gone(&table, 50, 50, 40));
	process_table_expire(&table, 2000);
	ck_assert_ptr_null(process_table_find(&table, 50));
	process_table_deinit(&table);
}
END_TEST

START_TEST(an_exit_between_exec_and_mapping_is_doubted)
{
	struct process_table table;
	struct process *process;

	process_table_init(&table, 100, 1000);
	process = forked(&table, 1, 50, 10);
	exec_unmapped(&table, 50, "su");
	ck_assert(!gone(&table, 50, 50, 20));
	ck_assert_uint_eq(process->doubted, 20);
	process_table_settled(process);
	ck_assert_ptr_eq(process_table_alive(&table, 50), process);
	ck_assert_uint_eq(process->doubted, 0);
	ck_assert_uint_eq(process->threads, 1);
	ck_assert(gone(&table, 50, 50, 30));
	process = forked(&table, 1, 51, 40);
	exec_unmapped(&table, 51, "failed");
	ck_assert(!gone(&table, 51, 51, 50));
	process_table_end(&table, process);
	ck_assert_ptr_null(process_table_alive(&table, 51));
	ck_assert_uint_eq(process->end, 50);
	ck_assert_uint_eq(table.threads.count, 0);
	process_table_deinit(&table);
}
END_TEST

START_TEST(threads_have_names_of_their_own)
{
	struct process_table table;
	struct process *process;
	struct abi_comm comm = {.pid = 50, .tid = 51, .comm = "worker"};

	process_table_init(&table, 100, 1000);
	process = forked(&table, 1, 50, 10);
	exec(&table, 50, "main");
	thread(&table, 50, 51);
	process_table_renamed(&table, &comm);
	ck_assert_str_eq(process_table_comm(&table, process, 51), "worker");
	ck_assert_str_eq(process_table_comm(&table, process, 50), "main");
	/* A thread that nobody told of has its process's. */
	ck_assert_str_eq(process_table_comm(&table, process, 99), "main");
	process_table_deinit(&table);
}
END_TEST

START_TEST(list_and_fork_are_one_process)
{
	struct process_table table;
	struct process *process;
	bool is_new;
	struct abi_fork fork = {.hdr = {.time = 12}, .pid = 50, .tid = 50, .ppid = 1, .ptid = 1};

	process_table_init(&table, 100, 1000);
	process = listed(&table, 50, 11);
	ck_assert_ptr_eq(process_table_fork(&table, &fork, &is_new), process);
	ck_assert(!is_new);
	ck_assert_uint_eq(table.seen, 1);
	process_table_deinit(&table);
}
END_TEST

START_TEST(limit_is_counted)
{
	struct process_table table;

	process_table_init(&table, 2, 1000);
	ck_assert_ptr_nonnull(forked(&table, 1, 50, 10));
	ck_assert_ptr_nonnull(forked(&table, 1, 51, 10));
	ck_assert_ptr_null(forked(&table, 1, 52, 10));
	ck_assert_uint_eq(table.refused, 1);
	process_table_deinit(&table);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("process_table");

	SUITE_CASE(suite, "life", a_reused_pid_is_another_process, grace_time_ends,
		   process_lives_as_long_as_a_thread, exec_by_another_thread,
		   an_end_that_was_not_told, an_exit_between_exec_and_mapping_is_doubted,
		   limit_is_counted);
	SUITE_CASE(suite, "heritage", child_inherits_name_mappings_and_sessions,
		   who_has_its_parents_mappings, threads_have_names_of_their_own,
		   list_and_fork_are_one_process);
	return suite_main(suite);
}
