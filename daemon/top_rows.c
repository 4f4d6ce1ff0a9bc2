/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rows of the model: made, filtered, sorted.
 */
#include <ctype.h>
#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/top_model.h"

#define LEVEL_BIT(level) (1u << TOP_##level)
#define CODE (LEVEL_BIT(FUNCTIONS) | LEVEL_BIT(CALLERS))

static const struct {
	const char *name;
	unsigned int levels;
} sorts[] = {
	[TOP_BY_CPU] = {"cpu", LEVEL_BIT(PROCESSES)},
	[TOP_BY_MEMORY] = {"memory", LEVEL_BIT(PROCESSES)},
	[TOP_BY_FAULTS] = {"faults", LEVEL_BIT(PROCESSES)},
	[TOP_BY_PID] = {"pid", LEVEL_BIT(PROCESSES)},
	[TOP_BY_SELF] = {"self", LEVEL_BIT(FUNCTIONS)},
	[TOP_BY_TOTAL] = {"total", CODE},
	[TOP_BY_NAME] = {"name", LEVEL_BIT(PROCESSES) | CODE},
};
_Static_assert(sizeof(sorts) / sizeof(sorts[0]) == TOP_SORT_COUNT, "an order has no row");

static const enum top_sort defaults[] = {
	[TOP_PROCESSES] = TOP_BY_CPU,
	[TOP_FUNCTIONS] = TOP_BY_SELF,
	[TOP_CALLERS] = TOP_BY_TOTAL,
};

int top_sort_parse(const char *name, enum top_sort *ret)
{
	for (size_t i = 0; i < TOP_SORT_COUNT; i++) {
		if (!strcmp(sorts[i].name, name)) {
			*ret = (enum top_sort)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *top_sort_name(enum top_sort sort)
{
	return sorts[sort].name;
}

bool top_sort_fits(enum top_level level, enum top_sort sort)
{
	return sorts[sort].levels >> level & 1;
}

void top_rows_deinit(struct top_rows *rows)
{
	vec_free(&rows->items);
	strtab_deinit(&rows->names);
	*rows = (struct top_rows){0};
}

const char *top_rows_text(const struct top_rows *rows, uint32_t id)
{
	return strtab_get(&rows->names, id);
}

/* ---- making them ---- */

struct maker {
	const struct top_model *model;
	const struct top_query *query;
	struct top_rows *rows;
	struct hashmap index; /* hash of text, module and kind -> row */
	uint64_t first; /* oldest interval that is kept */
};

static uint32_t permille(uint64_t part, uint64_t whole)
{
	return whole ? (uint32_t)((double)part * 1000 / (double)whole) : 0;
}

static int add_process_row(struct maker *maker, const struct top_process *process)
{
	const struct top_interval *newest = top_model_newest(maker->model);
	size_t slot = (maker->model->count - 1) % TOP_KEPT;
	double seconds = (double)newest->duration_ns / 1e9;
	struct top_row row = {
		.pid = process->pid,
		.birth_ns = process->birth_ns,
		.samples = process->samples,
		.cpu_ns = process->cpu_ns[slot],
		.cpu = (double)process->cpu_ns[slot] / (double)newest->duration_ns,
		.faults = (double)process->faults[slot] / seconds,
		.rss_bytes = process->rss_bytes,
		.rss_known = process->rss_known,
		.text = strtab_add(&maker->rows->names, process->comm, strlen(process->comm)),
	};

	if (row.text == UINT32_MAX)
		return -ENOMEM;
	for (uint32_t i = 0; i < maker->rows->trend_count; i++) {
		size_t at = (maker->first + i) % TOP_KEPT;

		row.trend[i] =
			permille(process->cpu_ns[at], maker->model->intervals[at].duration_ns);
	}
	return vec_push(&maker->rows->items, row);
}

static int make_processes(struct maker *maker)
{
	const struct top_model *model = maker->model;

	maker->rows->subject_ns = top_model_newest(model)->cpu_ns;
	for (size_t i = 0; i < model->processes.count; i++) {
		const struct top_process *process = &model->processes.items[i];

		/* Those that ended are shown with what they did last. */
		if (process->seen + 1 == model->count && add_process_row(maker, process))
			return -ENOMEM;
	}
	return 0;
}

/* The row of a function, made if there is none yet; NULL: no memory. */
static struct top_row *code_row(struct maker *maker, const char *text, size_t length,
				const char *module, uint32_t kind)
{
	uint64_t hash = XXH3_64bits_withSeed(text, length,
					     XXH3_64bits_withSeed(module, strlen(module), kind));
	uint64_t *known = hashmap_get(&maker->index, hash);
	struct top_row row = {.kind = kind};

	if (known)
		return &maker->rows->items.items[*known];
	row.text = strtab_add(&maker->rows->names, text, length);
	row.module = strtab_add(&maker->rows->names, module, strlen(module));
	if (row.text == UINT32_MAX || row.module == UINT32_MAX ||
	    vec_push(&maker->rows->items, row))
		return NULL;
	if (hashmap_put(&maker->index, hash, maker->rows->items.count - 1))
		return NULL;
	return &maker->rows->items.items[maker->rows->items.count - 1];
}

/* Time of one interval, while its samples are added up: at = the trend's place. */
struct pass {
	struct maker *maker;
	const struct top_interval *interval;
	const struct profile *profile;
	uint32_t at;
	uint32_t *row_of; /* label -> row + 1; 0: not made yet */
	uint32_t *stamp; /* label -> the last sample that had it + 1 */
	uint32_t *chain; /* labels */
	uint64_t weight, count; /* of the sample that is being added */
};

static struct top_row *label_row(struct pass *pass, uint32_t label)
{
	const struct labels *labels = &pass->interval->labels;
	struct maker *maker = pass->maker;
	struct top_row *row;
	size_t length;
	const char *text;

	if (pass->row_of[label])
		return &maker->rows->items.items[pass->row_of[label] - 1];
	text = label_text(labels, label, &length);
	row = code_row(maker, text, length,
		       profile_text(pass->profile, labels->items.items[label].module),
		       labels->items.items[label].kind);
	if (row)
		pass->row_of[label] = (uint32_t)(row - maker->rows->items.items) + 1;
	return row;
}

static bool of_subject(const struct pass *pass, const struct profile_sample *sample)
{
	const struct top_query *query = pass->maker->query;
	const struct profile_process *process;
	uint64_t a, b;

	if (!query->pid)
		return true;
	if (sample->process >= pass->profile->processes.count)
		return false;
	process = &pass->profile->processes.items[sample->process];
	a = process->birth_ns;
	b = query->birth_ns;
	return process->pid == query->pid && (!a || !b || (a > b ? a - b : b - a) < NSEC_PER_SEC);
}

/* Self at the leaf, total once for each function in the stack. */
static int add_functions(struct pass *pass, uint32_t number)
{
	const struct profile_sample *sample = &pass->profile->samples.items[number];
	const uint32_t *of_frame = pass->interval->labels.of_frame;
	size_t depth;
	const uint32_t *frames = profile_stack_frames(pass->profile, sample->stack, &depth);
	struct top_row *row;

	for (size_t i = 0; i < depth; i++) {
		uint32_t label = of_frame[frames[i]];

		row = label_row(pass, label);
		if (!row)
			return -ENOMEM;
		if (i + 1 == depth) {
			row->self_ns += pass->weight;
			row->samples += pass->count;
			row->trend[pass->at] += permille(pass->weight, pass->interval->duration_ns);
		}
		if (pass->stamp[label] == number + 1)
			continue;
		pass->stamp[label] = number + 1;
		row->total_ns += pass->weight;
	}
	return 0;
}

/* Whoever is outside of the innermost place where the chain stands. */
static int add_caller(struct pass *pass, uint32_t number)
{
	const struct profile_sample *sample = &pass->profile->samples.items[number];
	const uint32_t *of_frame = pass->interval->labels.of_frame;
	size_t length = pass->maker->query->chain_count, depth, matched;
	const uint32_t *frames = profile_stack_frames(pass->profile, sample->stack, &depth);
	struct top_row *row;

	for (size_t at = depth; at >= length && at > 0; at--) {
		for (matched = 0; matched < length; matched++)
			if (of_frame[frames[at - 1 - matched]] != pass->chain[matched])
				break;
		if (matched < length)
			continue;
		if (at > length) {
			row = label_row(pass, of_frame[frames[at - 1 - length]]);
		} else {
			const char *comm = profile_text(pass->profile, sample->comm);

			row = code_row(pass->maker, comm, strlen(comm), "", LABEL_COMM);
		}
		if (!row)
			return -ENOMEM;
		row->total_ns += pass->weight;
		row->samples += pass->count;
		row->trend[pass->at] += permille(pass->weight, pass->interval->duration_ns);
		return 0;
	}
	return 0;
}

/* False: a function of it is not in this interval. */
static bool find_chain(struct pass *pass)
{
	const struct top_query *query = pass->maker->query;
	const struct labels *labels = &pass->interval->labels;

	for (size_t i = 0; i < query->chain_count; i++) {
		pass->chain[i] = PROFILE_NONE;
		for (uint32_t label = 0; label < labels->items.count; label++) {
			size_t length;
			const char *text = label_text(labels, label, &length);
			const char *module =
				profile_text(pass->profile, labels->items.items[label].module);

			if (labels->items.items[label].kind != LABEL_COMM &&
			    !strcmp(text, query->chain[i].text) &&
			    !strcmp(module, query->chain[i].module))
				pass->chain[i] = label;
		}
		if (pass->chain[i] == PROFILE_NONE)
			return false;
	}
	return true;
}

static int add_samples(struct pass *pass)
{
	const struct profile *profile = pass->profile;
	bool callers = pass->maker->query->level == TOP_CALLERS;
	bool there = !callers || find_chain(pass);

	for (uint32_t i = 0; i < profile->samples.count; i++) {
		const uint64_t *values = &profile->values.items[i * profile->value_type_count];
		int r = 0;

		if (!of_subject(pass, &profile->samples.items[i]))
			continue;
		pass->weight = values[profile->default_value];
		pass->count = values[0];
		pass->maker->rows->subject_ns += pass->weight;
		if (there)
			r = callers ? add_caller(pass, i) : add_functions(pass, i);
		if (r)
			return r;
	}
	return 0;
}

static int make_code(struct maker *maker)
{
	for (uint32_t i = 0; i < maker->rows->trend_count; i++) {
		const struct top_interval *interval =
			&maker->model->intervals[(maker->first + i) % TOP_KEPT];
		size_t labels = interval->labels.items.count + 1;
		_cleanup_free_ uint32_t *row_of = calloc(labels, sizeof(*row_of));
		_cleanup_free_ uint32_t *stamp = calloc(labels, sizeof(*stamp));
		_cleanup_free_ uint32_t *chain =
			calloc(maker->query->chain_count + 1, sizeof(*chain));
		struct pass pass = {.maker = maker,
				    .interval = interval,
				    .profile = interval->cpu,
				    .at = i,
				    .row_of = row_of,
				    .stamp = stamp,
				    .chain = chain};

		if (!row_of || !stamp || !chain || add_samples(&pass))
			return -ENOMEM;
	}
	for (size_t i = 0; i < maker->rows->items.count; i++) {
		struct top_row *row = &maker->rows->items.items[i];
		double whole = (double)maker->rows->subject_ns;

		row->self = whole > 0 ? (double)row->self_ns / whole : 0;
		row->total = whole > 0 ? (double)row->total_ns / whole : 0;
	}
	return 0;
}

/* ---- filtering and sorting ---- */

static bool has_text(const char *in, const char *text)
{
	return strcasestr(in, text) != NULL;
}

static void filter_rows(struct top_rows *rows, const char *filter)
{
	regex_t regex;
	bool is_regex;
	size_t kept = 0;

	if (!filter || !*filter)
		return;
	is_regex = !regcomp(&regex, filter, REG_EXTENDED | REG_ICASE | REG_NOSUB);
	for (size_t i = 0; i < rows->items.count; i++) {
		struct top_row *row = &rows->items.items[i];
		const char *text = top_rows_text(rows, row->text);
		const char *module = top_rows_text(rows, row->module);
		char pid[16];
		bool passes;

		snprintf(pid, sizeof(pid), "%u", row->pid);
		if (is_regex)
			passes = !regexec(&regex, text, 0, NULL, 0) ||
				 !regexec(&regex, module, 0, NULL, 0);
		else
			passes = has_text(text, filter) || has_text(module, filter);
		if (passes || (row->pid && !strcmp(pid, filter)))
			rows->items.items[kept++] = *row;
	}
	rows->hidden = rows->items.count - kept;
	rows->items.count = kept;
	if (is_regex)
		regfree(&regex);
}

struct order {
	const struct top_rows *rows;
	int sign;
};

/* > 0: b stands first. */
static int by_figure(const struct top_row *a, const struct top_row *b, enum top_sort sort)
{
#define MORE(field) ((a->field < b->field) - (a->field > b->field))
	switch (sort) {
	case TOP_BY_CPU:
		return MORE(cpu_ns);
	case TOP_BY_MEMORY:
		return MORE(rss_bytes);
	case TOP_BY_FAULTS:
		return MORE(faults);
	case TOP_BY_PID:
		return -MORE(pid);
	case TOP_BY_SELF:
		return MORE(self_ns) ? MORE(self_ns) : MORE(total_ns);
	case TOP_BY_TOTAL:
		return MORE(total_ns) ? MORE(total_ns) : MORE(self_ns);
	default:
		return 0;
	}
#undef MORE
}

static int compare(const void *left, const void *right, void *context)
{
	const struct order *order = context;
	const struct top_row *a = left, *b = right;
	int r = by_figure(a, b, order->rows->sort);

	if (!r)
		r = strcmp(top_rows_text(order->rows, a->text),
			   top_rows_text(order->rows, b->text));
	if (!r)
		r = strcmp(top_rows_text(order->rows, a->module),
			   top_rows_text(order->rows, b->module));
	if (!r)
		r = (a->pid > b->pid) - (a->pid < b->pid);
	return order->sign * r;
}

int top_rows_init(struct top_rows *rows, const struct top_model *model,
		  const struct top_query *query)
{
	struct maker maker = {.model = model, .query = query, .rows = rows};
	struct order order = {.rows = rows, .sign = query->reversed ? -1 : 1};
	int r = 0;

	*rows = (struct top_rows){
		.sort = top_sort_fits(query->level, query->sort) ? query->sort
								 : defaults[query->level],
		.trend_count = model->count < TOP_KEPT ? (uint32_t)model->count : TOP_KEPT,
	};
	if (query->newest && rows->trend_count)
		rows->trend_count = 1;
	maker.first = model->count - rows->trend_count;
	if (model->count)
		r = query->level == TOP_PROCESSES ? make_processes(&maker) : make_code(&maker);
	hashmap_deinit(&maker.index);
	if (r) {
		top_rows_deinit(rows);
		return r;
	}
	filter_rows(rows, query->filter);
	if (rows->items.count)
		qsort_r(rows->items.items, rows->items.count, sizeof(*rows->items.items), compare,
			&order);
	return 0;
}
