/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One setting: a row of the table that config.h speaks of, and what can be done
 * with the field of struct config it describes. For config.c only; everybody
 * else includes config.h.
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

struct config_key {
	const char *section;
	const char *name;
	enum config_kind kind;
	const char *unit;
	const char *initial; /* the default, as one would write it */
	uint64_t min, max;
	const char *help; /* one line */
	size_t offset, size; /* of the field in struct config */
};

#define CONFIG_KEY_COUNT 39
/* The table, in the order of struct config. */
extern const struct config_key config_keys[CONFIG_KEY_COUNT];

/* NULL if there is none. */
const struct config_key *config_key_find(const char *section, const char *name);
/* The table's own copy of a section's name; NULL if there is none. */
const char *config_section_find(const char *name);
/* The value of a key that is a number, a size or a time. */
uint64_t config_key_number(const struct config_key *key, const struct config *config);
/* Sets the field from text; -EINVAL with what was expected, *config unchanged. */
int config_key_set(const struct config_key *key, struct config *config, const char *value,
		   struct error *error);
/* Appends a number in the largest unit that shows it whole: "90s", "64K". */
void config_key_put_number(const struct config_key *key, uint64_t number, struct strbuf *out);
/* Appends the present value. */
void config_key_put_value(const struct config_key *key, const struct config *config,
			  struct strbuf *out);
/* Appends what a value may be: "a time from 100ms to 1h (units: …)". */
void config_key_put_expected(const struct config_key *key, struct strbuf *out);
/* -EINVAL, and an error that names the key or section that was likely meant. */
int config_key_unknown(const char *section, const char *name, struct error *error);
int config_section_unknown(const char *name, struct error *error);
