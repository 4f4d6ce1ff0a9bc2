/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * perfctl config and reload: the settings in force, what one of them means, and having perfd
 * read them again.
 */
#include <errno.h>
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
#include "daemon/settings.h"

#define KEY_WIDTH 32

static void json_release(json_t **json)
{
	json_decref(*json);
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* --- for people ----------------------------------------------------------------- */

static void put_origin(const json_t *key, struct strbuf *out)
{
	const char *by = text_of(key, "set_by");

	if (!strcmp(by, "file"))
		strbuf_printf(out, "%s:%lld", text_of(key, "file"),
			      (long long)json_integer_value(json_object_get(key, "line")));
	else if (!strcmp(by, "option"))
		strbuf_printf(out, "%s on perfd's command line", text_of(key, "option"));
	else
		strbuf_puts(out, "nobody: the default");
}

static void put_all(const json_t *document, struct strbuf *out)
{
	json_t *key;
	size_t i;

	if (!json_is_true(json_object_get(document, "running")))
		strbuf_puts(out, "# perfd is not running: what it would start with\n");
	json_array_foreach(json_object_get(document, "keys"), i, key)
	{
		const char *after = text_of(key, "after_restart");
		size_t begin = out->length;

		strbuf_printf(out, "%s = %s", text_of(key, "key"), text_of(key, "value"));
		if (strcmp(text_of(key, "set_by"), "default")) {
			for (size_t n = out->length - begin; n < KEY_WIDTH; n++)
				strbuf_putc(out, ' ');
			strbuf_printf(out, " # default %s; set by ", text_of(key, "default"));
			put_origin(key, out);
		}
		if (json_object_get(key, "after_restart"))
			strbuf_printf(out, "; %s after a restart", after);
		strbuf_putc(out, '\n');
	}
}

static void put_time(const json_t *since, struct strbuf *out)
{
	time_t seconds = (time_t)((uint64_t)json_integer_value(since) / NSEC_PER_SEC);
	struct tm local;
	char text[64];

	if (localtime_r(&seconds, &local) && strftime(text, sizeof(text), "%F %T %z", &local))
		strbuf_puts(out, text);
}

static void put_one(const json_t *document, struct strbuf *out)
{
	const json_t *key = json_array_get(json_object_get(document, "keys"), 0);
	const json_t *since = json_object_get(key, "since_ns");
	const char *unit = text_of(key, "unit"), *type = text_of(key, "type");

	strbuf_printf(out, "%s = %s\n    %s\n", text_of(key, "key"), text_of(key, "value"),
		      text_of(key, "help"));
	strbuf_printf(out, "    type      %s%s%s\n", type,
		      *unit && strcmp(unit, type) ? ", in " : "",
		      *unit && strcmp(unit, type) ? unit : "");
	strbuf_printf(out, "    expected  %s\n    default   %s\n    set by    ",
		      text_of(key, "expected"), text_of(key, "default"));
	put_origin(key, out);
	strbuf_puts(out, "\n    in force  ");
	if (since) {
		strbuf_puts(out, "since ");
		put_time(since, out);
	} else {
		strbuf_puts(out, "unknown: no perfd that could be asked runs");
	}
	strbuf_printf(out, "\n    a change  holds %s\n",
		      strcmp(text_of(key, "takes_effect"), "now")
			      ? "when perfd is started again (systemctl restart perfd)"
			      : "at once (perfctl reload)");
	if (json_object_get(key, "after_restart"))
		strbuf_printf(out, "    waiting   %s, for a restart\n",
			      text_of(key, "after_restart"));
}

static void put_changes(const char *title, const json_t *changes, struct strbuf *out)
{
	json_t *change;
	size_t i;

	if (json_array_size(changes))
		strbuf_printf(out, "%s:\n", title);
	json_array_foreach((json_t *)(uintptr_t)changes, i, change)
	{
		strbuf_printf(out, "    %s = %s (until now %s)\n", text_of(change, "key"),
			      text_of(change, "to"), text_of(change, "from"));
	}
}

static void put_reload(const json_t *document, struct strbuf *out)
{
	const char *file = text_of(document, "file");
	const json_t *now = json_object_get(document, "now");
	const json_t *restart = json_object_get(document, "restart");

	strbuf_printf(out, "perfd has read %s\n",
		      *file ? file : "its command line: it has no file");
	put_changes("hold now", now, out);
	put_changes("hold after a restart (systemctl restart perfd)", restart, out);
	if (!json_array_size(now) && !json_array_size(restart))
		strbuf_puts(out, "nothing has changed\n");
}

/* --- what is there ------------------------------------------------------------- */

/* What perfd would start with. */
static int read_here(const struct options *options, const struct config_key *only,
		     struct error *error, json_t **ret)
{
	_cleanup_free_ struct settings *settings = malloc(sizeof(*settings));
	struct settings_source source = {.file = options->config};
	int r = settings ? settings_read(&source, error, settings)
			 : error_set(error, -ENOMEM, "no memory for the settings");

	if (!r)
		*ret = settings_json(settings, only, false);
	return r;
}

static int ask(const struct options *options, enum message_type type, const char *key,
	       struct error *error, json_t **ret)
{
	struct client client;
	const char *text;
	int r = command_connect(options, error, &client);

	if (r < 0)
		return r;
	r = client_ask(&client, type, FIELD_KEY, key, error, &text);
	if (!r) {
		*ret = json_loads(text, 0, NULL);
		if (!*ret)
			r = error_set(error, -EPROTO, "perfd's answer is no JSON");
	}
	client_deinit(&client);
	return r;
}

static bool not_running(int r)
{
	return r == -ENOENT || r == -ECONNREFUSED;
}

typedef void put_fn(const json_t *document, struct strbuf *out);

static int print(const struct options *options, const json_t *document, put_fn *put)
{
	_cleanup_(strbuf_deinit) struct strbuf out = {0};
	_cleanup_free_ char *text = NULL;
	struct error error;

	if (option_given(options, OPTION_JSON)) {
		text = json_dumps(document, JSON_INDENT(2));
		if (text)
			strbuf_printf(&out, "%s\n", text);
	} else {
		put(document, &out);
	}
	if (strbuf_error(&out) || !out.length) {
		error_set(&error, -ENOMEM, "no memory");
		return command_fail(EXIT_CODE_FAILURE, &error);
	}
	if (output_write("-", out.data, out.length, &error) < 0)
		return command_fail(EXIT_CODE_FAILURE, &error);
	return EXIT_CODE_OK;
}

static int show(const struct options *options)
{
	_cleanup_(json_release) json_t *document = NULL;
	struct error error;
	int r = ask(options, MESSAGE_CONFIG, NULL, &error, &document);

	if (not_running(r))
		r = read_here(options, NULL, &error, &document);
	if (r < 0)
		return command_fail(EXIT_CODE_FAILURE, &error);
	return print(options, document, put_all);
}

/* What a key means is known here; what it is, to perfd, which tells it to root and the
 * group. */
static int explain(const struct options *options, const char *name)
{
	_cleanup_(json_release) json_t *document = NULL;
	const struct config_key *key;
	struct error error;
	char whole[64];
	int r = config_key_parse(name, &error, &key);

	if (r < 0)
		return command_fail(EXIT_CODE_USAGE, &error);
	snprintf(whole, sizeof(whole), "%s.%s", key->section, key->name);
	r = ask(options, MESSAGE_CONFIG, whole, &error, &document);
	if (not_running(r) || r == -EPERM)
		r = read_here(options, key, &error, &document);
	if (r < 0)
		return command_fail(EXIT_CODE_FAILURE, &error);
	return print(options, document, put_one);
}

int cmd_config(const struct options *options)
{
	const char *what = options->rest_count ? options->rest[0] : "";

	if (!strcmp(what, "show") && options->rest_count == 1)
		return show(options);
	if (!strcmp(what, "explain") && options->rest_count == 2)
		return explain(options, options->rest[1]);
	return command_usage("config: expected \"show\" or \"explain KEY\"");
}

int cmd_reload(const struct options *options)
{
	_cleanup_(json_release) json_t *document = NULL;
	struct error error;

	if (ask(options, MESSAGE_RELOAD, NULL, &error, &document) < 0)
		return command_fail(EXIT_CODE_FAILURE, &error);
	return print(options, document, put_reload);
}
