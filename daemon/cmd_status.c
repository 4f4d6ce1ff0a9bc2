/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * perfctl status and sessions: what perfd says of itself, for people by
 * sections, for programs as the JSON it came as.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "daemon/base/cleanup.h"
#include "daemon/command.h"
#include "daemon/output.h"

#define INDENT 2
#define KEY_WIDTH 26

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && !strcmp(text + n - m, end);
}

static void put_duration(struct strbuf *out, double ns)
{
	if (ns >= 86400e9)
		strbuf_printf(out, "%.1f d", ns / 86400e9);
	else if (ns >= 3600e9)
		strbuf_printf(out, "%.1f h", ns / 3600e9);
	else if (ns >= 120e9)
		strbuf_printf(out, "%.1f min", ns / 60e9);
	else if (ns >= 1e9)
		strbuf_printf(out, "%.2f s", ns / 1e9);
	else if (ns >= 1e6)
		strbuf_printf(out, "%.2f ms", ns / 1e6);
	else
		strbuf_printf(out, "%.2f us", ns / 1e3);
}

static void put_bytes(struct strbuf *out, double bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	size_t i = 0;

	for (; bytes >= 1024 && i < 4; i++)
		bytes /= 1024;
	strbuf_printf(out, i ? "%.1f %s" : "%.0f %s", bytes, units[i]);
}

/* The last word of a key is its unit. */
static void put_number(struct strbuf *out, const char *key, const json_t *value)
{
	double number = json_number_value(value);

	if (ends_with(key, "_ns"))
		put_duration(out, number);
	else if (ends_with(key, "_bytes") || !strcmp(key, "bytes"))
		put_bytes(out, number);
	else if (ends_with(key, "_hz"))
		strbuf_printf(out, "%.0f Hz", number);
	else if (ends_with(key, "_percent"))
		strbuf_printf(out, "%.2f %%", number);
	else if (json_is_integer(value))
		strbuf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else
		strbuf_printf(out, "%.3f", number);
}

/* Text may come from other users' processes: nothing of it may steer a
 * terminal. */
static void put_text(struct strbuf *out, const char *text)
{
	for (; *text; text++)
		strbuf_putc(out, (unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text);
}

static void put_scalar(struct strbuf *out, const char *key, const json_t *value)
{
	if (json_is_string(value))
		put_text(out, json_string_value(value));
	else if (json_is_number(value))
		put_number(out, key, value);
	else
		strbuf_puts(out, json_is_true(value) ? "yes" : json_is_false(value) ? "no" : "-");
}

/* "uptime_ns" as "uptime": the unit stands with the value. */
static void put_key(struct strbuf *out, const char *key, int depth)
{
	static const char *const units[] = {"_ns", "_bytes", "_hz", "_percent"};
	size_t n = strlen(key);

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (ends_with(key, units[i])) {
			n -= strlen(units[i]);
			break;
		}
	}
	strbuf_printf(out, "%*s", depth * INDENT, "");
	for (size_t i = 0; i < n; i++)
		strbuf_putc(out, key[i] == '_' ? ' ' : key[i]);
	for (size_t i = n + (size_t)(depth * INDENT); i < KEY_WIDTH; i++)
		strbuf_putc(out, ' ');
}

static void put_object(struct strbuf *out, json_t *object, int depth);

/* A list: of scalars on one line, of objects one line each. */
static void put_array(struct strbuf *out, const char *key, json_t *array, int depth)
{
	size_t i;
	json_t *item;
	const char *item_key;
	json_t *value;

	put_key(out, key, depth);
	if (!json_array_size(array))
		strbuf_puts(out, " none");
	json_array_foreach(array, i, item)
	{
		if (!json_is_object(item)) {
			strbuf_puts(out, i ? ", " : " ");
			put_scalar(out, key, item);
			continue;
		}
		strbuf_printf(out, "\n%*s-", (depth + 1) * INDENT, "");
		json_object_foreach(item, item_key, value)
		{
			if (json_is_object(value) || json_is_array(value))
				continue;
			strbuf_printf(out, " %s=", item_key);
			put_scalar(out, item_key, value);
		}
	}
	strbuf_putc(out, '\n');
}

/* Scalars first, then what is deeper, so that a section stays in one piece. */
static void put_object(struct strbuf *out, json_t *object, int depth)
{
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value)
	{
		if (json_is_object(value) || json_is_array(value) || !strcmp(key, "schema"))
			continue;
		put_key(out, key, depth);
		strbuf_putc(out, ' ');
		put_scalar(out, key, value);
		strbuf_putc(out, '\n');
	}
	json_object_foreach(object, key, value)
	{
		if (json_is_array(value))
			put_array(out, key, value, depth);
		if (!json_is_object(value))
			continue;
		if (!depth)
			strbuf_putc(out, '\n');
		put_key(out, key, depth);
		while (out->length && out->data[out->length - 1] == ' ')
			out->length--;
		strbuf_puts(out, "\n");
		put_object(out, value, depth + 1);
	}
}

static void put_sessions(struct strbuf *out, json_t *root)
{
	json_t *session;
	size_t i;

	strbuf_printf(out, "%-6s %-9s %-8s %-8s %-10s %-10s %-8s %s\n", "ID", "STATE", "PID", "UID",
		      "ELAPSED", "SAMPLES", "LOST", "TITLE");
	json_array_foreach(json_object_get(root, "sessions"), i, session)
	{
		struct strbuf elapsed = {0};

		put_duration(&elapsed, json_number_value(json_object_get(session, "elapsed_ns")));
		strbuf_printf(out, "%-6lld %-9s %-8lld %-8lld %-10s %-10lld %-8lld ",
			      json_integer_value(json_object_get(session, "id")),
			      json_string_value(json_object_get(session, "state")),
			      json_integer_value(json_object_get(session, "pid")),
			      json_integer_value(json_object_get(session, "owner_uid")),
			      strbuf_text(&elapsed),
			      json_integer_value(json_object_get(session, "samples")),
			      json_integer_value(json_object_get(session, "lost")));
		put_text(out, json_string_value(json_object_get(session, "title")));
		strbuf_putc(out, '\n');
		strbuf_deinit(&elapsed);
	}
}

/* The answer, printed. */
static int print(const struct options *options, enum message_type type, const char *text,
		 struct error *error)
{
	_cleanup_(strbuf_deinit) struct strbuf out = {0};
	json_t *root = json_loads(text, 0, NULL);

	if (!root)
		return error_set(error, -EBADMSG, "perfd's answer is no JSON");
	if (option_given(options, OPTION_JSON)) {
		_cleanup_free_ char *pretty = json_dumps(root, JSON_INDENT(2));

		strbuf_puts(&out, pretty ? pretty : text);
		strbuf_putc(&out, '\n');
	} else if (type == MESSAGE_SESSIONS) {
		put_sessions(&out, root);
	} else {
		put_object(&out, root, 0);
	}
	json_decref(root);
	if (strbuf_error(&out))
		return error_set(error, -ENOMEM, "no memory for the answer");
	return output_write("-", out.data, out.length, error);
}

static int ask(const struct options *options, enum message_type type, int not_running)
{
	struct error error = {0};
	struct client client;
	const char *text;
	int r;

	r = command_connect(options, &error, &client);
	if (r == -ENOENT || r == -ECONNREFUSED) {
		fprintf(stderr, "perfctl: perfd is not running (%s)\n", error.text);
		return not_running;
	}
	if (r < 0)
		return command_fail(EXIT_CODE_FAILURE, &error);
	r = client_json(&client, type, &error, &text);
	if (!r)
		r = print(options, type, text, &error);
	client_deinit(&client);
	if (r < 0 && r != -EPIPE)
		return command_fail(EXIT_CODE_FAILURE, &error);
	return EXIT_CODE_OK;
}

int cmd_status(const struct options *options)
{
	return ask(options, MESSAGE_STATUS, EXIT_CODE_NOT_RUNNING);
}

int cmd_sessions(const struct options *options)
{
	return ask(options, MESSAGE_SESSIONS, EXIT_CODE_FAILURE);
}
