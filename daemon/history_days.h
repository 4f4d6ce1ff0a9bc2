/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The days of a history's folder: the names of its databases ("2026-11-27.db", UTC).
 */
#pragma once

#include <stdint.h>

#include "daemon/base/vec.h"

#define HISTORY_DAY_MAX 16 /* "2026-11-27" and its NUL */
#define HISTORY_DAY_SUFFIX ".db"

struct history_days {
	VEC(struct history_day_name { char text[HISTORY_DAY_MAX]; }) names; /* oldest first */
};

/* The day of a moment (CLOCK_REALTIME, ns). */
void history_day_of(uint64_t time_ns, char day[HISTORY_DAY_MAX]);
/* Those that a folder has: -errno of its reading, -ENOMEM; to be given to history_days_deinit() in
 * any case. */
int history_days_list(const char *folder, struct history_days *days);
/* The beginning of the first (CLOCK_REALTIME, ns); 0: there is none. */
uint64_t history_days_first(const struct history_days *days);
void history_days_deinit(struct history_days *days);
