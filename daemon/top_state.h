/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where somebody is in `perfctl top`: which rows are looked at, in what order, what is
 * selected, and what a key does. Knows no terminal.
 *
 *	processes ─ Enter → functions of one ─ Enter → callers ─ Enter → their callers …
 *	functions of all ──────────────────────┘         (Backspace goes back)
 *
 * Ownership: the state owns the names in its chain.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/top_model.h"

#define TOP_CHAIN_MAX 32u
#define TOP_FILTER_MAX 64u

/* Keys beside characters. */
enum top_key {
	TOP_KEY_UP = 0x110000, /* above all characters */
	TOP_KEY_DOWN,
	TOP_KEY_PAGE_UP,
	TOP_KEY_PAGE_DOWN,
	TOP_KEY_HOME,
	TOP_KEY_END,
	TOP_KEY_ENTER,
	TOP_KEY_BACK,
	TOP_KEY_ESCAPE,
};

struct top_state {
	enum top_level level;
	uint32_t pid; /* functions and callers: of that process; 0: of all */
	uint64_t birth_ns;
	char comm[TOP_COMM_MAX];
	struct top_function chain[TOP_CHAIN_MAX];
	size_t chain_count;
	enum top_sort sort[TOP_LEVEL_COUNT];
	bool reversed[TOP_LEVEL_COUNT];
	char filter[TOP_FILTER_MAX], filter_before[TOP_FILTER_MAX];
	bool typing; /* the filter */
	bool paused, help, quit;
	size_t selected, first; /* rows: the one selected, the first on the screen */
	bool following; /* the selected one, wherever it is sorted to */
	uint32_t followed_pid;
	struct top_function followed;
};

/* `sort`: of the processes. `filter`: NULL for none. */
void top_state_init(struct top_state *state, enum top_sort sort, const char *filter);
void top_state_deinit(struct top_state *state);
/* What to ask the model for; points into the state. */
struct top_query top_state_query(const struct top_state *state);
/* New rows: the selection is where it was, or with whom. `lines`: of rows on the screen. */
void top_state_settle(struct top_state *state, const struct top_rows *rows, size_t lines);
/* A key; `rows` are those on the screen. True: other rows have to be asked for. */
bool top_state_key(struct top_state *state, uint32_t key, const struct top_rows *rows,
		   size_t lines);
