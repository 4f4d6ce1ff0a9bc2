/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The event loop's side of the history: windows are written and questions answered in a
 * thread of its own, which may wait for a slow disk; answers come back as callbacks from
 * history_dispatch(). Windows that cannot be written wait (and are part of every answer)
 * until they can, or until there are too many: then the oldest is dropped, counted, and
 * the gap is written down.
 *
 * The thread touches nothing but the store and what it was handed.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/history_list.h"
#include "daemon/history_query.h"
#include "daemon/history_store.h"
#include "flamegraph/profile.h"

/* Windows that wait to be written: ten minutes of one event, five of two. */
#define HISTORY_WAITING_MAX 600u
/* Questions at once; one more is refused. */
#define HISTORY_QUESTIONS_MAX 16u

struct history;

/* profile and rows are the callee's; NULL with an error. */
typedef void history_profile_fn(void *context, const struct error *error, struct profile *profile);
typedef void history_rows_fn(void *context, const struct error *error, json_t *rows);

struct history_stats {
	struct history_store_stats store;
	uint64_t waiting; /* windows that are on no disk yet */
	uint64_t dropped; /* windows that were given up */
	uint64_t questions;
	char trouble[256]; /* why windows wait; "": they do not */
};

int history_create(const struct history_store_options *options, struct error *error,
		   struct history **ret);
/* Writes what waits, for at most two seconds; questions under way are forgotten. */
void history_destroy(struct history *history);
/* From now on other limits and ages hold; the folder stays. */
void history_limit(struct history *history, const struct history_store_options *options);
/* Readable when history_dispatch() has something to do. */
int history_fd(const struct history *history);
void history_dispatch(struct history *history);
/* Keeps a window; it is the history's from then on, and part of every answer. */
void history_keep(struct history *history, struct profile *profile);
/* Has those that were kept written now, together: to be called after the last one of a moment. */
void history_write(struct history *history);
/* One callback, later; or -EAGAIN (too many questions), -ENOMEM and none. A query from 0
 * on begins with the oldest that is kept. */
int history_ask(struct history *history, const struct history_query *query,
		history_profile_fn *done, void *context);
/* The rows of a list, and "damaged_days". */
int history_ask_list(struct history *history, const struct history_query *query,
		     history_list_fn *list, history_rows_fn *done, void *context);
/* The callback of whoever asked with this context is not called any more. */
void history_forget(struct history *history, const void *context);
void history_get_stats(struct history *history, struct history_stats *ret);
