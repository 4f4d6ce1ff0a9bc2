/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The profile: what perfd measures and every output format draws. Pure data:
 * it knows no pid table, BPF or socket.
 *
 *	string  interned bytes, by id (0 is "")
 *	frame   one function (or special marker) at one place, by id, deduplicated
 *	stack   frames from the root to the leaf, by id, deduplicated; id 0 is empty
 *	sample  a stack with who ran it and when, and one value a value type;
 *	        samples alike in stack, process, comm and bucket are one
 *	series  a quantity over time beside the samples (series.h)
 *	mark    something that happened at one moment
 *	site    what is known of a stack's allocations beyond samples (heap_site.h)
 *
 * Ownership: the profile owns all it holds; what is handed in is copied. Ids
 * are dense, stable, and mean nothing in another profile.
 *
 * Errors: functions that intern give PROFILE_NONE, others -errno, when memory
 * or a limit (2^32 - 2 of anything) runs out; the profile is then unchanged.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/hashmap.h"
#include "daemon/base/strtab.h"
#include "daemon/base/vec.h"
#include "flamegraph/heap_data.h"
#include "flamegraph/id_index.h"
#include "flamegraph/series.h"

#define PROFILE_NONE UINT32_MAX
#define PROFILE_VALUES_MAX 8

enum frame_kind {
	FRAME_USER,
	FRAME_KERNEL, /* "_[k]" in folded lines */
	FRAME_INLINE, /* "_[i]" */
	FRAME_JIT, /* "_[j]" */
	FRAME_INTERPRETED,
	FRAME_SPECIAL, /* "[truncated]": a reason, not a function */
	FRAME_KIND_COUNT
};

struct profile_frame {
	uint32_t name; /* string: the function, or the marker */
	uint32_t module; /* string: file the code is from, "" if unknown */
	uint32_t file; /* string: source file, "" if unknown */
	uint32_t line; /* 0: unknown */
	uint64_t address; /* in the module's file, 0: unknown */
	uint32_t kind; /* enum frame_kind */
};

struct profile_value_type {
	uint32_t name; /* string: "samples", "cpu" */
	uint32_t unit; /* string: "count", "nanoseconds", "cycles", "bytes" */
};

/* A process that was seen, with samples or without. */
struct profile_process {
	uint32_t pid;
	uint32_t ppid;
	uint64_t start_ns; /* since profile.start_ns; 0: it was there before */
	uint64_t end_ns; /* likewise; 0: still alive at the end */
	uint64_t birth_ns; /* CLOCK_REALTIME of its start, whenever that was; 0: unknown */
	uint32_t comm; /* string */
	uint32_t cgroup; /* string, "" if unknown */
};

struct profile_sample {
	uint32_t stack;
	uint32_t process; /* index into processes, or PROFILE_NONE */
	uint32_t comm; /* string: the thread's name when it was sampled */
	uint32_t bucket; /* start = bucket * bucket_ns */
};

/* Something that was counted while the profile was taken, for footers:
 * reasons, losses, notes. */
struct profile_count {
	uint32_t key; /* string: "truncated" */
	uint32_t text; /* string: a sentence for people */
	uint64_t count;
	uint32_t is_loss; /* 1: these samples are not in the profile */
};

/* Something that happened while the profile was taken: samples were lost, the rate was
 * changed, a process was killed for want of memory. */
struct profile_mark {
	uint64_t at_ns; /* since profile.start_ns */
	uint32_t key; /* string: "lost_ring", "rate", "oom_kill" */
	uint32_t text; /* string: a sentence for people */
	uint64_t value; /* how much, in what the text says; 0: nothing to count */
};
/* A count: how many samples there were, in a profile whose values are estimates only. */
#define PROFILE_SAMPLED_KEY "sampled"
#define PROFILE_MARKS_MAX 4096 /* what is above is counted: PROFILE_MARKS_KEY */
#define PROFILE_MARKS_KEY "marks_left_out"

struct profile {
	struct strtab strings;
	VEC(struct profile_frame) frames;
	VEC(uint32_t) stack_frames; /* all stacks end to end */
	VEC(size_t) stack_ends; /* of stack i in stack_frames; begins at the end of i - 1 */
	VEC(struct profile_process) processes;
	VEC(struct profile_sample) samples;
	VEC(uint64_t) values; /* samples.count * value_type_count */
	VEC(struct profile_count) counts;
	VEC(struct profile_mark) marks; /* in any order */
	struct series_list series;
	struct heap_data heap; /* of allocations; its ids are checked by who puts them there */

	struct profile_value_type value_types[PROFILE_VALUES_MAX];
	uint32_t value_type_count;
	uint32_t default_value; /* index: what is drawn if nobody says otherwise */

	uint64_t start_ns; /* CLOCK_REALTIME of the beginning */
	uint64_t duration_ns;
	uint64_t bucket_ns; /* width of a time bucket; 0: no time axis */
	uint32_t frequency_hz; /* sampling rate asked for; 0: unknown */
	uint32_t title; /* strings, "" if unset: what was profiled, */
	uint32_t host; /* where, */
	uint32_t event; /* by which event ("cpu-clock") */

	struct hashmap frame_index; /* hash -> id; private */
	struct id_index stack_index;
	struct hashmap sample_index;
	size_t samples_indexed; /* so many of the first samples are in sample_index */
};

struct profile *profile_create(void);
void profile_destroy(struct profile *profile);
static inline void cleanup_profile(struct profile **profile)
{
	profile_destroy(*profile);
}
#define _cleanup_profile_ __attribute__((cleanup(cleanup_profile)))

/* Adds a value type and gives its index; all before the first sample. */
uint32_t profile_add_value_type(struct profile *profile, const char *name, const char *unit);
/* Index of the type with this name (and unit, unless NULL), or PROFILE_NONE. */
uint32_t profile_find_value_type(const struct profile *profile, const char *name, const char *unit);
uint32_t profile_string(struct profile *profile, const char *text);
uint32_t profile_string_n(struct profile *profile, const char *bytes, size_t n);
static inline const char *profile_text(const struct profile *profile, uint32_t string)
{
	return strtab_get(&profile->strings, string);
}
uint32_t profile_frame(struct profile *profile, const struct profile_frame *frame);
/* `frames` from the root to the leaf. */
uint32_t profile_stack(struct profile *profile, const uint32_t *frames, size_t count);
/* The frames of a stack, root first; NULL and 0 for the empty one. */
const uint32_t *profile_stack_frames(const struct profile *profile, uint32_t stack,
				     size_t *ret_count);
uint32_t profile_add_process(struct profile *profile, const struct profile_process *process);
/* `values`: value_type_count of them, added to a sample alike if there is one.
 * -EINVAL: an id out of range, or no value types yet. */
int profile_add_sample(struct profile *profile, const struct profile_sample *sample,
		       const uint64_t *values);
/* Likewise for a sample of which the caller knows that none is alike: cheaper. */
int profile_append_sample(struct profile *profile, const struct profile_sample *sample,
			  const uint64_t *values);
/* Adds to the count with the same key if there is one. */
int profile_add_count(struct profile *profile, const char *key, const char *text, uint64_t count,
		      int is_loss);
/* 0 if there is none of that key. */
uint64_t profile_count_of(const struct profile *profile, const char *key);
/* -ENOMEM; above the limit the mark is counted and dropped, and 0 given. */
int profile_add_mark(struct profile *profile, uint64_t at_ns, const char *key, const char *text,
		     uint64_t value);
/* Whether something was lost or went wrong, by the mark's key. */
bool profile_mark_alarms(const struct profile *profile, const struct profile_mark *mark);
/* The series like this one (but for steps and points), added without points if it is new.
 * PROFILE_NONE: bad ids, no step, no memory. */
uint32_t profile_add_series(struct profile *profile, const struct series *like);
/* Sum of one value over all samples. */
uint64_t profile_total(const struct profile *profile, uint32_t value_type);
/* Adds all of `from` to `into`. Value types are matched by name and unit;
 * -EINVAL if `from` has one that `into` lacks and `into` has samples already. The
 * time axes are laid over one another by start_ns; with different bucket widths
 * the wider one is kept. Commutes but for the order of ids. */
int profile_merge(struct profile *into, const struct profile *from);
