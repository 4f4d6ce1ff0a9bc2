/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/log.h"
#include "daemon/config_key.h"
#include "daemon/metrics_address.h"

#define FILE_MAX (1u << 20) /* bytes of a config file; ours has some 4 KiB */
#define LINE_LENGTH_MAX 512

/* Pairs that must not cross. */
static const struct {
	const char *section, *lower, *upper;
} orders[] = {
	{"cpu", "frequency_hz", "frequency_max_hz"},
	{"cpu", "session_frequency_hz", "frequency_max_hz"},
	{"history", "window", "keep"},
};

/* --- the file ------------------------------------------------------------ */

struct parser {
	struct config config; /* the result in the making */
	const char *section; /* NULL before the first header */
	unsigned line;
	unsigned lines[CONFIG_KEY_COUNT]; /* where each key was set; 0: not in this file */
};

/* Cuts blanks from both ends, in place. */
static char *trim(char *text)
{
	char *end;

	while (isspace((unsigned char)*text))
		text++;
	end = text + strlen(text);
	while (end > text && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return text;
}

/* A comment begins with a # at the line's beginning or after a blank. */
static void cut_comment(char *line)
{
	for (char *at = line; *at; at++) {
		if (*at == '#' && (at == line || isspace((unsigned char)at[-1]))) {
			*at = '\0';
			return;
		}
	}
}

static int parse_header(struct parser *parser, char *text, struct error *error)
{
	char *end = strchr(text, ']');
	const char *name;

	if (!end || end[1])
		return error_set(error, -EINVAL, "\"%.80s\": expected \"[section]\"", text);
	*end = '\0';
	name = trim(text + 1);
	parser->section = config_section_find(name);
	return parser->section ? 0 : config_section_unknown(name, error);
}

static int parse_setting(struct parser *parser, char *text, struct error *error)
{
	char *equals = strchr(text, '=');
	const struct config_key *key;
	const char *name;
	unsigned *line;

	if (!equals)
		return error_set(error, -EINVAL, "\"%.80s\": expected \"key = value\"", text);
	*equals = '\0';
	name = trim(text);
	if (!parser->section)
		return error_set(error, -EINVAL, "key \"%.80s\" stands before the first [section]",
				 name);
	key = config_key_find(parser->section, name);
	if (!key)
		return config_key_unknown(parser->section, name, error);
	line = &parser->lines[key - config_keys];
	if (*line)
		return error_set(error, -EINVAL, "\"%s\" was set already in line %u", key->name,
				 *line);
	*line = parser->line;
	return config_key_set(key, &parser->config, trim(equals + 1), error);
}

static int parse_line(struct parser *parser, const char *bytes, size_t n, struct error *error)
{
	char buffer[LINE_LENGTH_MAX + 1];
	char *text;

	if (n > LINE_LENGTH_MAX)
		return error_set(error, -EINVAL, "line of %zu bytes: expected at most %d", n,
				 LINE_LENGTH_MAX);
	if (memchr(bytes, '\0', n))
		return error_set(error, -EINVAL, "a NUL byte: this is no text file");
	memcpy(buffer, bytes, n);
	buffer[n] = '\0';
	cut_comment(buffer);
	text = trim(buffer);
	if (!*text)
		return 0;
	return *text == '[' ? parse_header(parser, text, error)
			    : parse_setting(parser, text, error);
}

static int check_orders(const struct config *config, const unsigned *lines, unsigned *ret_line,
			struct error *error)
{
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		_cleanup_(strbuf_deinit) struct strbuf text = {0};
		const struct config_key *lower =
			config_key_find(orders[i].section, orders[i].lower);
		const struct config_key *upper =
			config_key_find(orders[i].section, orders[i].upper);

		if (config_key_number(lower, config) <= config_key_number(upper, config))
			continue;
		if (lines) {
			unsigned a = lines[lower - config_keys], b = lines[upper - config_keys];

			*ret_line = a > b ? a : b;
		}
		strbuf_printf(&text, "%s.%s = ", lower->section, lower->name);
		config_key_put_value(lower, config, &text);
		strbuf_printf(&text, ": expected at most %s.%s = ", upper->section, upper->name);
		config_key_put_value(upper, config, &text);
		return error_set(error, -EINVAL, "%s", strbuf_text(&text));
	}
	return 0;
}

static int check_address(const struct config *config, const unsigned *lines, unsigned *ret_line,
			 struct error *error)
{
	struct metrics_address address;
	const struct config_key *key = config_key_find("metrics", "listen");

	if (!config->metrics_listen[0] ||
	    !metrics_address_parse(config->metrics_listen, &address, error))
		return 0;
	if (lines)
		*ret_line = lines[key - config_keys];
	return -EINVAL;
}

/* What a value alone does not show. `lines`: where each was set, for *ret_line; or NULL. */
static int check(const struct config *config, const unsigned *lines, unsigned *ret_line,
		 struct error *error)
{
	int r = check_orders(config, lines, ret_line, error);

	return r ? r : check_address(config, lines, ret_line, error);
}

int config_check(const struct config *config, struct error *error)
{
	return check(config, NULL, NULL, error);
}

static int parse(struct config *config, const char *name, const char *text, size_t n,
		 unsigned *lines, struct error *error)
{
	struct parser parser = {.config = *config};
	int r = 0;

	for (size_t at = 0; at < n && !r;) {
		const char *end = memchr(text + at, '\n', n - at);
		size_t length = end ? (size_t)(end - text) - at : n - at;

		parser.line++;
		r = parse_line(&parser, text + at, length, error);
		at += length + 1;
	}
	if (!r)
		r = check(&parser.config, parser.lines, &parser.line, error);
	if (r) {
		error_prefix(error, "%s:%u", name, parser.line);
		return r;
	}
	*config = parser.config;
	if (lines)
		memcpy(lines, parser.lines, sizeof(parser.lines));
	return 0;
}

int config_parse(struct config *config, const char *name, const char *text, size_t n,
		 struct error *error)
{
	return parse(config, name, text, n, NULL, error);
}

int config_load(struct config *config, const char *path, struct error *error)
{
	return config_load_lines(config, path, NULL, error);
}

int config_load_lines(struct config *config, const char *path, unsigned *lines, struct error *error)
{
	_cleanup_free_ char *text = malloc(FILE_MAX + 1);
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	size_t n;

	if (!text)
		return error_set(error, -ENOMEM, "%s: out of memory", path);
	if (!file)
		return error_set(error, -errno, "%s: %s", path, strerror(errno));
	errno = 0;
	n = fread(text, 1, FILE_MAX + 1, file);
	if (ferror(file))
		return error_set(error, errno ? -errno : -EIO, "%s: %s", path,
				 strerror(errno ? errno : EIO));
	if (n > FILE_MAX)
		return error_set(error, -EFBIG, "%s: expected at most 1M bytes of settings", path);
	return parse(config, path, text, n, lines, error);
}

void config_init(struct config *config)
{
	memset(config, 0, sizeof(*config));
	for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
		int r = config_key_set(&config_keys[i], config, config_keys[i].initial, NULL);

		/* The unit tests load every default, so this does not happen. */
		if (r)
			log_error("default of %s.%s is out of bounds", config_keys[i].section,
				  config_keys[i].name);
	}
}

int config_set(struct config *config, const char *key, const char *value, struct error *error)
{
	const struct config_key *row;
	int r = strchr(key, '.')
			? config_key_parse(key, error, &row)
			: error_set(error, -EINVAL, "\"%.80s\": expected \"section.key\"", key);

	return r ? r : config_key_set(row, config, value, error);
}

/* --- texts made from the table -------------------------------------------- */

void config_write_template(struct strbuf *out)
{
	const char *section = "";

	strbuf_puts(out,
		    "# Settings of perfd. Every key stands here with its default; take the #\n"
		    "# from those you change. \"perfd --help-config\" shows what is in force.\n"
		    "# Sizes take K, M, G (binary); times ns, us, ms, s, m, h.\n");
	for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
		const struct config_key *key = &config_keys[i];

		if (strcmp(section, key->section)) {
			section = key->section;
			strbuf_printf(out, "\n[%s]\n", section);
		} else {
			strbuf_putc(out, '\n');
		}
		strbuf_printf(out, "# %s\n# Expected: ", key->help);
		config_key_put_expected(key, out);
		if (key->kind == CONFIG_NUMBER)
			strbuf_printf(out, " (%s)", key->unit);
		if (key->effect == CONFIG_RESTART)
			strbuf_puts(out, ". After a restart");
		strbuf_printf(out, "\n#%s = %s\n", key->name, key->initial);
	}
}

void config_explain(const struct config *config, struct strbuf *out)
{
	for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
		const struct config_key *key = &config_keys[i];

		strbuf_printf(out, "%s.%s = ", key->section, key->name);
		config_key_put_value(key, config, out);
		strbuf_printf(out, "\n    %s\n    Expected: ", key->help);
		config_key_put_expected(key, out);
		if (key->kind == CONFIG_NUMBER)
			strbuf_printf(out, " (%s)", key->unit);
		strbuf_printf(out, ". Default: %s\n    A change holds %s.\n", key->initial,
			      key->effect == CONFIG_NOW ? "at once, with perfctl reload"
							: "after a restart");
	}
}
