/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/config_path.h"

#define CONFIG_SCHEMA "perfd.config/1"
#define RELOAD_SCHEMA "perfd.reload/1"

/* --- reading ---------------------------------------------------------------- */

static int read_file(const char *path, struct settings *settings, struct error *error)
{
	unsigned lines[CONFIG_KEY_COUNT] = {0};
	int r;

	if (!path && access(CONFIG_DEFAULT_PATH, F_OK))
		return 0;
	snprintf(settings->file, sizeof(settings->file), "%s", path ? path : CONFIG_DEFAULT_PATH);
	r = config_load_lines(&settings->read, settings->file, lines, error);
	for (size_t i = 0; !r && i < CONFIG_KEY_COUNT; i++) {
		if (lines[i]) {
			settings->origins[i].from = SETTING_FILE;
			settings->origins[i].line = lines[i];
		}
	}
	return r;
}

static int set_key(const struct setting_option *option, const char *name, const char *value,
		   struct settings *settings, struct error *error)
{
	const struct config_key *key;
	int r = config_key_parse(name, error, &key);

	if (!r)
		r = config_key_set(key, &settings->read, value, error);
	if (!r)
		settings->origins[key - config_keys] =
			(struct setting_origin){.from = SETTING_OPTION, .option = option->option};
	return r;
}

static int read_option(const struct setting_option *option, struct settings *settings,
		       struct error *error)
{
	_cleanup_free_ char *text = option->key ? NULL : strdup(option->value);
	char *equals = text ? strchr(text, '=') : NULL;
	int r;

	if (option->key)
		r = set_key(option, option->key, option->value, settings, error);
	else if (!text)
		r = error_set(error, -ENOMEM, "no memory");
	else if (!equals)
		r = error_set(error, -EINVAL, "expected section.key=value");
	else {
		*equals = '\0';
		r = strchr(text, '.') ? set_key(option, text, equals + 1, settings, error)
				      : error_set(error, -EINVAL,
						  "\"%.80s\": expected \"section.key\"", text);
	}
	return r ? error_prefix(error, "%s %s", option->option, option->value) : 0;
}

int settings_read(const struct settings_source *source, struct error *error, struct settings *ret)
{
	_cleanup_free_ struct settings *settings = calloc(1, sizeof(*settings));
	uint64_t now = clock_real_ns();
	int r;

	if (!settings)
		return error_set(error, -ENOMEM, "no memory for the settings");
	config_init(&settings->read);
	r = read_file(source->file, settings, error);
	for (size_t i = 0; !r && i < source->options.count; i++)
		r = read_option(&source->options.items[i], settings, error);
	if (!r)
		r = config_check(&settings->read, error);
	if (r)
		return r;
	for (size_t i = 0; i < CONFIG_KEY_COUNT; i++)
		settings->origins[i].since_ns = now;
	settings->config = settings->read;
	*ret = *settings;
	return 0;
}

/* --- what they are ------------------------------------------------------------ */

static json_t *value_json(const struct config_key *key, const struct config *config)
{
	_cleanup_(strbuf_deinit) struct strbuf text = {0};
	json_t *value;

	config_key_put_value(key, config, &text);
	value = json_string(strbuf_text(&text));
	return value ? value : json_string("(not UTF-8)"); /* a path may be anything */
}

static json_t *number_json(const struct config_key *key, uint64_t number)
{
	_cleanup_(strbuf_deinit) struct strbuf text = {0};

	config_key_put_number(key, number, &text);
	return json_string(strbuf_text(&text));
}

static json_t *expected_json(const struct config_key *key)
{
	_cleanup_(strbuf_deinit) struct strbuf text = {0};

	config_key_put_expected(key, &text);
	return json_string(strbuf_text(&text));
}

static void put_range(const struct config_key *key, json_t *json)
{
	switch (key->kind) {
	case CONFIG_PATH:
	case CONFIG_TEXT:
	case CONFIG_CHOICE:
		return;
	default:
		json_object_set_new(json, "min", number_json(key, key->min));
		json_object_set_new(json, "max", number_json(key, key->max));
	}
}

static void put_origin(const struct settings *settings, const struct setting_origin *origin,
		       json_t *json)
{
	static const char *const names[] = {[SETTING_DEFAULT] = "default",
					    [SETTING_FILE] = "file",
					    [SETTING_OPTION] = "option"};

	json_object_set_new(json, "set_by", json_string(names[origin->from]));
	if (origin->from == SETTING_FILE) {
		json_object_set_new(json, "file", json_string(settings->file));
		json_object_set_new(json, "line", json_integer((json_int_t)origin->line));
	} else if (origin->from == SETTING_OPTION) {
		json_object_set_new(json, "option", json_string(origin->option));
	}
}

static json_t *key_json(const struct settings *settings, const struct config_key *key, bool running)
{
	const struct setting_origin *origin = &settings->origins[key - config_keys];
	char name[64];
	json_t *json;

	snprintf(name, sizeof(name), "%s.%s", key->section, key->name);
	json = json_pack("{s:s, s:o, s:s, s:s, s:s, s:o, s:s, s:s}", "key", name, "value",
			 value_json(key, &settings->config), "default", key->initial, "type",
			 config_key_type(key), "unit", key->kind == CONFIG_CHOICE ? "" : key->unit,
			 "expected", expected_json(key), "help", key->help, "takes_effect",
			 key->effect == CONFIG_NOW ? "now" : "restart");
	if (!json)
		return NULL;
	put_range(key, json);
	put_origin(settings, origin, json);
	if (running)
		json_object_set_new(json, "since_ns", json_integer((json_int_t)origin->since_ns));
	if (!config_key_same(key, &settings->config, &settings->read))
		json_object_set_new(json, "after_restart", value_json(key, &settings->read));
	return json;
}

json_t *settings_json(const struct settings *settings, const struct config_key *only, bool running)
{
	json_t *keys = json_array();

	for (size_t i = 0; i < CONFIG_KEY_COUNT; i++)
		if (!only || only == &config_keys[i])
			json_array_append_new(keys, key_json(settings, &config_keys[i], running));
	return json_pack("{s:s, s:b, s:s, s:o}", "schema", CONFIG_SCHEMA, "running", running,
			 "file", settings->file, "keys", keys);
}

/* --- taking over -------------------------------------------------------------- */

static json_t *change_json(const struct config_key *key, const struct config *from,
			   const struct config *to)
{
	char name[64];

	snprintf(name, sizeof(name), "%s.%s", key->section, key->name);
	return json_pack("{s:s, s:o, s:o}", "key", name, "from", value_json(key, from), "to",
			 value_json(key, to));
}

int settings_take(struct settings *settings, const struct settings *fresh, json_t **ret)
{
	json_t *lists[] = {[CONFIG_NOW] = json_array(), [CONFIG_RESTART] = json_array()};
	json_t *changes =
		json_pack("{s:s, s:s, s:o, s:o}", "schema", RELOAD_SCHEMA, "file", fresh->file,
			  "now", lists[CONFIG_NOW], "restart", lists[CONFIG_RESTART]);

	if (!changes)
		return -ENOMEM;
	for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
		const struct config_key *key = &config_keys[i];
		uint64_t since = settings->origins[i].since_ns;

		settings->origins[i] = fresh->origins[i];
		settings->origins[i].since_ns = since;
		if (config_key_same(key, &settings->config, &fresh->read))
			continue;
		json_array_append_new(lists[key->effect],
				      change_json(key, &settings->config, &fresh->read));
		if (key->effect == CONFIG_RESTART)
			continue;
		config_key_copy(key, &settings->config, &fresh->read);
		settings->origins[i].since_ns = fresh->origins[i].since_ns;
	}
	settings->read = fresh->read;
	memcpy(settings->file, fresh->file, sizeof(settings->file));
	*ret = changes;
	return 0;
}
