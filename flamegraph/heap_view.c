/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/heap_view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/hashmap.h"
#include "flamegraph/profile_internal.h"

static const struct view {
	const char *name, *title;
	const char *objects, *space; /* value types */
	size_t sum; /* in struct heap_site */
} views[HEAP_VIEWS] = {
	[HEAP_INUSE] = {"inuse", "in use", "inuse_objects", "inuse_space",
			offsetof(struct heap_site, live)},
	[HEAP_ALLOC] = {"alloc", "allocated", "alloc_objects", "alloc_space",
			offsetof(struct heap_site, alloc)},
	[HEAP_PEAK] = {"peak", "in use at the peak", "peak_objects", "peak_space",
		       offsetof(struct heap_site, peak)},
	[HEAP_LEAKED] = {"leaked", "in use at exit", "leaked_objects", "leaked_space",
			 offsetof(struct heap_site, leaked)},
	[HEAP_TEMPORARY] = {"temporary", "freed within 1 ms", "temporary_objects",
			    "temporary_space", offsetof(struct heap_site, temporary)},
};

const char *heap_view_name(enum heap_view view)
{
	return views[view].name;
}

const char *heap_view_title(enum heap_view view)
{
	return views[view].title;
}

enum heap_view heap_view_find(const char *name)
{
	enum heap_view view = HEAP_INUSE;

	while (view < HEAP_VIEWS && strcmp(views[view].name, name) != 0)
		view++;
	return view;
}

struct heap_sum heap_view_sum(const struct heap_site *site, enum heap_view view)
{
	struct heap_sum sum = *(const struct heap_sum *)((const char *)site + views[view].sum);

	if (view == HEAP_INUSE)
		heap_sum_add(&sum, &site->leaked);
	return sum;
}

/* ---- sites of samples ---- */

struct value_pair {
	uint32_t objects, space; /* value types, or PROFILE_NONE */
};

static struct value_pair find_pair(const struct profile *profile, enum heap_view view)
{
	return (struct value_pair){
		.objects = profile_find_value_type(profile, views[view].objects, "count"),
		.space = profile_find_value_type(profile, views[view].space, "bytes"),
	};
}

static void add_values(struct heap_sum *sum, const uint64_t *values, const struct value_pair *pair)
{
	uint64_t count = pair->objects == PROFILE_NONE ? 0 : values[pair->objects];

	if (pair->space != PROFILE_NONE)
		sum->bytes = profile_sum(sum->bytes, values[pair->space]);
	count = count > UINT64_MAX / HEAP_COUNT_SCALE ? UINT64_MAX : count * HEAP_COUNT_SCALE;
	sum->count = profile_sum(sum->count, count);
}

static struct heap_site *site_of(struct heap_data *data, struct hashmap *index,
				 const struct profile_sample *sample)
{
	uint64_t key = (uint64_t)sample->process << 32 | sample->stack;
	uint64_t *known = hashmap_get(index, key);
	struct heap_site site = {.stack = sample->stack, .process = sample->process};

	if (known)
		return &data->sites.items[*known];
	if (vec_push(&data->sites, site) || hashmap_put(index, key, data->sites.count - 1))
		return NULL;
	return &data->sites.items[data->sites.count - 1];
}

static int make_sites(const struct profile *profile, struct heap_data *data)
{
	struct value_pair alloc = find_pair(profile, HEAP_ALLOC);
	struct value_pair inuse = find_pair(profile, HEAP_INUSE);
	struct hashmap index = {0};
	int r = 0;

	for (size_t i = 0; !r && i < profile->samples.count; i++) {
		const uint64_t *values = profile->values.items + i * profile->value_type_count;
		struct heap_site *site = site_of(data, &index, &profile->samples.items[i]);

		if (!site) {
			r = -ENOMEM;
			break;
		}
		add_values(&site->alloc, values, &alloc);
		add_values(&site->live, values, &inuse);
		data->frees |= site->live.bytes > 0;
	}
	hashmap_deinit(&index);
	return r;
}

int heap_view_data(const struct profile *profile, struct heap_data *made, struct error *error,
		   const struct heap_data **ret)
{
	struct value_pair alloc = find_pair(profile, HEAP_ALLOC);

	if (profile->heap.sites.count) {
		*ret = &profile->heap;
		return 0;
	}
	if (alloc.space == PROFILE_NONE && find_pair(profile, HEAP_INUSE).space == PROFILE_NONE)
		return error_set(
			error, -ENODATA,
			"this is no profile of allocations: they are taken with "
			"`perfctl record --heap -- CMD`, `perfctl attach --heap --pid PID`, "
			"or -e heap");
	if (make_sites(profile, made))
		return error_set(error, -ENOMEM, "out of memory");
	if (!made->sites.count)
		return error_set(error, -ENODATA, "no allocations were sampled");
	*ret = made;
	return 0;
}

static bool any_ended(const struct profile *profile)
{
	for (size_t i = 0; i < profile->processes.count; i++)
		if (profile->processes.items[i].end_ns)
			return true;
	return false;
}

int heap_view_check(const struct profile *profile, const struct heap_data *data,
		    enum heap_view view, struct error *error)
{
	if (view == HEAP_ALLOC)
		return 0;
	if (!data->frees)
		return error_set(
			error, -ENODATA,
			"what was %s is not known: no frees were followed (there is only --view "
			"alloc; by probes on the allocator frees are seen from Linux 6.14 on, with "
			"memory.heap_frees; --heap, by libperfd-heap.so, has them everywhere)",
			views[view].title);
	if (view != HEAP_INUSE && !profile->heap.sites.count)
		return error_set(error, -ENODATA,
				 "what was %s is not in this file: only .perfd files and sessions "
				 "have it",
				 views[view].title);
	if (view == HEAP_PEAK && data->joined)
		return error_set(error, -ENODATA,
				 "there is no peak of several sessions together: ask for one");
	if (view == HEAP_LEAKED && !any_ended(profile))
		return error_set(error, -ENODATA,
				 "no process has ended: what is in use is not leaked yet (--view "
				 "inuse)");
	return 0;
}

/* ---- functions ---- */

/* What stands between a program and its memory; prefixes of names. */
static const char *const allocators[] = {
	"malloc",
	"calloc",
	"realloc",
	"reallocarray",
	"memalign",
	"aligned_alloc",
	"posix_memalign",
	"valloc",
	"pvalloc",
	"mallocx",
	"rallocx",
	"operator new",
	"__libc_malloc",
	"__libc_calloc",
	"__libc_realloc",
	"__libc_memalign",
	"je_",
	"tc_",
	"mi_",
	"std::allocator",
	"__gnu_cxx::new_allocator",
	"std::__new_allocator",
	"__gnu_cxx::__alloc_traits",
};

/* malloc, but not malloc_config; operator new(unsigned long), std::allocator<...>. */
static bool is_allocator_name(const char *name)
{
	for (size_t i = 0; i < sizeof(allocators) / sizeof(*allocators); i++) {
		size_t n = strlen(allocators[i]);

		if (strncmp(name, allocators[i], n) != 0)
			continue;
		if (!name[n] || strchr("(<@[:", name[n]) || allocators[i][n - 1] == '_' ||
		    !strncmp(allocators[i], "operator", 8))
			return true;
	}
	return false;
}

static bool is_allocator(const struct profile *profile, const struct profile_frame *frame)
{
	const char *module = profile_text(profile, frame->module);
	const char *slash = strrchr(module, '/');

	return !strncmp(slash ? slash + 1 : module, "libperfd-heap", strlen("libperfd-heap")) ||
	       is_allocator_name(profile_text(profile, frame->name));
}

uint32_t heap_view_frame(const struct profile *profile, uint32_t stack)
{
	size_t count;
	const uint32_t *frames = profile_stack_frames(profile, stack, &count);

	for (size_t i = count; i-- > 0;)
		if (!is_allocator(profile, &profile->frames.items[frames[i]]))
			return frames[i];
	return count ? frames[count - 1] : PROFILE_NONE;
}

/* ---- rows ---- */

static uint64_t row_key(const struct profile *profile, const struct heap_site *site,
			enum heap_by by, uint32_t frame)
{
	if (by == HEAP_BY_SITE || frame == PROFILE_NONE)
		return (uint64_t)site->process << 32 | site->stack;
	return (uint64_t)profile->frames.items[frame].module << 32 |
	       profile->frames.items[frame].name;
}

static struct heap_row *row_of(struct heap_rows *rows, struct hashmap *index, uint64_t key,
			       const struct heap_site *site, uint32_t frame)
{
	uint64_t *known = hashmap_get(index, key);
	struct heap_row row = {.frame = frame, .worst_stack = PROFILE_NONE};

	if (known)
		return &rows->rows.items[*known];
	row.sum.stack = site->stack;
	row.sum.process = site->process;
	if (vec_push(&rows->rows, row) || hashmap_put(index, key, rows->rows.count - 1))
		return NULL;
	return &rows->rows.items[rows->rows.count - 1];
}

/* `largest`: bytes of the row's largest site in the view. */
static int add_site(struct heap_row *row, const struct heap_data *data,
		    const struct heap_site *site, enum heap_view view, uint64_t *largest)
{
	struct heap_growth growth;
	uint64_t bytes = heap_view_sum(site, view).bytes;

	row->sites++;
	if (bytes > *largest) {
		*largest = bytes;
		row->sum.stack = site->stack;
	}
	heap_growth_of(data, site, &growth);
	if (growth.verdict > row->worst.verdict ||
	    (growth.verdict == row->worst.verdict && growth.slope > row->worst.slope) ||
	    row->worst_stack == PROFILE_NONE) {
		row->worst = growth;
		row->worst_stack = site->stack;
	}
	return heap_site_add(&row->sum, site);
}

static int compare_rows(const void *left, const void *right, void *context)
{
	const struct heap_row *a = left, *b = right;
	enum heap_view view = *(const enum heap_view *)context;
	struct heap_sum x = heap_view_sum(&a->sum, view), y = heap_view_sum(&b->sum, view);

	if (x.bytes != y.bytes)
		return x.bytes > y.bytes ? -1 : 1;
	if (x.count != y.count)
		return x.count > y.count ? -1 : 1;
	return a->sum.stack < b->sum.stack ? -1 : a->sum.stack > b->sum.stack;
}

static void finish_rows(struct heap_rows *rows, const struct heap_data *data)
{
	size_t kept = 0;

	for (size_t i = 0; i < rows->rows.count; i++) {
		struct heap_row *row = &rows->rows.items[i];
		struct heap_sum sum = heap_view_sum(&row->sum, rows->view);

		heap_growth_of(data, &row->sum, &row->growth);
		/* Many sites, each too small to be sure of, may leak together. */
		if (row->growth.verdict == HEAP_LEAKS && row->worst.verdict != HEAP_LEAKS)
			row->worst = row->growth;
		if (sum.bytes || sum.count)
			rows->rows.items[kept++] = *row;
		else
			heap_site_deinit(&row->sum);
	}
	rows->rows.count = kept;
	qsort_r(rows->rows.items, kept, sizeof(*rows->rows.items), compare_rows, &rows->view);
	heap_growth_of(data, &rows->total, &rows->growth);
}

int heap_rows_init(struct heap_rows *rows, const struct profile *profile,
		   const struct heap_data *data, enum heap_view view, enum heap_by by)
{
	struct hashmap index = {0};
	uint64_t *largest = calloc(data->sites.count + 1, sizeof(*largest));
	int r = largest ? 0 : -ENOMEM;

	*rows = (struct heap_rows){.view = view};
	for (size_t i = 0; !r && i < data->sites.count; i++) {
		const struct heap_site *site = &data->sites.items[i];
		uint32_t frame = heap_view_frame(profile, site->stack);
		struct heap_row *row =
			row_of(rows, &index, row_key(profile, site, by, frame), site, frame);

		r = row ? add_site(row, data, site, view, &largest[row - rows->rows.items])
			: -ENOMEM;
		if (!r)
			r = heap_site_add(&rows->total, site);
	}
	hashmap_deinit(&index);
	free(largest);
	if (r)
		heap_rows_deinit(rows);
	else
		finish_rows(rows, data);
	return r;
}

void heap_rows_deinit(struct heap_rows *rows)
{
	for (size_t i = 0; i < rows->rows.count; i++)
		heap_site_deinit(&rows->rows.items[i].sum);
	vec_free(&rows->rows);
	heap_site_deinit(&rows->total);
}

/* ---- as profiles ---- */

/* What a process that ended had in use, it has leaked: the same values, but for those of
 * processes that live. */
static void keep_ended(struct profile *profile, const struct value_pair *pair)
{
	for (size_t i = 0; i < profile->samples.count; i++) {
		uint32_t process = profile->samples.items[i].process;
		uint64_t *values = profile->values.items + i * profile->value_type_count;

		if (process != PROFILE_NONE && profile->processes.items[process].end_ns)
			continue;
		values[pair->objects] = values[pair->space] = 0;
	}
}

const char *heap_view_value(struct profile *profile, enum heap_view view)
{
	struct value_pair pair = find_pair(profile, view == HEAP_LEAKED ? HEAP_INUSE : view);
	uint32_t objects, space;

	if (pair.objects == PROFILE_NONE || pair.space == PROFILE_NONE)
		return NULL;
	profile->default_value = pair.space;
	if (view != HEAP_LEAKED)
		return views[view].space;
	objects = profile_string(profile, views[view].objects);
	space = profile_string(profile, views[view].space);
	if (objects == PROFILE_NONE || space == PROFILE_NONE)
		return NULL;
	keep_ended(profile, &pair);
	profile->value_types[pair.objects].name = objects;
	profile->value_types[pair.space].name = space;
	return views[view].space;
}

struct heap_level heap_view_level(const struct heap_site *site, size_t snapshot)
{
	return snapshot == HEAP_AT_PEAK ? (struct heap_level){.live = site->peak}
					: heap_site_level(site, snapshot);
}

uint64_t heap_view_moment(const struct heap_data *data, size_t snapshot)
{
	return snapshot == HEAP_AT_PEAK ? data->peak_ns : data->snapshots.items[snapshot];
}

static int add_levels(struct profile *profile, const struct heap_data *data, size_t snapshot)
{
	int r = 0;

	for (size_t i = 0; !r && i < data->sites.count; i++) {
		const struct heap_site *site = &data->sites.items[i];
		struct heap_level level = heap_view_level(site, snapshot);
		struct profile_sample sample = {.stack = site->stack, .process = site->process};
		uint64_t values[PROFILE_VALUES_MAX] = {level.live.n, level.live.bytes};

		if (site->process != PROFILE_NONE)
			sample.comm = profile->processes.items[site->process].comm;
		if (level.live.bytes)
			r = profile_add_sample(profile, &sample, values);
	}
	return r;
}

struct profile *heap_view_snapshot(const struct profile *profile, const struct heap_data *data,
				   size_t snapshot)
{
	struct profile *copy = profile_create();
	struct heap_data own = {0};
	int r = copy ? profile_merge(copy, profile) : -ENOMEM;

	if (!r && data == &profile->heap) {
		/* All of its code, none of its samples. */
		own = copy->heap;
		copy->heap = (struct heap_data){0};
		vec_clear(&copy->samples);
		vec_clear(&copy->values);
		hashmap_clear(&copy->sample_index);
		copy->samples_indexed = 0;
		series_list_deinit(&copy->series);
		copy->value_type_count = copy->default_value = 0;
		profile_add_value_type(copy, "samples", "count");
		copy->default_value = profile_add_value_type(copy, "inuse_space", "bytes");
		r = add_levels(copy, &own, snapshot);
		heap_data_deinit(&own);
	}
	if (!r)
		return copy;
	profile_destroy(copy);
	return NULL;
}
