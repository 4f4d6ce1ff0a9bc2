/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * history FOLDER [SECONDS]: a day (86,400 seconds) of a busy machine put into the history
 * window by window, as perfd does it, with the clock of that day; then asked for an hour
 * and for all of it, as a flame graph. A line of JSON with sizes and times.
 *
 * The machine: two busy CPUs at 99 Hz, so 198 samples a second, of 40 processes. Their
 * stacks come from a pool of 20,000 that grows by 500 an hour (programs that come and go),
 * 24 frames deep on average over 10,000 functions, chosen by Zipf's law with exponent 1;
 * all from one seed. Every second has a mark or two and 160 levels of memory.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/history_store.h"
#include "flamegraph/format.h"

#define BEGIN (1795737600 * NSEC_PER_SEC) /* 2026-11-27T00:00:00Z */
#define DAY 86400u
#define SAMPLES 198u
#define PROCESSES 40u
#define FUNCTIONS 10000u
#define STACKS 20000u
#define STACKS_AN_HOUR 500u
#define KINDS 4u
#define ROUNDS 5

struct bench {
	struct history_store store;
	uint64_t random;
	double put_s, put_worst_s, tidy_s;
};

static uint64_t next(struct bench *bench)
{
	/* xorshift64 (Marsaglia 2003) */
	bench->random ^= bench->random << 13;
	bench->random ^= bench->random >> 7;
	bench->random ^= bench->random << 17;
	return bench->random;
}

static void fail(const char *what, const struct error *error)
{
	fprintf(stderr, "history: %s: %s\n", what, error->text);
	exit(EXIT_FAILURE);
}

static double cpu_s(void)
{
	return (double)clock_ns(CLOCK_THREAD_CPUTIME_ID) / 1e9;
}

/* The same stack for the same number: a walk over a call graph that the numbers make. */
static uint32_t make_stack(struct profile *profile, uint32_t number)
{
	struct bench own = {.random = number * 0x9e3779b97f4a7c15ull + 1};
	uint32_t frames[64], depth = 8 + (uint32_t)(next(&own) % 33);
	uint64_t function = number % 97;

	for (uint32_t i = 0; i < depth; i++) {
		char name[64];
		struct profile_frame frame = {.kind = FRAME_USER};

		function = (function * 31 + 7 + next(&own) % 3) % FUNCTIONS;
		snprintf(name, sizeof(name), "module%" PRIu64 "::function_%" PRIu64, function % 61,
			 function);
		frame.name = profile_string(profile, name);
		snprintf(name, sizeof(name), "/usr/lib/libmodule%" PRIu64 ".so", function % 61);
		frame.module = profile_string(profile, name);
		frame.address = function * 64;
		frames[i] = profile_frame(profile, &frame);
	}
	return profile_stack(profile, frames, depth);
}

/* A number below n by Zipf's law: P(k) ~ 1 / (k + 1). */
static uint32_t zipf(struct bench *bench, uint32_t n)
{
	double u = (double)(next(bench) >> 11) / (double)(1ull << 53);

	return (uint32_t)(exp(u * log((double)n)) - 1);
}

static void add_processes(struct profile *profile)
{
	for (uint32_t i = 0; i < PROCESSES; i++) {
		struct profile_process process = {
			.pid = 1000 + i, .ppid = 1, .birth_ns = BEGIN - NSEC_PER_SEC * (i + 1)};
		char name[64];

		snprintf(name, sizeof(name), "service%u", i);
		process.comm = profile_string(profile, name);
		snprintf(name, sizeof(name), "/system.slice/service%u.service", i);
		process.cgroup = profile_string(profile, name);
		profile_add_process(profile, &process);
	}
}

static void add_levels(struct bench *bench, struct profile *profile)
{
	static const char *const kinds[KINDS] = {"anon", "file", "shmem", "swap"};

	for (uint32_t i = 0; i < PROCESSES * KINDS; i++) {
		struct series like = {.name = profile_string(profile, kinds[i % KINDS]),
				      .unit = profile_string(profile, "bytes"),
				      .group = profile_string(profile, "rss"),
				      .process = i / KINDS,
				      .step_ns = NSEC_PER_SEC};
		uint64_t value = (i + 1) * (1ull << 20) + next(bench) % 16 * 4096;
		struct series_point point = {value, value, value};
		uint32_t series = profile_add_series(profile, &like);

		series_put(&profile->series.items[series], 0, &point);
	}
}

static struct profile *make_second(struct bench *bench, uint32_t second)
{
	struct profile *profile = profile_create();
	uint32_t pool = STACKS, base = second / 3600 * STACKS_AN_HOUR;

	if (!profile)
		exit(EXIT_FAILURE);
	profile_add_value_type(profile, "samples", "count");
	profile->default_value = profile_add_value_type(profile, "cpu", "nanoseconds");
	profile->start_ns = BEGIN + second * NSEC_PER_SEC;
	profile->duration_ns = NSEC_PER_SEC;
	profile->frequency_hz = 99;
	profile->event = profile_string(profile, "cpu-clock");
	profile->host = profile_string(profile, "busy");
	add_processes(profile);
	for (uint32_t i = 0; i < SAMPLES; i++) {
		uint32_t stack = base + zipf(bench, pool);
		struct profile_sample sample = {.stack = make_stack(profile, stack),
						.process = stack % PROCESSES,
						.bucket = 0};
		const uint64_t values[] = {1, 10101010};

		sample.comm = profile->processes.items[sample.process].comm;
		profile_add_sample(profile, &sample, values);
	}
	add_levels(bench, profile);
	if (second % 600 == 0)
		profile_add_mark(profile, 0, "rate", "the rate was changed", 99);
	return profile;
}

static void fill(struct bench *bench, uint32_t seconds)
{
	struct error error = {0};

	for (uint32_t second = 0; second < seconds; second++) {
		struct profile *profile = make_second(bench, second);
		double begin = cpu_s(), took;
		size_t written;
		bool more = true;

		if (history_store_put(&bench->store, &profile, 1, &error, &written))
			fail("put", &error);
		took = cpu_s() - begin;
		bench->put_s += took;
		if (took > bench->put_worst_s)
			bench->put_worst_s = took;
		profile_destroy(profile);
		begin = cpu_s();
		while (second % 10 == 0 && more)
			if (history_store_tidy(&bench->store, BEGIN + second * NSEC_PER_SEC, &error,
					       &more))
				fail("tidy", &error);
		bench->tidy_s += cpu_s() - begin;
	}
}

struct asked {
	double cpu_s; /* of one thread */
	uint64_t samples;
	size_t bytes; /* of the picture */
};

static struct asked ask(struct bench *bench, uint64_t since_ns, uint64_t until_ns)
{
	struct history_query query = {.since_ns = since_ns, .until_ns = until_ns};
	struct format_options options = {0};
	struct history_reader reader;
	struct error error = {0};
	_cleanup_free_ char *picture = NULL;
	struct asked asked = {0};
	double begin = cpu_s();
	struct profile *profile;
	FILE *out = open_memstream(&picture, &asked.bytes);

	if (history_reader_init(&reader, &query) ||
	    history_store_read(&bench->store, &reader, &error))
		fail("read", &error);
	profile = history_reader_finish(&reader);
	history_reader_deinit(&reader);
	if (!out || !profile || format_write(format_find("svg"), profile, &options, out, &error))
		fail("draw", &error);
	fclose(out);
	asked.cpu_s = cpu_s() - begin;
	asked.samples = profile_total(profile, 0);
	profile_destroy(profile);
	return asked;
}

static int compare(const void *a, const void *b)
{
	const struct asked *x = a, *y = b;

	return x->cpu_s < y->cpu_s ? -1 : x->cpu_s > y->cpu_s;
}

static struct asked median(struct bench *bench, uint64_t since_ns, uint64_t until_ns)
{
	struct asked all[ROUNDS];

	for (int i = 0; i < ROUNDS; i++)
		all[i] = ask(bench, since_ns, until_ns);
	qsort(all, ROUNDS, sizeof(all[0]), compare);
	return all[ROUNDS / 2];
}

int main(int argc, char **argv)
{
	struct history_store_options options = {
		.limit = UINT64_MAX,
		.keep_ns = UINT64_MAX,
		.ages = {.ten_seconds_ns = 60 * NSEC_PER_SEC,
			 .minute_ns = 3600 * NSEC_PER_SEC,
			 .hour_ns = 48 * 3600 * NSEC_PER_SEC},
	};
	struct bench bench = {.random = 88172645463325252ull};
	uint32_t seconds = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : DAY;
	uint64_t end = BEGIN + seconds * NSEC_PER_SEC;
	struct error error = {0};
	struct rusage usage;
	struct asked first, last, day;

	if (argc < 2 || seconds < 3600) {
		fprintf(stderr, "usage: history FOLDER [SECONDS, at least 3600]\n");
		return 2;
	}
	options.folder = argv[1];
	if (history_store_open(&bench.store, &options, &error))
		fail("open", &error);
	fill(&bench, seconds);
	first = median(&bench, BEGIN, BEGIN + 3600 * NSEC_PER_SEC);
	last = median(&bench, end - 3600 * NSEC_PER_SEC, end);
	day = median(&bench, BEGIN, end);
	getrusage(RUSAGE_SELF, &usage);
	if (day.samples != (uint64_t)seconds * SAMPLES)
		error_set(&error, -1, "%" PRIu64 " samples came out", day.samples),
			fail("read", &error);
	printf("{\"seconds\": %u, \"bytes\": %" PRIu64
	       ", \"put_cpu_ms\": %.3f, \"put_worst_cpu_ms\": %.1f, \"tidy_cpu_ms\": %.3f, "
	       "\"first_hour_s\": %.3f, \"last_hour_s\": %.3f, \"all_s\": %.3f, "
	       "\"all_svg_bytes\": %zu, \"rss_kb\": %ld}\n",
	       seconds, bench.store.stats.bytes, bench.put_s * 1e3 / seconds,
	       bench.put_worst_s * 1e3, bench.tidy_s * 1e3 / seconds, first.cpu_s, last.cpu_s,
	       day.cpu_s, day.bytes, usage.ru_maxrss);
	history_store_close(&bench.store);
	return 0;
}
