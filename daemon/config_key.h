/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One setting: a row of the table that config.h speaks of, and what can be done
 * with the field of struct config it describes. For config.c and settings.c only;
 * everybody else includes config.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/base/strbuf.h"
#include "daemon/config.h"

enum config_kind {
	CONFIG_PATH, /* absolute, or empty if min is 0; max is its length in bytes */
	CONFIG_TEXT, /* may be empty; max is its length in bytes */
	CONFIG_CHOICE, /* one of the words in unit */
	CONFIG_NUMBER,
	CONFIG_SIZE, /* bytes */
	CONFIG_SIZE_POWER, /* bytes, a power of two */
	CONFIG_TIME, /* nanoseconds */
};

/* When a value that is read anew, by SIGHUP or `perfctl reload`, holds. */
enum config_effect { CONFIG_NOW, CONFIG_RESTART };

struct config_key {
	const char *section;
	const char *name;
	enum config_kind kind;
	enum config_effect effect;
	const char *unit;
	const char *initial; /* the default, as one would write it */
	uint64_t min, max;
	const char *help; /* one line */
	size_t offset, size; /* of the field in struct config */
};

#define CONFIG_KEY_COUNT 55
/* The table, in the order of struct config. */
extern const struct config_key config_keys[CONFIG_KEY_COUNT];

/* NULL if there is none. */
const struct config_key *config_key_find(const char *section, const char *name);
/* The table's own copy of a section's name; NULL if there is none. */
const char *config_section_find(const char *name);
/* The value of a key that is a number, a size or a time. */
uint64_t config_key_number(const struct config_key *key, const struct config *config);
/* Whether two configurations have the same value of it. */
bool config_key_same(const struct config_key *key, const struct config *a, const struct config *b);
/* Copies the value of one field. */
void config_key_copy(const struct config_key *key, struct config *to, const struct config *from);
/* The key that a person names: "section.key", or "key" alone where one section has it.
 * -EINVAL, and an error that names the key that was likely meant. */
int config_key_parse(const char *text, struct error *error, const struct config_key **ret);
/* Sets the field from text; -EINVAL with what was expected, *config unchanged. */
int config_key_set(const struct config_key *key, struct config *config, const char *value,
		   struct error *error);
/* Appends a number in the largest unit that shows it whole: "90s", "64K". */
void config_key_put_number(const struct config_key *key, uint64_t number, struct strbuf *out);
/* Appends the present value. */
void config_key_put_value(const struct config_key *key, const struct config *config,
			  struct strbuf *out);
/* Its kind in a word: "path", "text", "choice", "number", "size", "time". */
const char *config_key_type(const struct config_key *key);
/* Appends what a value may be: "a time from 100ms to 1h (units: …)". */
void config_key_put_expected(const struct config_key *key, struct strbuf *out);
/* -EINVAL, and an error that names the key or section that was likely meant. */
int config_key_unknown(const char *section, const char *name, struct error *error);
int config_section_unknown(const char *name, struct error *error);
