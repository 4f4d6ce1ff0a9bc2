/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reading the settings again while perfd runs: on SIGHUP and for `perfctl reload`. They are
 * read and checked as a whole first; on an error everything stays as it was, and the log
 * says what is wrong and where. Borrows all that it names.
 */
#pragma once

#include <jansson.h>

#include "daemon/engine.h"
#include "daemon/server.h"
#include "daemon/settings.h"

struct reload {
	const struct settings_source *source;
	struct settings *settings; /* whose config the engine and the server go by */
	struct engine *engine;
	struct server *server;
};

/* 0 and what changed (a new reference, see settings_take()), or -errno with "file:line:". */
int reload_settings(struct reload *reload, struct error *error, json_t **ret);
