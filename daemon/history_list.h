/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What one database of the history has, as rows of JSON: windows, and services with what
 * they used.
 */
#pragma once

#include <jansson.h>

#include "daemon/history_database.h"
#include "daemon/history_query.h"

/* Adds to an array of rows. Errors as history_database.h has them. */
typedef int history_list_fn(sqlite3 *db, const struct history_query *query, json_t *rows,
			    struct error *error);

/* {start_ns, end_ns, step_ns, event, host, frequency_hz, samples, weight}, in the order of
 * time. Whose is not asked. */
history_list_fn history_list_windows;
/* {comm, unit, container, cgroup, event, windows, samples, weight}; of a service that is
 * there already, sums. */
history_list_fn history_list_services;
