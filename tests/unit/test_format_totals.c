/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Properties of every format over random profiles: the total that is in the file is the
 * profile's, to the last digit, found as a reader of that format would.
 */
#include <jansson.h>

#include "flamegraph/report.h"
#include "flamegraph/tree.h"
#include "tests/unit/read_text.h"

static json_t *render_json(const struct profile *profile, const char *format)
{
	char *text = profile_must_render(profile, format);
	json_error_t error;
	json_t *root = json_loads(text, 0, &error);

	ck_assert_msg(root != NULL, "%s: line %d: %s", format, error.line, error.text);
	free(text);
	return root;
}

static json_t *at(json_t *root, const char *path)
{
	char key[32];
	size_t n;

	for (; *path; path += n + (path[n] == '.')) {
		n = strcspn(path, ".");
		snprintf(key, sizeof(key), "%.*s", (int)n, path);
		root = *key >= '0' && *key <= '9' ? json_array_get(root, strtoul(key, NULL, 10))
						  : json_object_get(root, key);
		ck_assert_msg(root != NULL, "no %s", key);
	}
	return root;
}

static uint64_t speedscope_total(const struct profile *profile)
{
	json_t *root = render_json(profile, "speedscope");
	json_t *weights = at(root, "profiles.0.weights"), *stacks = at(root, "profiles.0.samples");
	size_t frames = json_array_size(at(root, "shared.frames"));
	uint64_t total = 0;

	ck_assert_uint_eq(json_array_size(weights), json_array_size(stacks));
	for (size_t i = 0; i < json_array_size(weights); i++) {
		json_t *stack = json_array_get(stacks, i);

		total += (uint64_t)json_integer_value(json_array_get(weights, i));
		for (size_t k = 0; k < json_array_size(stack); k++)
			ck_assert_int_lt(json_integer_value(json_array_get(stack, k)),
					 (json_int_t)frames);
	}
	ck_assert_uint_eq(total, (uint64_t)json_integer_value(at(root, "profiles.0.endValue")));
	json_decref(root);
	return total;
}

/* Milliseconds with six digits behind the point: rounded back to nanoseconds. */
static uint64_t firefox_total(const struct profile *profile)
{
	json_t *root = render_json(profile, "firefox"), *samples = at(root, "threads.0.samples");
	json_t *weights = at(samples, "weight"), *stacks = at(samples, "stack");
	json_t *table = at(root, "threads.0.stackTable");
	size_t count = json_array_size(weights), stack_count = json_array_size(at(table, "frame"));
	uint64_t total = 0;

	ck_assert_int_eq(json_integer_value(at(samples, "length")), (json_int_t)count);
	ck_assert_uint_eq(json_array_size(stacks), count);
	ck_assert_uint_eq(json_array_size(at(table, "prefix")), stack_count);
	for (size_t i = 0; i < count; i++) {
		total += (uint64_t)(json_number_value(json_array_get(weights, i)) * 1e6 + 0.5);
		ck_assert_int_lt(json_integer_value(json_array_get(stacks, i)),
				 (json_int_t)stack_count);
	}
	json_decref(root);
	return total;
}

/* The root of d3 is the whole; children are never more than their parent. */
static void check_d3(json_t *node)
{
	json_t *children = json_object_get(node, "children");
	json_int_t sum = 0;

	for (size_t i = 0; i < json_array_size(children); i++) {
		json_t *child = json_array_get(children, i);

		sum += json_integer_value(json_object_get(child, "value"));
		check_d3(child);
	}
	ck_assert_int_le(sum, json_integer_value(json_object_get(node, "value")));
}

static uint64_t d3_total(const struct profile *profile)
{
	json_t *root = render_json(profile, "d3");
	uint64_t total = (uint64_t)json_integer_value(at(root, "value"));

	check_d3(root);
	json_decref(root);
	return total;
}

/* Where the last event is; events are balanced, each ends the one opened last, and time
 * never goes back. */
static uint64_t chrome_total(const struct profile *profile)
{
	json_t *root = render_json(profile, "chrome"), *events = at(root, "traceEvents");
	const char *open[64];
	unsigned depth = 0;
	double now = 0;

	for (size_t i = 1; i < json_array_size(events); i++) {
		json_t *event = json_array_get(events, i);
		const char *name = json_string_value(at(event, "name"));

		ck_assert(json_number_value(at(event, "ts")) >= now);
		now = json_number_value(at(event, "ts"));
		if (*json_string_value(at(event, "ph")) == 'B') {
			ck_assert_uint_lt(depth, 64);
			open[depth++] = name;
		} else {
			ck_assert_uint_gt(depth, 0);
			ck_assert_str_eq(open[--depth], name);
		}
	}
	ck_assert_uint_eq(depth, 0);
	json_decref(root);
	return (uint64_t)(now * 1e3 + 0.5);
}

static uint64_t json_total(const struct profile *profile)
{
	json_t *root = render_json(profile, "json");
	uint64_t total = (uint64_t)json_integer_value(at(root, "total"));

	json_decref(root);
	return total;
}

/* Self costs are the lines that do not follow a "calls=". */
static uint64_t callgrind_total(const struct profile *profile)
{
	char *text = profile_must_render(profile, "callgrind"), *rest = text, *line;
	uint64_t total = 0, summary = 0;
	bool after_call = false;

	while ((line = strsep(&rest, "\n"))) {
		unsigned long at_line, cost;

		if (!strncmp(line, "summary: ", 9))
			summary = strtoull(line + 9, NULL, 10);
		if (*line >= '0' && *line <= '9') {
			ck_assert_int_eq(sscanf(line, "%lu %lu", &at_line, &cost), 2);
			total += after_call ? 0 : cost;
		}
		after_call = !strncmp(line, "calls=", 6);
	}
	ck_assert_uint_eq(total, summary);
	free(text);
	return total;
}

/* The third column from the end but one is self; quotes hold whatever a name has. What
 * has no stack is in no row. */
static uint64_t csv_total(const struct profile *profile)
{
	char *text = profile_must_render(profile, "csv"), *rest = text, *line;
	uint64_t total = 0;

	strsep(&rest, "\n");
	while ((line = strsep(&rest, "\n")) && *line) {
		char *cut;

		for (unsigned i = 0; i < 3; i++) {
			cut = strrchr(line, ',');
			ck_assert_ptr_nonnull(cut);
			*cut = '\0';
		}
		total += strtoull(strrchr(line, ',') + 1, NULL, 10);
	}
	free(text);
	return total;
}

/* Of what can be read again: written, read, summed. */
static uint64_t total_again(const struct profile *profile, const char *format)
{
	char *text = profile_must_render(profile, format);
	struct profile *again = read_text(text);
	uint64_t total = profile_total(again, again->default_value);

	free(text);
	profile_destroy(again);
	return total;
}

static uint64_t without_stack(const struct profile *profile)
{
	uint64_t value = 0;

	for (size_t i = 0; i < profile->samples.count; i++) {
		if (!profile->samples.items[i].stack)
			value += profile->values.items[i * 2 + 1];
	}
	return value;
}

START_TEST(totals_are_the_same_everywhere)
{
	struct profile *profile = profile_from_seed((unsigned)_i);
	uint64_t total = profile_total(profile, 1);

	if (total) {
		ck_assert_uint_eq(speedscope_total(profile), total);
		ck_assert_uint_eq(firefox_total(profile), total);
		ck_assert_uint_eq(d3_total(profile), total);
		ck_assert_uint_eq(chrome_total(profile), total);
		ck_assert_uint_eq(json_total(profile), total);
		ck_assert_uint_eq(callgrind_total(profile), total);
		ck_assert_uint_eq(csv_total(profile) + without_stack(profile), total);
	}
	profile_destroy(profile);
}
END_TEST

START_TEST(merging_adds_totals)
{
	struct profile *a = profile_from_seed((unsigned)_i);
	struct profile *b = profile_from_seed((unsigned)_i + 500);
	uint64_t total = profile_total(a, 1) + profile_total(b, 1);

	ck_assert_int_eq(profile_merge(a, b), 0);
	ck_assert_uint_eq(profile_total(a, 1), total);
	ck_assert_uint_eq(speedscope_total(a), total);
	ck_assert_uint_eq(total_again(a, "folded"), total);
	ck_assert_uint_eq(total_again(a, "perf"), total);
	ck_assert_uint_eq(d3_total(a), total);
	ck_assert_uint_eq(callgrind_total(a), total);
	profile_destroy(a);
	profile_destroy(b);
}
END_TEST

/* Appending leaves the index behind; what is added after must still find its like. */
START_TEST(appended_samples_are_found)
{
	struct profile *profile = profile_create();
	struct profile_sample sample = {.process = PROFILE_NONE};
	uint64_t one = 1;

	profile_add_value_type(profile, "n", "count");
	for (uint32_t bucket = 0; bucket < 100; bucket++) {
		sample.bucket = bucket;
		ck_assert_int_eq(profile_append_sample(profile, &sample, &one), 0);
	}
	for (uint32_t bucket = 0; bucket < 150; bucket++) {
		sample.bucket = bucket;
		ck_assert_int_eq(profile_add_sample(profile, &sample, &one), 0);
	}
	ck_assert_uint_eq(profile->samples.count, 150);
	ck_assert_uint_eq(profile->values.items[99], 2);
	ck_assert_uint_eq(profile->values.items[100], 1);
	ck_assert_uint_eq(profile_total(profile, 0), 250);
	profile_destroy(profile);
}
END_TEST

/* A thin node goes with all below it; the others are as they were, within their parents. */
START_TEST(thin_nodes_go)
{
	struct profile *profile = profile_from_seed((unsigned)_i);
	uint64_t total = profile_total(profile, 1);
	struct tree_options options = {.value_type = 1, .least = total / 20};
	struct tree whole, thin;
	size_t kept = 0;

	ck_assert_int_eq(tree_init(&thin, profile, &options), 0);
	options.least = 0;
	ck_assert_int_eq(tree_init(&whole, profile, &options), 0);
	for (size_t i = 0; i < whole.nodes.count; i++) {
		const struct tree_node *node = &whole.nodes.items[i], *same;

		if (i && node->total < total / 20)
			continue;
		same = &thin.nodes.items[kept++];
		ck_assert_uint_eq(same->total, node->total);
		ck_assert_uint_eq(same->depth, node->depth);
		if (i) {
			const struct tree_node *parent = &thin.nodes.items[same->parent];

			ck_assert_uint_ge(same->begin, parent->begin);
			ck_assert_uint_le(same->begin + same->total, parent->begin + parent->total);
		}
	}
	ck_assert_uint_eq(kept, thin.nodes.count);
	tree_deinit(&whole);
	tree_deinit(&thin);
	profile_destroy(profile);
}
END_TEST

START_TEST(windows_of_time)
{
	struct profile *profile =
		profile_from_text("bucket 1000000000\nduration 4500000000\nvalue cpu nanoseconds\n"
				  "of -1 0\nstack a;f 10\nstack a;g 5\nof -1 1\nstack a;f 40\n"
				  "of -1 4\nstack a;f 20\n");
	char *text = profile_must_render(profile, "report");

	/* The last one was half a second: it would pull everything down. */
	ck_assert_ptr_nonnull(strstr(text, "\nin 4 windows of 1.00 s: min 0 ns · mean 13 ns · p50 "
					   "0 ns · p90 40 ns · p99 40 ns · max 40 ns\n"));
	free(text);
	profile_destroy(profile);
}
END_TEST

/* Steps of 20 ms hold a sample or none: windows are wider, unless one asks for them. */
START_TEST(windows_are_wider_than_noise)
{
	struct profile *profile = profile_from_text(
		"bucket 20000000\nduration 3000000000\nvalue cpu nanoseconds\nof -1 0\n"
		"stack a;f 10\nof -1 49\nstack a;f 5\nof -1 50\nstack a;f 1\n");
	struct report_windows windows;

	ck_assert_int_eq(report_windows(profile, 0, 0, &windows), 0);
	ck_assert_uint_eq(windows.width_ns, 1000000000);
	ck_assert_uint_eq(windows.count, 3);
	ck_assert_uint_eq(windows.max, 15);
	ck_assert_uint_eq(windows.p50, 1);
	ck_assert_int_eq(report_windows(profile, 0, 100000000, &windows), 0);
	ck_assert_uint_eq(windows.width_ns, 100000000);
	ck_assert_uint_eq(windows.count, 30);
	ck_assert_uint_eq(windows.max, 10);
	profile_destroy(profile);
}
END_TEST

/* A box that ends behind the sum, which stays at the top, is as wide as that leaves it. */
START_TEST(sums_above_64_bits)
{
	struct profile *profile =
		read_text("a;b 10000000000000000000\nc;d 10000000000000000000\ne 9\n");
	char *text = profile_must_render(profile, "chart");

	ck_assert_uint_lt(strlen(text), 10000);
	free(text);
	profile_destroy(profile);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("format_totals");
	TCase *tc = tcase_create("format_totals");

	tcase_add_loop_test(tc, totals_are_the_same_everywhere, 0, 100);
	tcase_add_loop_test(tc, merging_adds_totals, 0, 20);
	tcase_add_test(tc, appended_samples_are_found);
	tcase_add_loop_test(tc, thin_nodes_go, 0, 50);
	tcase_add_test(tc, windows_of_time);
	tcase_add_test(tc, sums_above_64_bits);
	tcase_add_test(tc, windows_are_wider_than_noise);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
