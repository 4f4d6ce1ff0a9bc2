/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/reload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/notify.h"

static void log_changes(const char *when, const json_t *changes)
{
	const json_t *change;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)changes, i, change)
	{
		const char *key, *from, *to;

		if (!json_unpack((json_t *)(uintptr_t)change, "{s:s, s:s, s:s}", "key", &key,
				 "from", &from, "to", &to))
			log_info("reload: %s = %s, until now %s: %s", key, to, from, when);
	}
}

/* systemd wants to know when it began, by CLOCK_MONOTONIC (sd_notify(3)). */
static void tell_manager(void)
{
	struct timespec now;
	char state[64];

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%llu",
		 (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
	notify_manager(state);
}

static int read_again(struct reload *reload, struct error *error, json_t **ret)
{
	_cleanup_free_ struct settings *fresh = malloc(sizeof(*fresh));
	enum log_level level;
	int r = fresh ? settings_read(reload->source, error, fresh)
		      : error_set(error, -ENOMEM, "no memory for the settings");

	if (r)
		return r;
	r = settings_take(reload->settings, fresh, ret);
	if (r)
		return error_set(error, r, "no memory for the settings");
	if (!log_level_parse(reload->settings->config.log_level, &level))
		log_init("perfd", level);
	engine_reconfigure(reload->engine, &reload->settings->config);
	server_reconfigure(reload->server);
	return 0;
}

int reload_settings(struct reload *reload, struct error *error, json_t **ret)
{
	json_t *changes;
	int r;

	tell_manager();
	r = read_again(reload, error, &changes);
	if (!r) {
		log_info("reload: the settings of %s hold",
			 reload->settings->file[0] ? reload->settings->file : "the command line");
		log_changes("holds now", json_object_get(changes, "now"));
		log_changes("holds after a restart", json_object_get(changes, "restart"));
		*ret = changes;
	} else {
		log_error("reload: %s; the settings stay as they were", error->text);
	}
	notify_manager("READY=1");
	return r;
}
