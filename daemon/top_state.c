/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/top_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void top_state_init(struct top_state *state, enum top_sort sort, const char *filter)
{
	*state = (struct top_state){
		.sort = {sort, TOP_BY_SELF, TOP_BY_TOTAL},
	};
	if (!top_sort_fits(TOP_PROCESSES, sort)) {
		state->sort[TOP_PROCESSES] = TOP_BY_CPU;
		state->sort[TOP_FUNCTIONS] = sort;
	}
	if (filter)
		snprintf(state->filter, sizeof(state->filter), "%s", filter);
}

static void forget_function(struct top_function *function)
{
	free(function->text);
	free(function->module);
	*function = (struct top_function){0};
}

/* False: no memory. */
static bool copy_function(const struct top_rows *rows, const struct top_row *row,
			  struct top_function *ret)
{
	struct top_function copy = {strdup(top_rows_text(rows, row->text)),
				    strdup(top_rows_text(rows, row->module))};

	if (!copy.text || !copy.module) {
		forget_function(&copy);
		return false;
	}
	*ret = copy;
	return true;
}

void top_state_deinit(struct top_state *state)
{
	while (state->chain_count)
		forget_function(&state->chain[--state->chain_count]);
	forget_function(&state->followed);
}

struct top_query top_state_query(const struct top_state *state)
{
	return (struct top_query){.level = state->level,
				  .pid = state->level == TOP_PROCESSES ? 0 : state->pid,
				  .birth_ns = state->birth_ns,
				  .chain = state->chain,
				  .chain_count = state->chain_count,
				  .sort = state->sort[state->level],
				  .reversed = state->reversed[state->level],
				  .filter = state->filter};
}

/* ---- the selection ---- */

static void unfollow(struct top_state *state)
{
	state->following = false;
	forget_function(&state->followed);
}

static void follow(struct top_state *state, const struct top_rows *rows)
{
	const struct top_row *row;

	unfollow(state);
	if (state->selected >= rows->items.count)
		return;
	row = &rows->items.items[state->selected];
	state->followed_pid = row->pid;
	state->following = copy_function(rows, row, &state->followed);
}

static bool is_followed(const struct top_state *state, const struct top_rows *rows,
			const struct top_row *row)
{
	if (state->level == TOP_PROCESSES)
		return row->pid == state->followed_pid;
	return !strcmp(top_rows_text(rows, row->text), state->followed.text) &&
	       !strcmp(top_rows_text(rows, row->module), state->followed.module);
}

static void scroll(struct top_state *state, size_t count, size_t lines)
{
	if (state->selected >= count)
		state->selected = count ? count - 1 : 0;
	if (state->selected < state->first)
		state->first = state->selected;
	if (lines && state->selected >= state->first + lines)
		state->first = state->selected - lines + 1;
	/* No empty lines below while there are rows above. */
	if (state->first + lines > count)
		state->first = count > lines ? count - lines : 0;
}

void top_state_settle(struct top_state *state, const struct top_rows *rows, size_t lines)
{
	for (size_t i = 0; state->following && i < rows->items.count; i++) {
		if (is_followed(state, rows, &rows->items.items[i])) {
			state->selected = i;
			break;
		}
	}
	scroll(state, rows->items.count, lines);
}

static void move(struct top_state *state, const struct top_rows *rows, size_t lines, long by)
{
	long to = (long)state->selected + by, last = (long)rows->items.count - 1;

	to = to > last ? last : to;
	state->selected = to < 0 ? 0 : (size_t)to;
	scroll(state, rows->items.count, lines);
	follow(state, rows);
}

/* ---- going deeper and back ---- */

static void enter_level(struct top_state *state, enum top_level level)
{
	state->level = level;
	state->selected = state->first = 0;
	state->filter[0] = 0;
	unfollow(state);
}

static bool go_deeper(struct top_state *state, const struct top_rows *rows)
{
	const struct top_row *row;

	if (state->selected >= rows->items.count)
		return false;
	row = &rows->items.items[state->selected];
	if (state->level == TOP_PROCESSES) {
		state->pid = row->pid;
		state->birth_ns = row->birth_ns;
		snprintf(state->comm, sizeof(state->comm), "%s", top_rows_text(rows, row->text));
		enter_level(state, TOP_FUNCTIONS);
		return true;
	}
	/* A thread has no caller. */
	if (row->kind == LABEL_COMM || state->chain_count == TOP_CHAIN_MAX ||
	    !copy_function(rows, row, &state->chain[state->chain_count]))
		return false;
	state->chain_count++;
	enter_level(state, TOP_CALLERS);
	return true;
}

static bool go_back(struct top_state *state)
{
	if (state->level == TOP_PROCESSES)
		return false;
	if (state->level == TOP_CALLERS) {
		forget_function(&state->chain[--state->chain_count]);
		enter_level(state, state->chain_count ? TOP_CALLERS : TOP_FUNCTIONS);
		return true;
	}
	state->pid = 0;
	enter_level(state, TOP_PROCESSES);
	return true;
}

/* Functions of everything, or processes. */
static bool switch_view(struct top_state *state)
{
	bool functions = state->level == TOP_PROCESSES;

	while (go_back(state))
		;
	if (functions)
		enter_level(state, TOP_FUNCTIONS);
	return true;
}

/* ---- order and filter ---- */

static bool next_sort(struct top_state *state, int by)
{
	int sort = (int)state->sort[state->level];

	do
		sort = (sort + by + TOP_SORT_COUNT) % TOP_SORT_COUNT;
	while (!top_sort_fits(state->level, (enum top_sort)sort));
	state->sort[state->level] = (enum top_sort)sort;
	return true;
}

static bool set_sort(struct top_state *state, uint32_t key)
{
	static const struct {
		uint32_t key;
		enum top_sort sort;
	} keys[] = {{'C', TOP_BY_CPU},  {'M', TOP_BY_MEMORY}, {'F', TOP_BY_FAULTS},
		    {'P', TOP_BY_PID},  {'S', TOP_BY_SELF},   {'T', TOP_BY_TOTAL},
		    {'N', TOP_BY_NAME}, {0, TOP_SORT_COUNT}};

	for (size_t i = 0; keys[i].key; i++) {
		if (keys[i].key != key || !top_sort_fits(state->level, keys[i].sort))
			continue;
		state->sort[state->level] = keys[i].sort;
		return true;
	}
	return false;
}

/* UTF-8 as it is typed, whole characters. */
static void type(char filter[TOP_FILTER_MAX], uint32_t c)
{
	size_t n = strlen(filter);
	char bytes[5] = {0};

	if (c < 0x80)
		bytes[0] = (char)c;
	else if (c < 0x800)
		snprintf(bytes, sizeof(bytes), "%c%c", (char)(0xc0 | c >> 6),
			 (char)(0x80 | (c & 0x3f)));
	else if (c < 0x10000)
		snprintf(bytes, sizeof(bytes), "%c%c%c", (char)(0xe0 | c >> 12),
			 (char)(0x80 | (c >> 6 & 0x3f)), (char)(0x80 | (c & 0x3f)));
	else
		snprintf(bytes, sizeof(bytes), "%c%c%c%c", (char)(0xf0 | c >> 18),
			 (char)(0x80 | (c >> 12 & 0x3f)), (char)(0x80 | (c >> 6 & 0x3f)),
			 (char)(0x80 | (c & 0x3f)));
	if (n + strlen(bytes) < TOP_FILTER_MAX)
		snprintf(filter + n, TOP_FILTER_MAX - n, "%s", bytes);
}

static bool filter_key(struct top_state *state, uint32_t key)
{
	size_t n = strlen(state->filter);

	if (key == TOP_KEY_ENTER) {
		state->typing = false;
		return false;
	}
	if (key == TOP_KEY_ESCAPE) {
		state->typing = false;
		memcpy(state->filter, state->filter_before, sizeof(state->filter));
		return true;
	}
	if (key == TOP_KEY_BACK) {
		while (n && ((unsigned char)state->filter[n - 1] & 0xc0) == 0x80)
			n--;
		state->filter[n ? n - 1 : 0] = 0;
		return true;
	}
	if (key < 0x20 || key == 0x7f || key >= TOP_KEY_UP)
		return false;
	type(state->filter, key);
	state->selected = state->first = 0;
	unfollow(state);
	return true;
}

static bool escape(struct top_state *state)
{
	if (!state->filter[0])
		return go_back(state);
	state->filter[0] = 0;
	return true;
}

static bool movement_key(struct top_state *state, uint32_t key, const struct top_rows *rows,
			 size_t lines)
{
	switch (key) {
	case TOP_KEY_UP:
	case 'k':
		move(state, rows, lines, -1);
		return true;
	case TOP_KEY_DOWN:
	case 'j':
		move(state, rows, lines, 1);
		return true;
	case TOP_KEY_PAGE_UP:
		move(state, rows, lines, -(long)lines);
		return true;
	case TOP_KEY_PAGE_DOWN:
		move(state, rows, lines, (long)lines);
		return true;
	case TOP_KEY_END:
	case 'G':
		move(state, rows, lines, (long)rows->items.count);
		return true;
	case TOP_KEY_HOME:
	case 'g':
		state->selected = state->first = 0;
		unfollow(state);
		return true;
	default:
		return false;
	}
}

bool top_state_key(struct top_state *state, uint32_t key, const struct top_rows *rows, size_t lines)
{
	if (state->typing)
		return filter_key(state, key);
	if (state->help) {
		state->help = false;
		state->quit = key == 'q';
		return false;
	}
	if (movement_key(state, key, rows, lines))
		return false;
	switch (key) {
	case 'q':
		state->quit = true;
		return false;
	case 'h':
	case '?':
		state->help = true;
		return false;
	case 'p':
	case ' ':
		state->paused = !state->paused;
		return false;
	case '/':
		memcpy(state->filter_before, state->filter, sizeof(state->filter));
		state->typing = true;
		return false;
	case 'r':
		state->reversed[state->level] = !state->reversed[state->level];
		return true;
	case '<':
		return next_sort(state, -1);
	case '>':
	case 's':
		return next_sort(state, 1);
	case 'f':
		return switch_view(state);
	case TOP_KEY_ENTER:
		return go_deeper(state, rows);
	case TOP_KEY_BACK:
		return go_back(state);
	case TOP_KEY_ESCAPE:
		return escape(state);
	default:
		return set_sort(state, key);
	}
}
