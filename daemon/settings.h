/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The settings, and where each comes from: the defaults, over them a file, over that the
 * command line. perfd keeps them and reads them again (SIGHUP, `perfctl reload`); perfctl
 * reads them where no perfd runs.
 *
 * What is read is whole and checked before anything of it holds: settings_read() gives a
 * set of its own, and settings_take() takes over what may change while perfd runs
 * (CONFIG_NOW of config_key.h). The rest holds after a restart, and is told until then.
 */
#pragma once

#include <jansson.h>
#include <limits.h>

#include "daemon/base/error.h"
#include "daemon/base/vec.h"
#include "daemon/config.h"
#include "daemon/config_key.h"

enum setting_from { SETTING_DEFAULT, SETTING_FILE, SETTING_OPTION };

struct setting_origin {
	enum setting_from from;
	unsigned line; /* of the file */
	const char *option; /* as it was given: "--set" */
	uint64_t since_ns; /* CLOCK_REALTIME: what is in force is so since then; 0: it is not */
};

/* A setting of the command line; strings stay argv's. */
struct setting_option {
	const char *option;
	const char *key; /* NULL: value is "section.key=value" */
	const char *value;
};

struct settings_source {
	const char *file; /* NULL: the default one, if it is there */
	VEC(struct setting_option) options;
};

struct settings {
	char file[PATH_MAX]; /* that was read; "": none */
	struct config config; /* in force */
	struct config read; /* as read last */
	struct setting_origin origins[CONFIG_KEY_COUNT]; /* of `read` */
};

/* All that is set, in force from now on. On error *ret is unchanged, and the error begins
 * with "file:line:" or the option. */
int settings_read(const struct settings_source *source, struct error *error, struct settings *ret);
/* Takes over what was read; *ret (a new reference) says what holds now and what after a
 * restart, by the schema perfd.reload/1. -ENOMEM: nothing was taken over. */
int settings_take(struct settings *settings, const struct settings *fresh, json_t **ret);
/* All keys, or one of them: schema perfd.config/1. `running`: they are in force in a perfd.
 * A new reference. */
json_t *settings_json(const struct settings *settings, const struct config_key *only, bool running);
