/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * perfctl windows and services: what the history has, and of whom.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/strbuf.h"
#include "daemon/command.h"
#include "daemon/output.h"
#include "daemon/subject.h"

#define TOP_DEFAULT 40u

static json_int_t number_of(const json_t *row, const char *key)
{
	return json_integer_value(json_object_get(row, key));
}

/* Names are anybody's: nothing of them may steer a terminal. */
static void put_name(struct strbuf *out, const json_t *row, const char *key)
{
	const char *text = json_string_value(json_object_get(row, key));

	for (; text && *text; text++)
		strbuf_putc(out, (unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text);
}

static void put_moment(struct strbuf *out, json_int_t ns)
{
	time_t seconds = (time_t)(ns / (json_int_t)NSEC_PER_SEC);
	char text[64];
	struct tm tm;

	localtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	strbuf_printf(out, "%s.%03d", text, (int)(ns / (json_int_t)NSEC_PER_MSEC % 1000));
}

static void put_windows(struct strbuf *out, json_t *rows, size_t from)
{
	strbuf_printf(out, "%-23s  %8s  %-10s  %6s  %9s  %s\n", "START", "SECONDS", "EVENT", "HZ",
		      "SAMPLES", "HOST");
	for (size_t i = from; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		json_int_t start = number_of(row, "start_ns"), end = number_of(row, "end_ns");

		put_moment(out, start);
		strbuf_printf(out, "  %8.1f  %-10s  %6lld  %9lld  ", (double)(end - start) / 1e9,
			      json_string_value(json_object_get(row, "event")),
			      number_of(row, "frequency_hz"), number_of(row, "samples"));
		put_name(out, row, "host");
		strbuf_putc(out, '\n');
	}
}

static int by_weight(const void *a, const void *b)
{
	json_int_t x = number_of(*(json_t *const *)a, "weight");
	json_int_t y = number_of(*(json_t *const *)b, "weight");

	return x < y ? 1 : x > y ? -1 : 0;
}

/* Rows of an event stand together, the largest first. */
static int compare_services(const void *a, const void *b)
{
	int event = strcmp(json_string_value(json_object_get(*(json_t *const *)a, "event")),
			   json_string_value(json_object_get(*(json_t *const *)b, "event")));

	return event ? event : by_weight(a, b);
}

static int sort_services(json_t *rows)
{
	size_t count = json_array_size(rows);
	_cleanup_free_ json_t **all = calloc(count + 1, sizeof(json_t *));
	int r = 0;

	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		all[i] = json_incref(json_array_get(rows, i));
	qsort(all, count, sizeof(json_t *), compare_services);
	json_array_clear(rows);
	for (size_t i = 0; i < count; i++)
		r |= json_array_append_new(rows, all[i]);
	return r ? -ENOMEM : 0;
}

/* Nanoseconds of CPU time are told in seconds; what other events weigh, as it is. */
static void put_services(struct strbuf *out, json_t *rows, size_t count)
{
	strbuf_printf(out, "%-10s  %15s  %10s  %-15s  %-24s  %s\n", "EVENT", "WEIGHT", "SAMPLES",
		      "COMM", "UNIT", "CONTAINER");
	for (size_t i = 0; i < count; i++) {
		const json_t *row = json_array_get(rows, i);
		const char *event = json_string_value(json_object_get(row, "event"));
		struct strbuf comm = {0}, unit = {0};

		put_name(&comm, row, "comm");
		put_name(&unit, row, "unit");
		strbuf_printf(out, "%-10s  ", event);
		if (!strcmp(event, "cpu-clock"))
			strbuf_printf(out, "%13.3f s", (double)number_of(row, "weight") / 1e9);
		else
			strbuf_printf(out, "%15lld", number_of(row, "weight"));
		strbuf_printf(out, "  %10lld  %-15s  %-24s  ", number_of(row, "samples"),
			      strbuf_text(&comm), strbuf_text(&unit));
		put_name(out, row, "container");
		strbuf_putc(out, '\n');
		strbuf_deinit(&comm);
		strbuf_deinit(&unit);
	}
}

/* The last windows, and the largest services. */
static void put_table(struct strbuf *out, const char *list, json_t *rows, size_t top)
{
	size_t all = json_array_size(rows), count = top && top < all ? top : all;

	if (!strcmp(list, "windows"))
		put_windows(out, rows, all - count);
	else
		put_services(out, rows, count);
	if (count < all)
		strbuf_printf(out, "... and %zu more (--top)\n", all - count);
}

static int put_json(struct strbuf *out, const char *list, json_t *rows)
{
	_cleanup_free_ char *text = NULL;
	char schema[64];
	json_t *root;

	snprintf(schema, sizeof(schema), "perfd.%s/1", list);
	root = json_pack("{s:s, s:O}", "schema", schema, list, rows);
	text = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
	json_decref(root);
	if (!text)
		return -ENOMEM;
	strbuf_printf(out, "%s\n", text);
	return strbuf_error(out);
}

static int print(const struct options *options, const char *list, const char *text,
		 struct error *error)
{
	_cleanup_(strbuf_deinit) struct strbuf out = {0};
	json_t *root = json_loads(text, 0, NULL), *rows = json_object_get(root, "rows");
	int r = 0;

	if (!json_is_array(rows)) {
		json_decref(root);
		return error_set(error, -EBADMSG, "perfd's answer is not what was asked for");
	}
	if (!strcmp(list, "services"))
		r = sort_services(rows);
	if (!r && option_given(options, OPTION_JSON))
		r = put_json(&out, list, rows);
	else if (!r)
		put_table(&out, list, rows, options->top ? options->top : TOP_DEFAULT);
	json_decref(root);
	if (r || strbuf_error(&out))
		return error_set(error, -ENOMEM, "out of memory");
	return output_write("-", out.data, out.length, error);
}

static int show(const struct options *options, const char *list)
{
	struct client_range range;
	struct error error = {0};
	struct client client;
	const char *text;
	int r = subject_range(options, &range, &error);

	if (!r)
		r = command_connect(options, &error, &client);
	if (r)
		return command_fail(r == -EINVAL ? EXIT_CODE_USAGE : EXIT_CODE_FAILURE, &error);
	r = client_history(&client, list, options->event, &range, &error, &text);
	if (!r)
		r = print(options, list, text, &error);
	client_deinit(&client);
	return r && r != -EPIPE ? command_fail(EXIT_CODE_FAILURE, &error) : EXIT_CODE_OK;
}

int cmd_windows(const struct options *options)
{
	return show(options, "windows");
}

int cmd_services(const struct options *options)
{
	return show(options, "services");
}
