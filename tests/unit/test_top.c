/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * perfctl top without its terminal: rows of intervals, and what keys do.
 */
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/top_print.h"
#include "daemon/top_state.h"
#include "tests/unit/suite.h"

#define SECOND NSEC_PER_SEC
#define BIRTH (1000 * SECOND)
#define LINES 10

static struct profile *new_profile(const char *value, const char *unit)
{
	struct profile *profile = profile_create();

	profile_add_value_type(profile, "samples", "count");
	profile->default_value = profile_add_value_type(profile, value, unit);
	return profile;
}

/* "main;parse;read@libc", root first. */
static void add(struct profile *profile, uint32_t pid, uint64_t birth, const char *comm,
		const char *stack, uint64_t weight)
{
	struct profile_process process = {
		.pid = pid, .birth_ns = birth, .comm = profile_string(profile, comm)};
	struct profile_sample sample = {.comm = process.comm, .process = PROFILE_NONE};
	uint64_t values[] = {1, weight};
	char text[256], *save = NULL;
	uint32_t frames[16];
	size_t count = 0;

	for (uint32_t i = 0; i < profile->processes.count; i++)
		if (profile->processes.items[i].pid == pid)
			sample.process = i;
	if (sample.process == PROFILE_NONE)
		sample.process = profile_add_process(profile, &process);
	snprintf(text, sizeof(text), "%s", stack);
	for (char *word = strtok_r(text, ";", &save); word; word = strtok_r(NULL, ";", &save)) {
		char *module = strchr(word, '@');
		struct profile_frame frame = {.kind = FRAME_USER};

		if (module)
			*module++ = 0;
		frame.name = profile_string(profile, word);
		frame.module = profile_string(profile, module ? module : "");
		frames[count++] = profile_frame(profile, &frame);
	}
	sample.stack = profile_stack(profile, frames, count);
	ck_assert_int_eq(profile_add_sample(profile, &sample, values), 0);
}

static struct profile *cpu_profile(void)
{
	return new_profile("cpu", "nanoseconds");
}

/* Two processes and one that only /proc knows. */
static void add_interval(struct top_model *model, uint64_t lost)
{
	struct profile *cpu = cpu_profile(), *faults = new_profile("faults", "count");
	struct top_fact fact[] = {
		{.pid = 1, .birth_ns = BIRTH + 1000, .rss_bytes = 4096, .comm = "init"},
		{.pid = 10, .birth_ns = BIRTH, .rss_bytes = 1 << 20, .comm = "worker"}};
	struct top_facts facts = {.items = fact, .count = 2, .known = true};

	add(cpu, 10, BIRTH, "worker", "main;parse;read@libc", SECOND / 2);
	add(cpu, 10, BIRTH, "worker", "main;write@libc", SECOND / 4);
	add(cpu, 10, BIRTH, "worker", "main;parse;parse;parse;read@libc", SECOND / 4);
	add(cpu, 11, BIRTH, "short", "main;read@libc", SECOND / 10);
	add(faults, 10, BIRTH, "worker", "main", 30);
	profile_add_count(cpu, "lost_ring", "ring was full", lost, 1);
	profile_add_count(cpu, "truncated", "cut", 5, 0);
	ck_assert_int_eq(top_model_add(model, cpu, faults, 2 * SECOND, &facts), 0);
}

static void rows_of(const struct top_model *model, struct top_query query, struct top_rows *rows)
{
	ck_assert_int_eq(top_rows_init(rows, model, &query), 0);
}

static const char *text(const struct top_rows *rows, size_t i)
{
	ck_assert_uint_lt(i, rows->items.count);
	return top_rows_text(rows, rows->items.items[i].text);
}

START_TEST(processes_have_rates)
{
	struct top_model model = {0};
	struct top_rows rows;

	add_interval(&model, 0);
	rows_of(&model, (struct top_query){.level = TOP_PROCESSES}, &rows);
	ck_assert_uint_eq(rows.items.count, 3);
	ck_assert_str_eq(text(&rows, 0), "worker");
	ck_assert_double_eq_tol(rows.items.items[0].cpu, 0.5, 1e-9);
	ck_assert_double_eq_tol(rows.items.items[0].faults, 15, 1e-9);
	ck_assert_uint_eq(rows.items.items[0].rss_bytes, 1 << 20);
	ck_assert_uint_eq(rows.items.items[0].trend[0], 500);
	ck_assert_str_eq(text(&rows, 1), "short");
	ck_assert(!rows.items.items[1].rss_known);
	ck_assert_str_eq(text(&rows, 2), "init");
	ck_assert_double_eq(rows.items.items[2].cpu, 0);
	top_rows_deinit(&rows);
	rows_of(&model, (struct top_query){.sort = TOP_BY_PID, .reversed = true}, &rows);
	ck_assert_uint_eq(rows.items.items[0].pid, 11);
	top_rows_deinit(&rows);
	rows_of(&model, (struct top_query){.sort = TOP_BY_MEMORY}, &rows);
	ck_assert_uint_eq(rows.items.items[1].pid, 1);
	top_rows_deinit(&rows);
	top_model_deinit(&model);
}
END_TEST

START_TEST(functions_count_once_a_stack)
{
	struct top_model model = {0};
	struct top_rows rows;

	add_interval(&model, 0);
	add_interval(&model, 0);
	rows_of(&model, (struct top_query){.level = TOP_FUNCTIONS, .pid = 10, .birth_ns = BIRTH},
		&rows);
	ck_assert_uint_eq(rows.subject_ns, 2 * SECOND);
	ck_assert_str_eq(text(&rows, 0), "read");
	ck_assert_uint_eq(rows.items.items[0].self_ns, 3 * SECOND / 2);
	ck_assert_double_eq_tol(rows.items.items[0].self, 0.75, 1e-9);
	ck_assert_str_eq(text(&rows, 1), "write");
	ck_assert_str_eq(text(&rows, 2), "main");
	ck_assert_double_eq_tol(rows.items.items[2].total, 1, 1e-9);
	/* Recursive, and yet in each stack once. */
	ck_assert_str_eq(text(&rows, 3), "parse");
	ck_assert_uint_eq(rows.items.items[3].total_ns, 3 * SECOND / 2);
	ck_assert_uint_eq(rows.trend_count, 2);
	top_rows_deinit(&rows);
	rows_of(&model, (struct top_query){.level = TOP_FUNCTIONS, .newest = true}, &rows);
	ck_assert_uint_eq(rows.subject_ns, SECOND + SECOND / 10);
	top_rows_deinit(&rows);
	top_model_deinit(&model);
}
END_TEST

START_TEST(callers_go_outwards)
{
	struct top_model model = {0};
	struct top_function chain[] = {{(char[]){"read"}, (char[]){"libc"}},
				       {(char[]){"parse"}, (char[]){""}}};
	struct top_query query = {.level = TOP_CALLERS, .chain = chain, .chain_count = 1};
	struct top_rows rows;

	add_interval(&model, 0);
	rows_of(&model, query, &rows);
	ck_assert_uint_eq(rows.items.count, 2);
	ck_assert_str_eq(text(&rows, 0), "parse");
	ck_assert_uint_eq(rows.items.items[0].total_ns, 3 * SECOND / 4);
	ck_assert_str_eq(text(&rows, 1), "main");
	top_rows_deinit(&rows);
	query.chain_count = 2;
	rows_of(&model, query, &rows);
	ck_assert_str_eq(text(&rows, 0), "main");
	ck_assert_uint_eq(rows.items.items[0].total_ns, SECOND / 2);
	ck_assert_str_eq(text(&rows, 1), "parse");
	top_rows_deinit(&rows);
	chain[1].text = (char[]){"main"};
	rows_of(&model, query, &rows);
	ck_assert_uint_eq(rows.items.count, 1);
	ck_assert_str_eq(text(&rows, 0), "short");
	ck_assert_uint_eq(rows.items.items[0].kind, LABEL_COMM);
	top_rows_deinit(&rows);
	chain[1].text = (char[]){"nowhere"};
	rows_of(&model, query, &rows);
	ck_assert_uint_eq(rows.items.count, 0);
	top_rows_deinit(&rows);
	top_model_deinit(&model);
}
END_TEST

START_TEST(filters_are_patterns_or_texts)
{
	static const struct {
		const char *filter;
		size_t count;
	} cases[] = {{"^wor", 1}, {"WORK", 1}, {"o", 2},  {"", 3},    {"(", 0},
		     {"11", 1},   {"1", 1},    {"x*", 3}, {"none", 0}};
	struct top_model model = {0};
	struct top_rows rows;

	add_interval(&model, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rows_of(&model, (struct top_query){.filter = cases[i].filter}, &rows);
		ck_assert_msg(rows.items.count == cases[i].count, "\"%s\": %zu", cases[i].filter,
			      rows.items.count);
		ck_assert_uint_eq(rows.hidden, 3 - cases[i].count);
		top_rows_deinit(&rows);
	}
	top_model_deinit(&model);
}
END_TEST

START_TEST(a_pid_is_used_again)
{
	struct top_model model = {0};
	struct top_facts none = {0};
	struct profile *cpu = cpu_profile();
	struct top_rows rows;

	add_interval(&model, 0);
	add(cpu, 10, BIRTH + 50 * SECOND, "other", "main", SECOND);
	ck_assert_int_eq(top_model_add(&model, cpu, NULL, SECOND, &none), 0);
	rows_of(&model, (struct top_query){0}, &rows);
	ck_assert_uint_eq(rows.items.count, 1);
	ck_assert_str_eq(text(&rows, 0), "other");
	ck_assert_uint_eq(rows.items.items[0].trend[0], 0);
	ck_assert_uint_eq(rows.items.items[0].trend[1], 1000);
	top_rows_deinit(&rows);
	rows_of(&model,
		(struct top_query){
			.level = TOP_FUNCTIONS, .pid = 10, .birth_ns = BIRTH + 50 * SECOND},
		&rows);
	ck_assert_uint_eq(rows.subject_ns, SECOND);
	top_rows_deinit(&rows);
	top_model_deinit(&model);
}
END_TEST

START_TEST(what_is_old_goes)
{
	struct top_model model = {0};
	struct top_facts none = {0};
	struct top_rows rows;

	add_interval(&model, 0);
	for (unsigned i = 0; i < 3 * TOP_KEPT; i++) {
		struct profile *cpu = cpu_profile();

		add(cpu, 100 + i, BIRTH, "new", "main", SECOND);
		ck_assert_int_eq(top_model_add(&model, cpu, NULL, SECOND, &none), 0);
		ck_assert_uint_le(model.processes.count, TOP_KEPT + 3);
	}
	ck_assert_uint_eq(top_model_kept_ns(&model), TOP_KEPT * SECOND);
	rows_of(&model, (struct top_query){.level = TOP_FUNCTIONS}, &rows);
	ck_assert_uint_eq(rows.subject_ns, TOP_KEPT * SECOND);
	ck_assert_uint_eq(rows.items.count, 1);
	top_rows_deinit(&rows);
	ck_assert_int_eq(top_model_add(&model, cpu_profile(), NULL, 0, &none), -EINVAL);
	ck_assert_uint_eq(model.count, 3 * TOP_KEPT + 1);
	top_model_deinit(&model);
}
END_TEST

START_TEST(losses_are_of_the_interval)
{
	struct top_model model = {0};

	add_interval(&model, 7);
	add_interval(&model, 7);
	ck_assert_uint_eq(model.losses.count, 1);
	ck_assert_uint_eq(model.losses.items[0].newest, 0);
	add_interval(&model, 9);
	ck_assert_uint_eq(model.losses.items[0].newest, 2);
	ck_assert_uint_eq(model.losses.items[0].all, 9);
	top_model_deinit(&model);
}
END_TEST

START_TEST(printed)
{
	struct top_print how = {.host = "h\x01", .cpus = 2, .frequency_hz = 99, .lines = 1};
	struct top_model model = {0};
	struct strbuf out = {0};
	json_t *json;

	add_interval(&model, 3);
	ck_assert_int_eq(top_print_table(&model, &how, &out), 0);
	ck_assert_ptr_nonnull(strstr(out.data, "      10    50.0    1.0M        15  worker\n"));
	ck_assert_ptr_nonnull(strstr(out.data, "... and 2 more\n"));
	ck_assert_ptr_nonnull(strstr(out.data, "lost: 3 ring was full\n"));
	ck_assert_ptr_null(strchr(out.data, 1));
	strbuf_clear(&out);
	ck_assert_int_eq(top_print_json(&model, &how, &out), 0);
	ck_assert_ptr_eq(strchr(out.data, '\n'), out.data + out.length - 1);
	json = json_loads(out.data, 0, NULL);
	ck_assert_ptr_nonnull(json);
	ck_assert_str_eq(json_string_value(json_object_get(json, "schema")), "perfd.top/1");
	ck_assert_int_eq(json_integer_value(json_object_get(json, "processes_total")), 3);
	ck_assert_uint_eq(json_array_size(json_object_get(json, "processes")), 1);
	ck_assert_int_eq(json_integer_value(json_object_get(json, "lost_total")), 3);
	json_decref(json);
	strbuf_deinit(&out);
	top_model_deinit(&model);
}
END_TEST

/* ---- keys ---- */

struct desk {
	struct top_model model;
	struct top_state state;
	struct top_rows rows;
};

static void look(struct desk *desk)
{
	top_rows_deinit(&desk->rows);
	rows_of(&desk->model, top_state_query(&desk->state), &desk->rows);
	top_state_settle(&desk->state, &desk->rows, LINES);
}

static void key(struct desk *desk, uint32_t key)
{
	if (top_state_key(&desk->state, key, &desk->rows, LINES))
		look(desk);
}

static void desk_init(struct desk *desk)
{
	*desk = (struct desk){0};
	top_state_init(&desk->state, TOP_BY_CPU, NULL);
	add_interval(&desk->model, 0);
	look(desk);
}

static void desk_deinit(struct desk *desk)
{
	top_rows_deinit(&desk->rows);
	top_state_deinit(&desk->state);
	top_model_deinit(&desk->model);
}

START_TEST(enter_goes_deeper_and_back)
{
	struct desk desk;

	desk_init(&desk);
	key(&desk, TOP_KEY_ENTER);
	ck_assert_int_eq(desk.state.level, TOP_FUNCTIONS);
	ck_assert_uint_eq(desk.state.pid, 10);
	ck_assert_str_eq(desk.state.comm, "worker");
	ck_assert_str_eq(text(&desk.rows, 0), "read");
	key(&desk, TOP_KEY_ENTER);
	ck_assert_int_eq(desk.state.level, TOP_CALLERS);
	ck_assert_str_eq(text(&desk.rows, 0), "parse");
	key(&desk, TOP_KEY_ENTER);
	ck_assert_uint_eq(desk.state.chain_count, 2);
	ck_assert_str_eq(text(&desk.rows, 0), "main");
	key(&desk, TOP_KEY_ENTER);
	ck_assert_str_eq(text(&desk.rows, 0), "worker"); /* the thread: nobody outside */
	key(&desk, TOP_KEY_ENTER);
	ck_assert_uint_eq(desk.state.chain_count, 3);
	for (size_t left = 3; left--;) {
		key(&desk, TOP_KEY_BACK);
		ck_assert_uint_eq(desk.state.chain_count, left);
	}
	ck_assert_int_eq(desk.state.level, TOP_FUNCTIONS);
	key(&desk, TOP_KEY_ESCAPE);
	ck_assert_int_eq(desk.state.level, TOP_PROCESSES);
	key(&desk, TOP_KEY_BACK);
	ck_assert_int_eq(desk.state.level, TOP_PROCESSES);
	key(&desk, 'f');
	ck_assert_uint_eq(desk.state.pid, 0);
	ck_assert_int_eq(desk.state.level, TOP_FUNCTIONS);
	key(&desk, 'f');
	ck_assert_int_eq(desk.state.level, TOP_PROCESSES);
	desk_deinit(&desk);
}
END_TEST

START_TEST(selection_follows_its_row)
{
	struct desk desk;

	desk_init(&desk);
	key(&desk, TOP_KEY_DOWN);
	ck_assert_uint_eq(desk.state.selected, 1); /* short */
	key(&desk, 'P'); /* init, worker, short */
	ck_assert_uint_eq(desk.state.selected, 2);
	key(&desk, 'r');
	ck_assert_uint_eq(desk.state.selected, 0);
	key(&desk, TOP_KEY_END);
	ck_assert_uint_eq(desk.state.selected, 2);
	key(&desk, TOP_KEY_DOWN);
	ck_assert_uint_eq(desk.state.selected, 2);
	key(&desk, TOP_KEY_HOME);
	ck_assert_uint_eq(desk.state.selected, 0);
	ck_assert(!desk.state.following);
	desk_deinit(&desk);
}
END_TEST

START_TEST(orders_are_the_levels)
{
	struct desk desk;

	desk_init(&desk);
	key(&desk, 'S'); /* no such column */
	ck_assert_int_eq(desk.rows.sort, TOP_BY_CPU);
	for (int i = 0; i < 5; i++)
		key(&desk, '>');
	ck_assert_int_eq(desk.rows.sort, TOP_BY_CPU);
	key(&desk, '<');
	ck_assert_int_eq(desk.rows.sort, TOP_BY_NAME);
	key(&desk, 'f');
	ck_assert_int_eq(desk.rows.sort, TOP_BY_SELF);
	key(&desk, 'T');
	ck_assert_int_eq(desk.rows.sort, TOP_BY_TOTAL);
	ck_assert_str_eq(text(&desk.rows, 0), "main");
	desk_deinit(&desk);
}
END_TEST

START_TEST(filter_is_typed)
{
	struct desk desk;

	desk_init(&desk);
	key(&desk, '/');
	key(&desk, 's');
	key(&desk, 0xe9); /* é */
	ck_assert_str_eq(desk.state.filter, "s\xc3\xa9");
	key(&desk, TOP_KEY_BACK);
	ck_assert_str_eq(desk.state.filter, "s");
	key(&desk, 'h'); /* a letter, not help */
	ck_assert(!desk.state.help);
	ck_assert_uint_eq(desk.rows.items.count, 1);
	key(&desk, TOP_KEY_ENTER);
	ck_assert(!desk.state.typing);
	key(&desk, '/');
	key(&desk, 'x');
	ck_assert_uint_eq(desk.rows.items.count, 0);
	key(&desk, TOP_KEY_ENTER);
	key(&desk, TOP_KEY_ENTER); /* nothing selected: nothing happens */
	ck_assert_int_eq(desk.state.level, TOP_PROCESSES);
	key(&desk, '/');
	key(&desk, 'y');
	key(&desk, TOP_KEY_ESCAPE);
	ck_assert_str_eq(desk.state.filter, "shx");
	key(&desk, TOP_KEY_ESCAPE);
	ck_assert_uint_eq(desk.rows.items.count, 3);
	key(&desk, '/');
	for (unsigned i = 0; i < 2 * TOP_FILTER_MAX; i++)
		key(&desk, 0x1f600);
	ck_assert_uint_lt(strlen(desk.state.filter), TOP_FILTER_MAX);
	ck_assert_uint_eq(strlen(desk.state.filter) % 4, 0);
	desk_deinit(&desk);
}
END_TEST

START_TEST(help_pause_quit)
{
	struct desk desk;

	desk_init(&desk);
	key(&desk, 'h');
	ck_assert(desk.state.help);
	key(&desk, 'p');
	ck_assert(!desk.state.help && !desk.state.paused);
	key(&desk, 'p');
	ck_assert(desk.state.paused);
	key(&desk, ' ');
	ck_assert(!desk.state.paused);
	key(&desk, 'q');
	ck_assert(desk.state.quit);
	desk_deinit(&desk);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("top");

	SUITE_CASE(suite, "rows", processes_have_rates, functions_count_once_a_stack,
		   callers_go_outwards, filters_are_patterns_or_texts, a_pid_is_used_again,
		   what_is_old_goes, losses_are_of_the_interval, printed);
	SUITE_CASE(suite, "keys", enter_goes_deeper_and_back, selection_follows_its_row,
		   orders_are_the_levels, filter_is_typed, help_pause_quit);
	return suite_main(suite);
}
