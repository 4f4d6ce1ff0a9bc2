/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/watch.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/engine_internal.h"

#define KERNEL_RATE_PATH "/proc/sys/kernel/perf_event_max_sample_rate"

static uint64_t read_kernel_rate(int fd)
{
	char text[32] = "";
	ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);

	return n > 0 ? strtoull(text, NULL, 10) : 0;
}

static uint32_t worker_restarts(const struct engine *engine)
{
	struct symbolizer_stats stats = {0};

	symbolizer_get_stats(engine->resolver.symbolizer, &stats);
	return stats.restarts;
}

void watch_init(struct watch *watch, const struct engine *engine)
{
	*watch = (struct watch){.worker_restarts = worker_restarts(engine), .kernel_rate_fd = -1};
	/* A recording's machine is not this one. */
	if (engine->source->ops->wake_fd(engine->source) < 0)
		return;
	watch->kernel_rate_fd = open(KERNEL_RATE_PATH, O_RDONLY | O_CLOEXEC);
	watch->kernel_rate = read_kernel_rate(watch->kernel_rate_fd);
}

void watch_deinit(struct watch *watch)
{
	if (watch->kernel_rate_fd >= 0)
		close(watch->kernel_rate_fd);
	watch->kernel_rate_fd = -1;
}

void watch_mark(struct engine *engine, const char *key, uint64_t value, const char *format, ...)
{
	char text[160];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++) {
		if (engine->sessions[slot])
			session_mark(engine->sessions[slot], key, value, "%s", text);
	}
}

static void look_at_cpus(struct watch *watch, struct engine *engine,
			 const struct source_counters *counters)
{
	uint32_t changes = counters->cpu_changes - watch->cpu_changes;

	if (watch->cpus && changes)
		watch_mark(engine, "cpus", changes,
			   "CPUs came or went: %u are sampled now, %u before", counters->cpus,
			   watch->cpus);
	watch->cpus = counters->cpus;
	watch->cpu_changes = counters->cpu_changes;
}

/* The kernel lowers it where its own interrupts took too long: sampling is throttled to it. */
static void look_at_kernel_rate(struct watch *watch, struct engine *engine)
{
	uint64_t rate = read_kernel_rate(watch->kernel_rate_fd);

	if (!rate || rate == watch->kernel_rate)
		return;
	watch_mark(engine, "kernel_rate", rate,
		   "the kernel's limit of sampling rates (kernel.perf_event_max_sample_rate): "
		   "%" PRIu64 " Hz now, %" PRIu64 " before",
		   rate, watch->kernel_rate);
	watch->kernel_rate = rate;
}

static void look_at_worker(struct watch *watch, struct engine *engine)
{
	uint32_t restarts = worker_restarts(engine);

	if (restarts != watch->worker_restarts)
		watch_mark(engine, "worker_restart", restarts - watch->worker_restarts,
			   "the worker that reads files was replaced: it died or hung (%u so far)",
			   restarts);
	watch->worker_restarts = restarts;
}

/* What the views keep from now on is under the time that the clock tells now. */
static void look_at_clock(struct engine *engine)
{
	int64_t moved = 0;

	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++) {
		struct session *session = engine->sessions[slot];
		int64_t by = session && !session->id ? session_follow_clock(session) : 0;

		moved = by ? by : moved;
	}
	if (!moved)
		return;
	log_warning("the clock was set %s by %.1f s: history goes on by the new time",
		    moved < 0 ? "back" : "ahead", fabs((double)moved) / NSEC_PER_SEC);
	watch_mark(engine, "clock", (uint64_t)llabs(moved) / NSEC_PER_MSEC,
		   "the clock was set %s by %.1f s", moved < 0 ? "back" : "ahead",
		   fabs((double)moved) / NSEC_PER_SEC);
}

void watch_look(struct watch *watch, struct engine *engine, const struct source_counters *counters)
{
	_cleanup_free_ struct source_counters *fresh = NULL;

	if (engine->source->ops->wake_fd(engine->source) < 0)
		return;
	if (!counters) {
		counters = fresh = malloc(sizeof(*fresh));
		if (!fresh)
			return;
		engine->source->ops->get_counters(engine->source, fresh);
	}
	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++) {
		if (engine->sessions[slot])
			session_count_lost(engine->sessions[slot], &counters->slot[slot],
					   counters->sideband_lost);
	}
	look_at_cpus(watch, engine, counters);
	look_at_kernel_rate(watch, engine);
	look_at_worker(watch, engine);
	engine_sweep(engine, counters->sideband_lost);
	look_at_clock(engine);
}
