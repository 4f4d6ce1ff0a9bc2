/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reads what one database of the history has for a query, and adds it to the reader's
 * profile: the rows it needs, each once.
 */
#pragma once

#include "daemon/history_database.h"
#include "daemon/history_reader.h"

/* -EBADMSG: damaged (what was read before stays in); -EINVAL: values that do not fit
 * those of other windows; -ENOMEM. */
int history_day_read(sqlite3 *db, struct history_reader *reader, struct error *error);
