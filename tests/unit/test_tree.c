/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/tree.h"
#include "tests/unit/profile_text.h"

/* "all 10/0 (app 10/0 (main 10/3 (foo 7/7)))": total/self and children. */
static void put_node(struct strbuf *out, const struct tree *tree, uint32_t at)
{
	const struct tree_node *node = &tree->nodes.items[at];
	size_t length;

	strbuf_printf(out, "%s %" PRIu64 "/%" PRIu64,
		      node->label == PROFILE_NONE ? "all"
						  : label_text(&tree->labels, node->label, &length),
		      node->total, node->self);
	if (node->end == at + 1)
		return;
	strbuf_puts(out, " (");
	for (uint32_t child = at + 1; child < node->end; child = tree->nodes.items[child].end) {
		ck_assert_uint_eq(tree->nodes.items[child].parent, at);
		ck_assert_uint_eq(tree->nodes.items[child].depth, node->depth + 1);
		strbuf_puts(out, child == at + 1 ? "" : ", ");
		put_node(out, tree, child);
	}
	strbuf_putc(out, ')');
}

static void check_tree(const char *lines, bool without_comm, const char *want)
{
	struct profile *profile = profile_from_text(lines);
	struct tree_options options = {.without_comm = without_comm};
	struct strbuf text = {0};
	struct tree tree;

	ck_assert_int_eq(tree_init(&tree, profile, &options), 0);
	put_node(&text, &tree, 0);
	ck_assert_str_eq(strbuf_text(&text), want);
	strbuf_deinit(&text);
	tree_deinit(&tree);
	profile_destroy(profile);
}

START_TEST(paths_become_a_tree)
{
	static const char lines[] = "value n count\n"
				    "stack b;main;foo 1\nstack a;main;foo;bar 2\n"
				    "stack a;main;foo 4\nstack a;main 8\nstack a 16\n";

	check_tree(
		lines, false,
		"all 31/0 (a 30/16 (main 14/8 (foo 6/4 (bar 2/2))), b 1/0 (main 1/0 (foo 1/1)))");
	check_tree(lines, true, "all 31/16 (main 15/8 (foo 7/5 (bar 2/2)))");
	check_tree("value n count\n", false, "all 0/0");
}
END_TEST

/* Sorting lines of text puts foo-bar between foo and foo;x. */
START_TEST(a_name_with_a_longer_neighbour_stays_whole)
{
	check_tree("value n count\n"
		   "stack a;foo;x 1\nstack a;foo-bar;x 2\nstack a;foo 4\nstack a;foo\\x20b 8\n"
		   "stack a;foo;y 16\n",
		   true, "all 31/0 (foo 21/4 (x 1/1, y 16/16), foo b 8/8, foo-bar 2/0 (x 2/2))");
}
END_TEST

START_TEST(places_of_one_function_are_one_box)
{
	check_tree("value n count\n"
		   "stack a;f@lib@0x10 1\nstack a;f@lib@0x20 2\nstack a;f@other@0x10 4\n"
		   "stack a;f_[k]@lib 8\n",
		   true, "all 15/0 (f 3/3, f 8/8, f 4/4)");
}
END_TEST

START_TEST(recursion_is_kept)
{
	check_tree("value n count\nstack a;f;f;f 1\nstack a;f;f 2\n", true,
		   "all 3/0 (f 3/0 (f 3/2 (f 1/1)))");
}
END_TEST

START_TEST(a_value_the_profile_lacks)
{
	struct profile *profile = profile_from_text("value n count\nstack a;f 1\n");
	struct tree_options options = {.value_type = 1};
	struct tree tree;

	ck_assert_int_eq(tree_init(&tree, profile, &options), -EINVAL);
	profile_destroy(profile);
}
END_TEST

START_TEST(properties)
{
	struct profile *profile = profile_from_seed((unsigned)_i);
	struct tree_options options = {.value_type = 1, .without_comm = _i % 2};
	uint64_t self = 0;
	struct tree tree;

	ck_assert_int_eq(tree_init(&tree, profile, &options), 0);
	ck_assert_uint_eq(tree.nodes.items[0].total, profile_total(profile, 1));
	for (uint32_t i = 0; i < tree.nodes.count; i++) {
		const struct tree_node *node = &tree.nodes.items[i];
		uint64_t children = 0;

		self += node->self;
		for (uint32_t child = i + 1; child < node->end;
		     child = tree.nodes.items[child].end) {
			children += tree.nodes.items[child].total;
			for (uint32_t twin = tree.nodes.items[child].end; twin < node->end;
			     twin = tree.nodes.items[twin].end)
				ck_assert_uint_ne(tree.nodes.items[child].label,
						  tree.nodes.items[twin].label);
		}
		ck_assert_uint_eq(children + node->self, node->total);
	}
	ck_assert_uint_eq(self, tree.nodes.items[0].total);
	tree_deinit(&tree);
	profile_destroy(profile);
}
END_TEST

/* Whatever is left out: no value is lost, boxes stand side by side within their parent,
 * and none is thinner than asked. */
START_TEST(properties_without_thin_nodes)
{
	struct profile *profile = profile_from_seed((unsigned)_i);
	uint64_t least = profile_total(profile, 1) / (uint64_t)(1 + _i % 40);
	struct tree_options options = {.value_type = 1, .least = least};
	uint64_t self = 0;
	struct tree tree;

	ck_assert_int_eq(tree_init(&tree, profile, &options), 0);
	for (uint32_t i = 0; i < tree.nodes.count; i++) {
		const struct tree_node *node = &tree.nodes.items[i];
		uint64_t next = node->begin;

		self += node->self;
		ck_assert_uint_ge(node->total, i ? least : 0);
		for (uint32_t child = i + 1; child < node->end;
		     child = tree.nodes.items[child].end) {
			ck_assert_uint_eq(tree.nodes.items[child].begin, next);
			next += tree.nodes.items[child].total;
		}
		ck_assert_uint_le(next + node->self, node->begin + node->total);
	}
	ck_assert_uint_eq(self + tree.thin_value, profile_total(profile, 1));
	tree_deinit(&tree);
	profile_destroy(profile);
}
END_TEST

/* Deep stacks that share most of the stack before, so that the order of many is settled far
 * from the root only, and most are thin. */
static struct profile *deep_profile(unsigned seed)
{
	struct profile *profile = profile_create();
	uint32_t stack[80], count = 0;

	profile_add_value_type(profile, "samples", "count");
	profile_add_value_type(profile, "cpu", "nanoseconds");
	for (unsigned i = 0; i < 2000; i++) {
		struct profile_sample sample = {.process = PROFILE_NONE};
		uint64_t values[2] = {1, 1 + (uint64_t)rand_r(&seed) % 100};

		count -= count ? (uint32_t)rand_r(&seed) % (count < 6 ? count : 6) : 0;
		for (unsigned k = (unsigned)rand_r(&seed) % 7; k && count < 80; k--) {
			char name[16];
			struct profile_frame frame = {0};

			snprintf(name, sizeof(name), "f%u", (unsigned)rand_r(&seed) % 5);
			frame.name = profile_string(profile, name);
			stack[count++] = profile_frame(profile, &frame);
		}
		if (!((unsigned)rand_r(&seed) % 50))
			count = 0;
		sample.stack = profile_stack(profile, stack, count);
		ck_assert(!profile_add_sample(profile, &sample, values));
	}
	return profile;
}

/* What is left is what the whole tree has of it, and what is gone is counted. */
START_TEST(thin_nodes_are_those_of_the_whole)
{
	struct profile *profile =
		_i % 4 ? profile_from_seed((unsigned)_i) : deep_profile((unsigned)_i);
	uint64_t least = profile_total(profile, 1) / (uint64_t)(1 + _i % 40);
	struct tree_options options = {.value_type = 1, .without_comm = _i % 2};
	uint64_t thin_value = 0;
	struct tree whole, tree;
	size_t at = 0, branches = 0;

	ck_assert_int_eq(tree_init(&whole, profile, &options), 0);
	options.least = least;
	ck_assert_int_eq(tree_init(&tree, profile, &options), 0);
	for (uint32_t i = 0; i < whole.nodes.count; i++) {
		const struct tree_node *want = &whole.nodes.items[i], *node;

		if (i && want->total < least) {
			thin_value += want->self;
			if (!want->parent || whole.nodes.items[want->parent].total >= least)
				branches++;
			continue;
		}
		ck_assert_uint_lt(at, tree.nodes.count);
		node = &tree.nodes.items[at++];
		ck_assert_uint_eq(node->label, want->label);
		ck_assert_uint_eq(node->depth, want->depth);
		ck_assert_uint_eq(node->total, want->total);
		ck_assert_uint_eq(node->self, want->self);
	}
	ck_assert_uint_eq(at, tree.nodes.count);
	ck_assert_uint_eq(tree.thin, branches);
	ck_assert_uint_eq(tree.thin_value, thin_value);
	tree_deinit(&tree);
	tree_deinit(&whole);
	profile_destroy(profile);
}
END_TEST

/* Each sample finds the box that it ended in. */
START_TEST(leaves_are_found_again)
{
	struct profile *profile = profile_from_seed((unsigned)_i);
	struct hashmap leaves = {0};
	struct tree_options options = {.value_type = 1, .leaves = &leaves};
	struct tree tree;
	uint64_t *sums;

	ck_assert_int_eq(tree_init(&tree, profile, &options), 0);
	sums = calloc(tree.nodes.count, sizeof(*sums));
	for (size_t i = 0; i < profile->samples.count; i++) {
		const struct profile_sample *sample = &profile->samples.items[i];
		uint64_t value = profile->values.items[2 * i + 1];
		uint64_t *node = hashmap_get(&leaves, (uint64_t)sample->comm << 32 | sample->stack);

		ck_assert(node != NULL || !value);
		if (node)
			sums[*node] += value;
	}
	for (uint32_t i = 0; i < tree.nodes.count; i++)
		ck_assert_uint_eq(sums[i], tree.nodes.items[i].self);
	free(sums);
	hashmap_deinit(&leaves);
	tree_deinit(&tree);
	options.least = 1;
	ck_assert_int_eq(tree_init(&tree, profile, &options), -EINVAL);
	profile_destroy(profile);
}
END_TEST

static Suite *tree_suite(void)
{
	Suite *suite = suite_create("tree");
	TCase *tc = tcase_create("tree");

	tcase_add_test(tc, paths_become_a_tree);
	tcase_add_test(tc, a_name_with_a_longer_neighbour_stays_whole);
	tcase_add_test(tc, places_of_one_function_are_one_box);
	tcase_add_test(tc, recursion_is_kept);
	tcase_add_test(tc, a_value_the_profile_lacks);
	tcase_add_loop_test(tc, properties, 1, 100);
	tcase_add_loop_test(tc, properties_without_thin_nodes, 1, 100);
	tcase_add_loop_test(tc, thin_nodes_are_those_of_the_whole, 1, 100);
	tcase_add_loop_test(tc, leaves_are_found_again, 1, 50);
	suite_add_tcase(suite, tc);
	return suite;
}

int main(void)
{
	return run_suite(tree_suite());
}
