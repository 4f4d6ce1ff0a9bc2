/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * perfctl rates: how often perfd samples, what that costs, and why so; or sets a rate.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "daemon/base/cleanup.h"
#include "daemon/command.h"
#include "daemon/output.h"

static double number(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? value : "";
}

/* Names are anybody's: nothing of one may steer a terminal. */
static void put_name(struct strbuf *out, const char *name)
{
	for (const char *c = name; *c; c++)
		strbuf_putc(out, (unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c);
}

static void put_stream(struct strbuf *out, const json_t *stream)
{
	bool hz = !strcmp(text(stream, "unit"), "Hz");
	json_int_t session = json_integer_value(json_object_get(stream, "session"));
	char id[24] = "-";

	if (session)
		snprintf(id, sizeof(id), "%lld", (long long)session);
	strbuf_printf(out,
		      hz ? "%-10s %-8s %8.0f %8.0f %8.0f %8.3f %%  "
			 : "%-10s %-8s %7.2fm %7.2fm %7.2fm %8.3f %%  ",
		      text(stream, "event"), id, number(stream, "rate"), number(stream, "wished"),
		      number(stream, "floor"), number(stream, "cost_percent"));
	put_name(out, text(stream, "title"));
	strbuf_printf(out, ": %s", text(stream, "why_text"));
	if (number(stream, "observed_percent") < 100)
		strbuf_printf(out, ", seen %.1f %% of the time",
			      number(stream, "observed_percent"));
	if (number(stream, "busy_one_in") > 1)
		strbuf_printf(out, ", of a busy process one firing in %.0f",
			      number(stream, "busy_one_in"));
	if (*text(stream, "pattern"))
		strbuf_printf(out, " (%s)", text(stream, "pattern"));
	strbuf_putc(out, '\n');
}

static void put_size(struct strbuf *out, double bytes)
{
	if (bytes <= 0)
		strbuf_printf(out, " %8s", "-");
	else if (bytes >= 1 << 20)
		strbuf_printf(out, " %7.4gM", bytes / (1 << 20));
	else if (bytes >= 1 << 10)
		strbuf_printf(out, " %7.4gK", bytes / (1 << 10));
	else
		strbuf_printf(out, " %8.0f", bytes);
}

static void put_allocations(struct strbuf *out, const json_t *rows)
{
	const json_t *row;
	size_t i;

	if (!json_array_size(rows))
		return;
	strbuf_printf(out, "\n%-8s %-8s %-11s %8s %8s %8s %9s  %s\n", "PID", "BY", "PATTERN",
		      "INTERVAL", "ALL FROM", "BYTES/s", "ALLOCS/s", "WHOSE ALLOCATIONS, AND WHY");
	json_array_foreach(rows, i, row)
	{
		strbuf_printf(out, "%-8.0f %-8s %-11s", number(row, "pid"), text(row, "by"),
			      text(row, "pattern"));
		put_size(out, number(row, "interval_bytes"));
		put_size(out, number(row, "band_bytes"));
		put_size(out, number(row, "bytes_per_second"));
		strbuf_printf(out, " %9.4g  ", number(row, "allocations_per_second"));
		put_name(out, text(row, "comm"));
		strbuf_printf(out, ": %s\n", text(row, "why_text"));
	}
}

/* Nothing, where all is as it mostly is. */
static void put_mappings(struct strbuf *out, const json_t *mappings)
{
	if (!strcmp(text(mappings, "told"), "sampled"))
		strbuf_printf(
			out,
			"mappings of code: only those that samples hit, for telling all would "
			"cost %.3f %%\n\n",
			number(mappings, "cost_percent"));
	else if (json_is_true(json_object_get(mappings, "refused")))
		strbuf_puts(out, "mappings of code: all are told, for the kernel's own cannot be "
				 "looked at\n\n");
}

static void put_rates(struct strbuf *out, const json_t *root)
{
	json_t *streams = json_object_get(root, "streams"), *stream;
	double budget = number(root, "budget_percent");
	size_t i;

	strbuf_printf(out, "cost    %7.3f %% of the machine, of these %.3f %% whatever the rates\n",
		      number(root, "cost_percent"), number(root, "fixed_percent"));
	if (budget > 0)
		strbuf_printf(out, "budget  %7.3f %%, exceeded in %.0f of %.0f windows\n", budget,
			      number(root, "windows_over"), number(root, "windows"));
	else
		strbuf_puts(out, "budget  no limit\n");
	strbuf_printf(out,
		      "stolen  %7.3f %% by other machines; the kernel allows %.0f Hz\n"
		      "changes %7.0f down, %.0f up\n%s",
		      number(root, "stolen_percent"), number(root, "kernel_hz"),
		      number(root, "cuts"), number(root, "rises"), budget > 0 ? "" : "\n");
	if (budget > 0)
		strbuf_printf(
			out,
			"saved   %7.3f s of CPU time, for what can wait; views by slices have "
			"%.0f %% of theirs\n\n",
			number(root, "saved_seconds"), number(root, "views_percent"));
	put_mappings(out, json_object_get(root, "mappings"));
	strbuf_printf(out, "%-10s %-8s %8s %8s %8s %10s  %s\n", "EVENT", "SESSION", "RATE",
		      "WISHED", "FLOOR", "COST", "OF WHAT, AND WHY");
	json_array_foreach(streams, i, stream) put_stream(out, stream);
	put_allocations(out, json_object_get(root, "allocations"));
}

static int print(const struct options *options, const char *answer, struct error *error)
{
	_cleanup_(strbuf_deinit) struct strbuf out = {0};
	json_t *root = json_loads(answer, 0, NULL);

	if (!root)
		return error_set(error, -EBADMSG, "perfd's answer is no JSON");
	if (option_given(options, OPTION_JSON)) {
		_cleanup_free_ char *pretty = json_dumps(root, JSON_INDENT(2));

		strbuf_puts(&out, pretty ? pretty : answer);
		strbuf_putc(&out, '\n');
	} else {
		put_rates(&out, root);
	}
	json_decref(root);
	if (strbuf_error(&out))
		return error_set(error, -ENOMEM, "no memory for the answer");
	return output_write("-", out.data, out.length, error);
}

int cmd_rates(const struct options *options)
{
	bool sets = option_given(options, OPTION_SESSION);
	bool by_hand = option_given(options, OPTION_FREQUENCY);
	bool by_itself = option_given(options, OPTION_AUTO);
	struct error error = {0};
	struct client client;
	const char *answer;
	int r;

	if (sets ? by_hand == by_itself : by_hand || by_itself)
		return command_usage("rates: --session ID goes with one of -F HZ and --auto");
	r = command_connect(options, &error, &client);
	if (r < 0)
		return command_fail(EXIT_CODE_FAILURE, &error);
	r = client_rates(&client, sets ? &options->session : NULL,
			 by_hand ? options->frequency_hz : 0, &error, &answer);
	if (!r)
		r = print(options, answer, &error);
	client_deinit(&client);
	return r < 0 && r != -EPIPE ? command_fail(EXIT_CODE_FAILURE, &error) : EXIT_CODE_OK;
}
