/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/heap_control.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/heap/control.h"

#define LEAVE_STEPS 50 /* of a tenth of a millisecond, at most, that the last one is waited for */
#define VISIT_NS (5 * NSEC_PER_SEC) /* one that takes longer is not waited for any more */

struct heap_visit {
	atomic_int holders; /* its thread, and who waits for it */
	atomic_bool done;
	pid_t pid;
	uint64_t address;
	bool writes, restores;
	struct alloc_rule rule;
	int error; /* with `done` */
	struct heap_control word; /* likewise: as it was read */
};

static void drop(struct heap_visit *visit)
{
	if (atomic_fetch_sub(&visit->holders, 1) == 1)
		free(visit);
}

/* ---- in a thread ---- */

static int put(int memory, uint64_t address, size_t place, const void *value, size_t size)
{
	ssize_t n = pwrite(memory, value, size, (off_t)(address + place));

	return n == (ssize_t)size ? 0 : n < 0 ? -errno : -EIO;
}

#define PUT(memory, visit, field, value)                                                           \
	put(memory, (visit)->address, offsetof(struct heap_control, field), &(value), sizeof(value))

/* perfd comes by four times a second, or a little later. */
static uint64_t granted_by(const struct alloc_rule *rule)
{
	return (uint64_t)rule->grant * ALLOC_GRANTS;
}

/* `changes` last: threads look at the others when they see that it is another one. */
static int write_rule(int memory, const struct heap_visit *visit)
{
	const struct alloc_rule *rule = &visit->rule;
	uint64_t granted = rule->grant ? visit->word.sampled + granted_by(rule) : 0;
	uint32_t changes = visit->word.changes + 1;
	int r = PUT(memory, visit, band, rule->band);

	if (!r)
		r = PUT(memory, visit, granted, granted);
	if (!r)
		r = PUT(memory, visit, interval, rule->interval);
	return r ? r : PUT(memory, visit, changes, changes);
}

static int look(struct heap_visit *visit)
{
	char path[32];
	int memory, r = 0;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/mem", visit->pid);
	memory = open(path, (visit->writes ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (memory < 0)
		return -errno;
	n = pread(memory, &visit->word, sizeof(visit->word), (off_t)visit->address);
	if (n != sizeof(visit->word))
		r = n < 0 ? -errno : -EIO;
	else if (visit->word.magic != HEAP_CONTROL_MAGIC ||
		 visit->word.version != HEAP_CONTROL_VERSION)
		r = -EPROTO;
	if (visit->restores)
		visit->rule = (struct alloc_rule){.interval = visit->word.usual};
	if (!r && visit->writes && !(visit->word.flags & HEAP_FIXED))
		r = write_rule(memory, visit);
	close(memory);
	return r;
}

static void *run(void *context)
{
	struct heap_visit *visit = context;

	visit->error = look(visit);
	atomic_store(&visit->done, true);
	drop(visit);
	return NULL;
}

/* ---- the loop's side ---- */

/* NULL: no memory, no thread. */
static struct heap_visit *start(const struct heap_visit *what)
{
	struct heap_visit *visit = malloc(sizeof(*visit));
	pthread_attr_t attributes;
	pthread_t thread;
	int r;

	if (!visit)
		return NULL;
	*visit = *what;
	atomic_init(&visit->holders, 2);
	atomic_init(&visit->done, false);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&thread, &attributes, run, visit);
	pthread_attr_destroy(&attributes);
	if (!r)
		return visit;
	free(visit);
	return NULL;
}

void heap_control_begin(struct heap_control_hand *hand, uint64_t address)
{
	if (hand->state == HEAP_CONTROL_NONE)
		hand->address = address;
}

static void lose(struct heap_control_hand *hand, pid_t pid, int error)
{
	log_debug("pid %d: libperfd-heap.so keeps its own interval: %s", pid,
		  error == -EPROTO ? "it is of another version" : strerror(-error));
	hand->state = HEAP_CONTROL_LOST;
}

static void finish(struct heap_control_hand *hand, pid_t pid)
{
	const struct heap_visit *visit = hand->visit;
	const struct heap_control *word = &visit->word;

	if (visit->error) {
		lose(hand, pid, visit->error);
	} else if (hand->state == HEAP_CONTROL_ASKED) {
		hand->state = word->flags & HEAP_FIXED ? HEAP_CONTROL_FIXED : HEAP_CONTROL_KNOWN;
		hand->usual = word->usual;
		/* A perfd before us may have left another one. */
		hand->told = (struct alloc_rule){.interval = word->interval, .band = word->band};
		if (word->granted)
			hand->told.grant = UINT32_MAX;
	}
	drop(hand->visit);
	hand->visit = NULL;
}

static bool wants_writing(const struct heap_control_hand *hand, const struct heap_rules *rules)
{
	const struct alloc_rule *rule = heap_rules_present(rules);

	/* The rules are not those of the library's interval yet. */
	if (hand->state != HEAP_CONTROL_KNOWN || rules->behaviour.usual != hand->usual)
		return false;
	return rule->interval != hand->told.interval || rule->band != hand->told.band ||
	       rule->grant != hand->told.grant ||
	       (rule->grant &&
		rules->samples - hand->samples >= granted_by(rule) / HEAP_CONTROL_RENEW);
}

void heap_control_run(struct heap_control_hand *hand, pid_t pid, const struct heap_rules *rules,
		      uint64_t now)
{
	struct heap_visit what = {.pid = pid, .address = hand->address};

	if (hand->visit && !atomic_load(&hand->visit->done)) {
		if (now - hand->started < VISIT_NS)
			return;
		drop(hand->visit);
		hand->visit = NULL;
		lose(hand, pid, -ETIMEDOUT);
	}
	if (hand->visit)
		finish(hand, pid);
	if (hand->address && hand->state == HEAP_CONTROL_NONE) {
		hand->visit = start(&what);
		hand->state = hand->visit ? HEAP_CONTROL_ASKED : HEAP_CONTROL_NONE;
	} else if (wants_writing(hand, rules)) {
		what.writes = true;
		what.rule = hand->told = *heap_rules_present(rules);
		hand->samples = rules->samples;
		hand->visit = start(&what);
	}
	hand->started = now;
}

void heap_control_leave(struct heap_control_hand *hand, pid_t pid)
{
	static const struct timespec step = {.tv_nsec = 100000};
	const struct alloc_rule *told = &hand->told;
	struct heap_visit what = {
		.pid = pid, .address = hand->address, .writes = true, .restores = true};
	struct heap_visit *visit;

	if (hand->state == HEAP_CONTROL_KNOWN &&
	    (told->interval != hand->usual || told->band || told->grant)) {
		visit = start(&what);
		/* perfd may be about to end itself. */
		for (int i = 0; visit && i < LEAVE_STEPS && !atomic_load(&visit->done); i++)
			nanosleep(&step, NULL);
		if (visit)
			drop(visit);
	}
	heap_control_forget(hand);
}

void heap_control_forget(struct heap_control_hand *hand)
{
	if (hand->visit)
		drop(hand->visit);
	*hand = (struct heap_control_hand){0};
}
