/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Profiles for tests, from a text that people can write. Lines:
 *
 *	# remark
 *	title|host|event TEXT
 *	start|duration|bucket NANOSECONDS
 *	frequency HZ
 *	value NAME UNIT			value types, before any stack
 *	default INDEX
 *	process PID PPID COMM [START END [BIRTH]]
 *	count|loss KEY NUMBER TEXT	text may be missing
 *	stack FRAME;...;FRAME VALUE...	the first is the comm, it may be alone
 *	of INDEX BUCKET			process (-1: none) and bucket of later stacks
 *	mark AT_NS KEY VALUE TEXT
 *	series GROUP NAME UNIT level|amount STEP_NS PROCESS POINT...
 *		GROUP -: none; PROCESS -1: none; POINT -: unknown, VALUE or VALUE~LOW~HIGH
 *
 * A FRAME is NAME, NAME@MODULE, NAME@MODULE@ADDRESS or NAME@MODULE@ADDRESS@FILE:LINE;
 * NAME may end with _[k],
 * _[i], _[j] or _[p] for its kind, and in [brackets] it is special. \xNN is a byte
 * (so \x3b is a ';' and \x20 a blank in names).
 */
#pragma once

#include <check.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/strbuf.h"
#include "flamegraph/format.h"
#include "flamegraph/profile.h"

struct profile_text {
	struct profile *profile;
	uint32_t process;
	uint32_t bucket;
};

static inline uint32_t profile_text_string(struct profile *profile, const char *text, size_t n)
{
	struct strbuf bytes = {0};
	uint32_t string;

	for (size_t i = 0; i < n; i++) {
		unsigned byte;

		if (n - i >= 4 && text[i] == '\\' && sscanf(text + i, "\\x%2x", &byte) == 1) {
			strbuf_u8(&bytes, (uint8_t)byte);
			i += 3;
		} else {
			strbuf_putc(&bytes, text[i]);
		}
	}
	string = profile_string_n(profile, strbuf_text(&bytes), bytes.length);
	strbuf_deinit(&bytes);
	return string;
}

static inline uint32_t profile_text_frame(struct profile *profile, const char *text, size_t n)
{
	static const char kinds[] = {[FRAME_KERNEL] = 'k',
				     [FRAME_INLINE] = 'i',
				     [FRAME_JIT] = 'j',
				     [FRAME_INTERPRETED] = 'p'};
	const char *at = memchr(text, '@', n);
	size_t name_n = at ? (size_t)(at - text) : n;
	struct profile_frame frame = {0};

	if (at) {
		size_t module_n = n - name_n - 1;
		const char *second = memchr(at + 1, '@', module_n);

		if (second) {
			char *place, *line;

			module_n = (size_t)(second - at) - 1;
			frame.address = strtoull(second + 1, &place, 0);
			line = *place == '@' ? strchr(place, ':') : NULL;
			if (line) {
				frame.file = profile_text_string(profile, place + 1,
								 (size_t)(line - place) - 1);
				frame.line = (uint32_t)strtoul(line + 1, NULL, 10);
			}
		}
		frame.module = profile_text_string(profile, at + 1, module_n);
	}
	if (name_n > 4 && !memcmp(text + name_n - 4, "_[", 2)) {
		for (uint32_t kind = 0; kind < sizeof(kinds); kind++) {
			if (kinds[kind] && kinds[kind] == text[name_n - 2])
				frame.kind = kind;
		}
		name_n -= 4;
	} else if (name_n && text[0] == '[') {
		frame.kind = FRAME_SPECIAL;
	}
	frame.name = profile_text_string(profile, text, name_n);
	return profile_frame(profile, &frame);
}

static inline void profile_text_stack(struct profile_text *text, const char *line)
{
	struct profile *profile = text->profile;
	struct profile_sample sample = {.process = text->process, .bucket = text->bucket};
	const char *end = line + strcspn(line, " "), *at = line;
	uint64_t values[PROFILE_VALUES_MAX] = {0};
	VEC(uint32_t) frames = {0};
	size_t n;

	for (bool comm = true; at <= end; at += n + 1, comm = false) {
		n = strcspn(at, "; ");
		if (comm)
			sample.comm = profile_text_string(profile, at, n);
		else
			ck_assert(!vec_push(&frames, profile_text_frame(profile, at, n)));
	}
	for (uint32_t i = 0; i < profile->value_type_count; i++) {
		char *rest;

		values[i] = strtoull(end, &rest, 10);
		end = rest;
	}
	sample.stack = profile_stack(profile, frames.items, frames.count);
	ck_assert_int_eq(profile_add_sample(profile, &sample, values), 0);
	vec_free(&frames);
}

static inline void profile_text_series(struct profile *profile, const char *line)
{
	char group[64], name[64], unit[64], kind[16];
	struct series like = {0};
	uint32_t series;
	int rest = 0;

	ck_assert_int_eq(sscanf(line, "%63s %63s %63s %15s %" SCNu64 " %d %n", group, name, unit,
				kind, &like.step_ns, (int *)&like.process, &rest),
			 6);
	like.group = strcmp(group, "-") != 0 ? profile_string(profile, group) : 0;
	like.name = profile_string(profile, name);
	like.unit = profile_string(profile, unit);
	like.kind = *kind == 'a' ? SERIES_AMOUNT : SERIES_LEVEL;
	series = profile_add_series(profile, &like);
	ck_assert_uint_ne(series, PROFILE_NONE);
	line += rest;
	for (uint64_t at = 0; *line; at += like.step_ns, line += rest + (line[rest] == ' ')) {
		struct series_point point;
		int n;

		rest = (int)strcspn(line, " ");
		if (*line == '-')
			continue;
		n = sscanf(line, "%" SCNu64 "~%" SCNu64 "~%" SCNu64, &point.value, &point.low,
			   &point.high);
		if (n == 1)
			point.low = point.high = point.value;
		ck_assert(!series_put(&profile->series.items[series], at, &point));
	}
}

static inline void profile_text_line(struct profile_text *text, const char *line)
{
	struct profile *profile = text->profile;
	char word[16] = "", a[128] = "", b[128] = "";
	int rest = 0, n = 0;
	uint64_t number, start = 0, end = 0, birth = 0;
	uint32_t pid, ppid;

	if (*line == '#' || sscanf(line, "%15s %n", word, &rest) < 1)
		return;
	line += rest;
	number = strtoull(line, NULL, 10);
	if (!strcmp(word, "title"))
		profile->title = profile_text_string(profile, line, strlen(line));
	else if (!strcmp(word, "host"))
		profile->host = profile_text_string(profile, line, strlen(line));
	else if (!strcmp(word, "event"))
		profile->event = profile_text_string(profile, line, strlen(line));
	else if (!strcmp(word, "start"))
		profile->start_ns = number;
	else if (!strcmp(word, "duration"))
		profile->duration_ns = number;
	else if (!strcmp(word, "bucket"))
		profile->bucket_ns = number;
	else if (!strcmp(word, "frequency"))
		profile->frequency_hz = (uint32_t)number;
	else if (!strcmp(word, "default"))
		profile->default_value = (uint32_t)number;
	else if (!strcmp(word, "stack"))
		profile_text_stack(text, line);
	else if (!strcmp(word, "value") && sscanf(line, "%127s %127s", a, b) == 2)
		ck_assert_uint_ne(profile_add_value_type(profile, a, b), PROFILE_NONE);
	else if (!strcmp(word, "of"))
		ck_assert_int_eq(sscanf(line, "%d %u", (int *)&text->process, &text->bucket), 2);
	else if (!strcmp(word, "process") &&
		 sscanf(line, "%u %u %127s %" SCNu64 " %" SCNu64 " %" SCNu64, &pid, &ppid, a,
			&start, &end, &birth) >= 3)
		profile_add_process(profile,
				    &(struct profile_process){
					    .pid = pid,
					    .ppid = ppid,
					    .start_ns = start,
					    .end_ns = end,
					    .birth_ns = birth,
					    .comm = profile_text_string(profile, a, strlen(a)),
				    });
	else if ((!strcmp(word, "count") || !strcmp(word, "loss")) &&
		 sscanf(line, "%127s %" SCNu64 " %n", a, &number, &n) >= 2)
		ck_assert(!profile_add_count(profile, a, line + n, number, *word == 'l'));
	else if (!strcmp(word, "series"))
		profile_text_series(profile, line);
	else if (!strcmp(word, "mark") &&
		 sscanf(line, "%" SCNu64 " %127s %" SCNu64 " %n", &start, a, &number, &n) >= 3)
		ck_assert(!profile_add_mark(profile, start, a, line + n, number));
	else
		ck_abort_msg("profile text: \"%s %s\"", word, line);
}

/* A new profile, the caller's. */
static inline struct profile *profile_from_text(const char *lines)
{
	struct profile_text text = {.profile = profile_create(), .process = PROFILE_NONE};
	char line[65536];
	size_t n;

	ck_assert_ptr_nonnull(text.profile);
	for (; *lines; lines += n + (lines[n] == '\n')) {
		n = strcspn(lines, "\n");
		ck_assert_uint_lt(n, sizeof(line));
		memcpy(line, lines, n);
		line[n] = '\0';
		profile_text_line(&text, line);
	}
	return text.profile;
}

/* A profile made of chance alone, the same one for the same seed: names that are
 * prefixes of others, recursion, all kinds, empty stacks, two values. */
static inline struct profile *profile_from_seed(unsigned seed)
{
	static const char *const names[] = {"main", "foo",  "foo-bar",  "foo bar", "a;b", "a:b",
					    "x\ny", "<b>&", "\xff\xfe", "",        "zeta"};
	static const char *const comms[] = {"redis", "redis-server", "wrk", ""};
	struct profile *profile = profile_create();
	uint32_t samples = 1 + (uint32_t)rand_r(&seed) % 60, process;

	profile_add_value_type(profile, "samples", "count");
	profile_add_value_type(profile, "cpu", "nanoseconds");
	profile->default_value = 1;
	profile->bucket_ns = 1000000000;
	profile->start_ns = 1700000000000000000 + (uint64_t)(rand_r(&seed) % 5) * 500000000;
	profile->duration_ns = 10000000000;
	process = profile_add_process(
		profile, &(struct profile_process){.pid = 1 + (uint32_t)rand_r(&seed) % 3,
						   .start_ns = (uint64_t)(rand_r(&seed) % 2)});
	for (uint32_t i = 0; i < samples; i++) {
		const char *comm = comms[rand_r(&seed) % 4];
		uint32_t frames[12], count = (uint32_t)rand_r(&seed) % 12;
		uint64_t values[2] = {1 + (uint64_t)rand_r(&seed) % 3, (uint64_t)rand_r(&seed)};
		struct profile_sample sample = {.process =
							rand_r(&seed) % 2 ? process : PROFILE_NONE,
						.comm = profile_string(profile, comm),
						.bucket = (uint32_t)rand_r(&seed) % 10};

		for (uint32_t k = 0; k < count; k++) {
			struct profile_frame frame = {
				.name = profile_string(profile, names[rand_r(&seed) % 11]),
				.module =
					rand_r(&seed) % 2 ? profile_string(profile, "libx.so") : 0,
				.address = (uint64_t)rand_r(&seed) % 3,
				.kind = (uint32_t)rand_r(&seed) % FRAME_KIND_COUNT,
			};

			frames[k] = profile_frame(profile, &frame);
		}
		sample.stack = profile_stack(profile, frames, count);
		ck_assert(!profile_add_sample(profile, &sample, values));
	}
	ck_assert(!profile_add_count(profile, "truncated", "cut short", (uint64_t)seed % 7, 0));
	ck_assert(!profile_add_mark(profile, (uint64_t)seed % 9000000000, "oom",
				    "<out> of \"memory\"", 1));
	profile_text_series(profile, "rss anon bytes level 1000000000 0 100 - 300");
	profile_text_series(profile, "- heap bytes amount 500000000 -1 5~1~9 - 7 8");
	return profile;
}

/* What a format makes of a profile; the text is the caller's to free. */
static inline int profile_render(const struct profile *profile, const char *format,
				 const struct format_options *options, struct error *error,
				 char **ret)
{
	size_t size;
	char *text = NULL;
	FILE *out = open_memstream(&text, &size);
	int r = format_write(format_find(format), profile, options, out, error);

	fclose(out);
	if (r) {
		free(text);
		return r;
	}
	*ret = text;
	return 0;
}

static inline char *profile_must_render(const struct profile *profile, const char *format)
{
	struct error error = {0};
	char *text = NULL;

	ck_assert_msg(!profile_render(profile, format, NULL, &error, &text), "%s", error.text);
	return text;
}

static inline char *golden_read(const char *golden, const char *name)
{
	char path[512];
	struct strbuf text = {0};
	char block[4096];
	size_t n;
	FILE *file;

	snprintf(path, sizeof(path), "tests/golden/%s/%s", golden, name);
	file = fopen(path, "r");
	ck_assert_msg(file != NULL, "%s: %s (run from the top of the tree)", path, strerror(errno));
	while ((n = fread(block, 1, sizeof(block), file)))
		strbuf_append(&text, block, n);
	fclose(file);
	strbuf_putc(&text, '\n');
	text.data[text.length - 1] = '\0';
	return text.data;
}

/* Compares `got` with the file `want` of the case, or writes it there if
 * GOLDEN_UPDATE=1 is in the environment. */
static inline void golden_check(const char *golden, const char *got)
{
	const char *update = getenv("GOLDEN_UPDATE");
	size_t line = 1, i = 0;
	char path[512];
	char *want;

	if (update && !strcmp(update, "1")) {
		FILE *file;

		snprintf(path, sizeof(path), "tests/golden/%s/want", golden);
		file = fopen(path, "w");
		ck_assert_ptr_nonnull(file);
		fputs(got, file);
		ck_assert_int_eq(fclose(file), 0);
		return;
	}
	want = golden_read(golden, "want");
	for (; got[i] && got[i] == want[i]; i++)
		line += got[i] == '\n';
	while (i && got[i - 1] != '\n')
		i--;
	ck_assert_msg(!strcmp(got, want), "%s, line %zu\n got: %.*s\nwant: %.*s", golden, line,
		      (int)strcspn(got + i, "\n"), got + i, (int)strcspn(want + i, "\n"), want + i);
	free(want);
}

/* Calls back for each folder tests/golden/<format>_*; at least one must be there. */
static inline void golden_each(const char *format, void (*each)(const char *golden))
{
	DIR *folder = opendir("tests/golden");
	struct dirent *entry;
	unsigned seen = 0;

	ck_assert_msg(folder != NULL, "no tests/golden here: run from the top of the tree");
	while ((entry = readdir(folder))) {
		size_t n = strlen(format);

		if (strncmp(entry->d_name, format, n) || entry->d_name[n] != '_')
			continue;
		each(entry->d_name);
		seen++;
	}
	closedir(folder);
	ck_assert_uint_gt(seen, 0);
}

/* The main() of a suite. */
static inline int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
