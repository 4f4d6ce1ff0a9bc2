/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * For suites that talk to a real worker: the configuration, callbacks that
 * remember what they were told, and a loop that waits for answers. The suite's
 * own program is the worker: its main() begins with symbolizer_be_worker().
 */
#pragma once

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "symbolizer/client.h"
#include "symbolizer/openers.h"
#include "tests/unit/workshop.h"

static const char *const worker_argv[] = {"test", "--worker", NULL};

/* What a hostile file would have to make of a worker: it computes, and never answers. */
#define HANG_SIGNAL SIGRTMIN /* one that a worker does not ignore */

static inline void symbolizer_hang(int signal_number)
{
	(void)signal_number;
	for (;;)
		__asm__ volatile("");
}

/* Does not come back if this process was started to be a worker, or an opener. */
static inline void symbolizer_be_worker(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "--opener"))
		exit(openers_opener_main(OPENERS_FD));
	if (argc > 1 && !strcmp(argv[1], "--worker")) {
		signal(HANG_SIGNAL, symbolizer_hang);
		exit(symbolizer_worker_main(SYMBOLIZER_WORKER_FD, 0));
	}
}

#define PATIENCE_NS (20 * NSEC_PER_SEC)

static const struct symbolizer_config plain = {
	.memory_bytes = 1ULL << 30,
	.deadline_ns = 10 * NSEC_PER_SEC,
	.images_max = 64,
	.program = "/proc/self/exe",
	.argv = worker_argv,
};

/* What the callbacks were told last, and how often. */
struct answers {
	unsigned total, good, bad;
	int error;
	char text[512], name[256], module[64];
	size_t count, named;
	uint64_t start; /* of the first address's function */
	uint32_t size; /* likewise */
	struct symbolizer_image image;
};

static inline void take(struct answers *answers, int error, const char *text)
{
	answers->total++;
	answers->error = error;
	*(error ? &answers->bad : &answers->good) += 1;
	snprintf(answers->text, sizeof(answers->text), "%s", text);
}

static inline void on_image(void *context, int error, const char *text,
			    const struct symbolizer_image *image)
{
	struct answers *answers = context;

	take(answers, error, text);
	if (image)
		answers->image = *image;
}

static inline void on_names(void *context, int error, const char *text,
			    const struct symbolizer_name *names, size_t count)
{
	struct answers *answers = context;

	take(answers, error, text);
	answers->count = count;
	answers->named = 0;
	answers->name[0] = answers->module[0] = '\0';
	answers->start = count ? names[0].start : 0;
	answers->size = count ? names[0].size : 0;
	for (size_t i = 0; i < count; i++)
		answers->named += names[i].frame_count > 0;
	if (count && names[0].frame_count) {
		snprintf(answers->name, sizeof(answers->name), "%s", names[0].frames[0].name);
		snprintf(answers->module, sizeof(answers->module), "%s", names[0].frames[0].module);
	}
}

static inline struct symbolizer *create(const struct symbolizer_config *config)
{
	struct symbolizer *symbolizer = NULL;
	struct error error = {0};

	ck_assert_msg(!symbolizer_create(config, &error, &symbolizer), "%s", error.text);
	return symbolizer;
}

static inline struct symbolizer_stats stats_of(const struct symbolizer *symbolizer)
{
	struct symbolizer_stats stats;

	symbolizer_get_stats(symbolizer, &stats);
	return stats;
}

static inline void wait_for(struct symbolizer *symbolizer, const struct answers *answers,
			    unsigned total)
{
	uint64_t until = clock_boot_ns() + PATIENCE_NS;

	while (answers->total < total) {
		struct pollfd ready = {.fd = symbolizer_fd(symbolizer), .events = POLLIN};

		ck_assert_msg(clock_boot_ns() < until, "%u of %u answers came", answers->total,
			      total);
		poll(&ready, 1, 250);
		symbolizer_dispatch(symbolizer);
	}
}

/* Adds the file and gives what the worker says of it. */
static inline int add(struct symbolizer *symbolizer, uint32_t id, int fd, struct answers *ret)
{
	struct answers answers = {0};

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(symbolizer_add_image(symbolizer, id, fd, on_image, &answers), 0);
	ck_assert_uint_eq(answers.total, 0); /* never inside the call */
	wait_for(symbolizer, &answers, 1);
	if (ret)
		*ret = answers;
	return answers.error;
}

static inline const char *name_of(struct symbolizer *symbolizer, uint32_t id, uint64_t offset,
				  struct answers *answers)
{
	*answers = (struct answers){0};
	ck_assert_int_eq(symbolizer_names(symbolizer, id, &offset, 1, on_names, answers), 0);
	ck_assert_uint_eq(answers->total, 0);
	wait_for(symbolizer, answers, 1);
	return answers->name;
}
