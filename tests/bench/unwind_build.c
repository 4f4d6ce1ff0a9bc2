/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * unwind_build FILE...: what an unwind table costs to make, and to take from its
 * encoded form, as a line of JSON a file; medians of five rounds. Everything is
 * in it that the worker does: ELF headers, sections read, rows, rules.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "symbolizer/cfi.h"

#define ROUNDS 5

struct round {
	double build_ms, encode_ms, decode_ms;
};

static double ms_since(uint64_t start)
{
	return (double)(clock_boot_ns() - start) / NSEC_PER_MSEC;
}

static int build(const char *path, struct error *error, struct cfi_stats *stats,
		 struct unwind_table *ret)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct elf_image image;
	int r;

	if (fd < 0)
		return error_set(error, -errno, "%s", strerror(errno));
	r = elf_image_init(&image, fd, error);
	if (r < 0)
		return r;
	r = cfi_build(&image, error, stats, ret);
	elf_image_deinit(&image);
	return r;
}

static int run_round(const char *path, struct error *error, struct round *round,
		     struct cfi_stats *stats, struct unwind_table *ret)
{
	struct unwind_table table;
	struct strbuf bytes = {0};
	uint64_t start = clock_boot_ns();
	int r = build(path, error, stats, &table);

	if (r < 0)
		return r;
	round->build_ms = ms_since(start);
	start = clock_boot_ns();
	unwind_table_encode(&table, &bytes);
	unwind_table_deinit(&table);
	round->encode_ms = ms_since(start);
	start = clock_boot_ns();
	r = unwind_table_decode(bytes.data, bytes.length, error, ret);
	round->decode_ms = ms_since(start);
	strbuf_deinit(&bytes);
	return r;
}

static int by_value(const void *a, const void *b)
{
	double one = *(const double *)a, other = *(const double *)b;

	return one < other ? -1 : one > other;
}

static double median(const struct round *rounds, size_t member)
{
	double values[ROUNDS];

	for (size_t i = 0; i < ROUNDS; i++)
		memcpy(&values[i], (const char *)&rounds[i] + member, sizeof(double));
	qsort(values, ROUNDS, sizeof(double), by_value);
	return values[ROUNDS / 2];
}

static void print(const char *path, const struct round *rounds, const struct cfi_stats *stats,
		  const struct unwind_table *table)
{
	unsigned long long bytes = table->row_count * sizeof(uint32_t) +
				   (table->block_count + 1ULL) * sizeof(uint32_t) +
				   table->rule_count * sizeof(struct unwind_rule);

	printf("{\"file\": \"%s\", \"functions\": %u, \"rows\": %u, \"blocks\": %u, \"rules\": %u, "
	       "\"bytes\": %llu, \"bytes_a_row\": %.2f, \"unsupported_rows\": %u, "
	       "\"build_ms\": %.2f, \"encode_ms\": %.2f, \"decode_ms\": %.2f}\n",
	       path, stats->functions, table->row_count, table->block_count, table->rule_count,
	       bytes, (double)bytes / (table->row_count ? table->row_count : 1), stats->unsupported,
	       median(rounds, offsetof(struct round, build_ms)),
	       median(rounds, offsetof(struct round, encode_ms)),
	       median(rounds, offsetof(struct round, decode_ms)));
}

int main(int argc, char **argv)
{
	int failed = 0;

	for (int i = 1; i < argc; i++) {
		struct round rounds[ROUNDS];
		struct cfi_stats stats = {0};
		struct error error = {0};
		int r = 0;

		for (int k = 0; k < ROUNDS && !r; k++) {
			struct unwind_table table = {0};

			r = run_round(argv[i], &error, &rounds[k], &stats, &table);
			if (!r && k == ROUNDS - 1)
				print(argv[i], rounds, &stats, &table);
			unwind_table_deinit(&table);
		}
		if (r < 0) {
			fprintf(stderr, "%s: %s\n", argv[i], error.text);
			failed = 1;
		}
	}
	return failed;
}
