/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The source that plays a recording. Its bytes are foreign: each record is
 * checked for the size of its kind before anybody reads its fields.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/log.h"
#include "daemon/capture.h"
#include "daemon/host_walk.h"
#include "daemon/mapping_set.h"
#include "daemon/source.h"

#define RECORDS_PER_DRAIN 65536

struct source_replay {
	struct source base;
	FILE *file;
	bool done;
	uint64_t records;
	uint64_t offset; /* of the next record in the file */
	struct abi_counters counters[ABI_SLOTS_MAX]; /* of the samples played */
	uint64_t lost;
	union {
		struct abi_header header;
		uint64_t words[8192]; /* a record has at most 64 KiB */
	} record;
};

static const size_t sizes[ABI_TYPE_COUNT] = {
	[ABI_SAMPLE] = sizeof(struct abi_sample), [ABI_STACK] = sizeof(struct abi_stack),
	[ABI_TASK] = sizeof(struct abi_task),     [ABI_FORK] = sizeof(struct abi_fork),
	[ABI_EXEC] = sizeof(struct abi_exec),     [ABI_COMM] = sizeof(struct abi_comm),
	[ABI_EXIT] = sizeof(struct abi_exit),     [ABI_MMAP] = sizeof(struct abi_mmap) + 1,
	[ABI_LOST] = sizeof(struct abi_lost),     [ABI_RSS] = sizeof(struct abi_rss),
	[ABI_OOM] = sizeof(struct abi_rss),       [ABI_ALLOC] = sizeof(struct abi_alloc),
	[ABI_FREE] = sizeof(struct abi_free),
};

/* NULL, or what is wrong with the record that was read. */
static const char *check(struct source_replay *s)
{
	struct abi_header *header = &s->record.header;
	const struct abi_stack *stack = (const struct abi_stack *)header;
	struct abi_mmap *mmap = (struct abi_mmap *)header;

	if (header->type >= ABI_TYPE_COUNT || !sizes[header->type])
		return "unknown type of record";
	if (header->size < sizes[header->type])
		return "record too short for its type";
	if (header->type == ABI_STACK &&
	    header->size < sizeof(*stack) + stack->count * sizeof(uint64_t))
		return "stack with more frames than its record holds";
	if (header->type == ABI_MMAP && !memchr(mmap->path, '\0', header->size - sizeof(*mmap)))
		return "path without an end";
	if (header->reason >= ABI_REASON_COUNT || header->slot >= ABI_SLOTS_MAX)
		return "reason or slot out of range";
	return NULL;
}

/* 1: a record is there, 0: the end, -EINVAL: damaged. */
static int read_record(struct source_replay *s)
{
	struct abi_header *header = &s->record.header;
	const char *wrong = NULL;
	size_t rest;

	if (fread(header, sizeof(*header), 1, s->file) != 1)
		return feof(s->file) ? 0 : -EIO;
	if (header->size < sizeof(*header) || header->size % 8)
		wrong = "size of record out of range";
	rest = wrong ? 0 : header->size - sizeof(*header);
	if (rest && fread(header + 1, rest, 1, s->file) != 1)
		wrong = "recording ends within a record";
	if (!wrong)
		wrong = check(s);
	if (wrong) {
		log_error("recording, byte %llu: %s; the rest is left out",
			  (unsigned long long)s->offset, wrong);
		return -EINVAL;
	}
	s->offset += header->size;
	return 1;
}

static void count(struct source_replay *s)
{
	const struct abi_sample *sample = (const struct abi_sample *)&s->record;
	struct abi_counters *counters;

	if (s->record.header.type == ABI_LOST)
		s->lost += ((const struct abi_lost *)&s->record)->count;
	if (s->record.header.type != ABI_SAMPLE)
		return;
	counters = &s->counters[sample->hdr.slot];
	counters->fired++;
	counters->samples[sample->hdr.reason]++;
	counters->weight[sample->hdr.reason] += sample->weight;
}

static int replay_drain(struct source *source, bool now)
{
	struct source_replay *s = (struct source_replay *)source;

	(void)now;
	for (int i = 0; i < RECORDS_PER_DRAIN && !s->done; i++) {
		if (read_record(s) <= 0) {
			s->done = true;
			break;
		}
		s->records++;
		count(s);
		source->on_record(source->context, &s->record.header);
	}
	return 0;
}

static int replay_tasks(struct source *source, struct error *error)
{
	(void)source;
	(void)error;
	return 0; /* they are in the recording */
}

static int replay_open_slot(struct source *source, uint32_t slot, const struct source_slot *how,
			    struct error *error)
{
	(void)source;
	(void)how;
	if (slot == ABI_SLOT_CPU || slot >= ABI_SESSION_SLOTS)
		return 0;
	return error_set(error, -EOPNOTSUPP,
			 "this perfd plays a recording: only the system-wide views are there "
			 "(perfctl report)");
}

static void replay_close_slot(struct source *source, uint32_t slot)
{
	(void)source;
	(void)slot;
}

static int replay_set_rate(struct source *source, uint32_t slot, uint32_t frequency_hz)
{
	(void)source;
	(void)slot;
	(void)frequency_hz;
	return 0;
}

static int replay_add_target(struct source *source, uint32_t slot, pid_t pid, bool at_exec)
{
	(void)source;
	(void)slot;
	(void)pid;
	(void)at_exec;
	return -EOPNOTSUPP;
}

static void replay_remove_target(struct source *source, uint32_t slot, pid_t pid)
{
	(void)source;
	(void)slot;
	(void)pid;
}

static void replay_forget_stack(struct source *source, uint64_t id)
{
	(void)source;
	(void)id;
}

/* Walks have been made. */
static int replay_load_table(struct source *source, uint32_t image,
			     const struct unwind_table *table)
{
	(void)source;
	(void)image;
	(void)table;
	return -EOPNOTSUPP;
}

static void replay_no_table(struct source *source, uint32_t image)
{
	(void)source;
	(void)image;
}

/* A capture holds no raw stacks. */
static bool replay_walk(struct source *source, const struct abi_raw *raw,
			const struct mapping_set *maps, bool last, struct host_stack *ret,
			uint32_t *ret_lacks)
{
	(void)source;
	(void)last;
	(void)maps;
	(void)ret_lacks;
	ret->stack = (struct abi_stack){
		.hdr = raw->hdr, .id = raw->id, .pid = raw->pid, .space = ABI_SPACE_USER};
	ret->stack.hdr.size = sizeof(ret->stack);
	return true;
}

static void replay_unload_table(struct source *source, uint32_t image)
{
	(void)source;
	(void)image;
}

static int replay_publish_set(struct source *source, struct mapping_set *set)
{
	(void)source;
	set->number = 1;
	return 0;
}

static void replay_withdraw_set(struct source *source, struct mapping_set *set)
{
	(void)source;
	set->number = 0;
}

static void replay_assign_set(struct source *source, uint32_t pid, uint32_t number,
			      uint32_t exec_id)
{
	(void)source;
	(void)pid;
	(void)number;
	(void)exec_id;
}

static void replay_know_file(struct source *source, const struct unwind_inode *file, uint32_t image)
{
	(void)source;
	(void)file;
	(void)image;
}

static void replay_forget_image(struct source *source, uint32_t image)
{
	(void)source;
	(void)image;
}

static void replay_follow_cpus(struct source *source)
{
	(void)source;
}

static void replay_get_counters(struct source *source, struct source_counters *ret)
{
	const struct source_replay *s = (const struct source_replay *)source;

	*ret = (struct source_counters){.sideband_lost = s->lost};
	memcpy(ret->slot, s->counters, sizeof(ret->slot));
}

static bool replay_done(const struct source *source)
{
	return ((const struct source_replay *)source)->done;
}

static int replay_wake_fd(const struct source *source)
{
	(void)source;
	return -1;
}

static void replay_destroy(struct source *source)
{
	struct source_replay *s = (struct source_replay *)source;

	if (s->file)
		fclose(s->file);
	free(s);
}

static const struct source_ops replay_ops = {
	.name = "replay",
	.tasks = replay_tasks,
	.open_slot = replay_open_slot,
	.close_slot = replay_close_slot,
	.set_rate = replay_set_rate,
	.add_target = replay_add_target,
	.remove_target = replay_remove_target,
	.load_table = replay_load_table,
	.unload_table = replay_unload_table,
	.no_table = replay_no_table,
	.walk = replay_walk,
	.publish_set = replay_publish_set,
	.withdraw_set = replay_withdraw_set,
	.assign_set = replay_assign_set,
	.know_file = replay_know_file,
	.forget_file = replay_know_file,
	.forget_image = replay_forget_image,
	.forget_stack = replay_forget_stack,
	.drain = replay_drain,
	.follow_cpus = replay_follow_cpus,
	.get_counters = replay_get_counters,
	.done = replay_done,
	.wake_fd = replay_wake_fd,
	.destroy = replay_destroy,
};

int source_replay_create(const char *path, source_record_fn *on_record, void *context,
			 struct error *error, struct source **ret)
{
	struct capture_head head;
	struct source_replay *s;
	_cleanup_fclose_ FILE *file = fopen(path, "rbe");

	if (!file)
		return error_set(error, -errno, "%s: %s", path, strerror(errno));
	if (fread(&head, sizeof(head), 1, file) != 1 ||
	    memcmp(head.magic, CAPTURE_MAGIC, sizeof(head.magic)))
		return error_set(error, -EINVAL, "%s is no recording of perfd", path);
	if (head.abi_version != ABI_VERSION)
		return error_set(error, -EINVAL,
				 "%s: recording of version %u, this perfd reads version %u", path,
				 head.abi_version, ABI_VERSION);
	s = calloc(1, sizeof(*s));
	if (!s)
		return error_set(error, -ENOMEM, "out of memory");
	s->base = (struct source){.ops = &replay_ops, .on_record = on_record, .context = context};
	s->file = TAKE_PTR(file);
	s->offset = sizeof(head);
	*ret = &s->base;
	return 0;
}
