/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/picture.h"
#include "tests/unit/profile_text.h"

static struct format_job job_of(const struct profile *profile)
{
	return (struct format_job){
		.profile = profile,
		.value_name = "cpu",
		.value_unit = "nanoseconds",
		.total = profile_total(profile, 0),
		.title = "t",
		.palette = palette_find("kind"),
		.width = 1200,
	};
}

static char *text_of(const char *lines, double least, size_t most)
{
	struct profile *profile = profile_from_text(lines);
	struct format_job job = job_of(profile);
	struct strbuf out = {0};
	struct picture picture;

	ck_assert_int_eq(picture_init(&picture, &job, least, most, NULL), 0);
	picture_put_text(&out, &picture);
	picture_deinit(&picture);
	profile_destroy(profile);
	ck_assert_int_eq(strbuf_error(&out), 0);
	return out.data;
}

static void check_boxes(const char *lines, double least, size_t most, const char *want)
{
	char *text = text_of(lines, least, most);
	char *boxes = strstr(text, "\nboxes ");

	ck_assert_ptr_nonnull(boxes);
	ck_assert_str_eq(boxes + 1, want);
	free(text);
}

START_TEST(boxes_are_written_in_preorder)
{
	check_boxes("value cpu nanoseconds\nstack a;m;f 5\nstack a;m;g 7\nstack a 2\nstack b 1\n",
		    0, 100, "boxes 6\n0,0 0,1,2 0,2 0,3,5 1,4,7 3,5,1\n");
}
END_TEST

START_TEST(thin_ones_are_kept_at_their_parents)
{
	static const char lines[] = "value cpu nanoseconds\nstack a;big 900\nstack a;x;y 30\n"
				    "stack a;z 50\nstack b;c 20\n";

	check_boxes(lines, 0.06, 100, "boxes 3\n0,0,0,20 0,1,0,80 0,2,900\n");
	check_boxes(lines, 0.04, 100, "boxes 4\n0,0,0,20 0,1,0,30 0,2,900 1,3,50\n");
}
END_TEST

/* Whatever `most` is, the root stays, and nothing is lost from the sum. */
START_TEST(too_many_boxes_raise_the_least_width)
{
	check_boxes("value cpu nanoseconds\nstack a;f 600\nstack a;g 400\n", 0, 3,
		    "boxes 3\n0,0 0,1,0,400 0,2,600\n");
	check_boxes("value cpu nanoseconds\nstack a;f;g 5\n", 0, 1, "boxes 4\n0,0 0,1 0,2 0,3,5\n");
}
END_TEST

static void check_sum(const struct picture *picture)
{
	const struct tree_node *nodes = picture->tree.nodes.items;
	uint64_t sum = 0, thin = 0;

	for (size_t i = 0; i < picture->boxes.count; i++) {
		const struct picture_box *box = &picture->boxes.items[i];
		const struct picture_box *last = i ? &picture->boxes.items[i - 1] : NULL;

		sum += nodes[box->node].self + box->thin;
		thin += box->thin;
		if (last && nodes[box->node].depth > nodes[last->node].depth)
			ck_assert_uint_eq(box->begin, last->begin);
		ck_assert_uint_le(box->begin + nodes[box->node].total, nodes[0].total);
	}
	ck_assert_uint_eq(sum, nodes[0].total);
	ck_assert_uint_eq(thin, picture->thin_value);
}

START_TEST(nothing_is_lost_from_the_sum)
{
	static const double least[] = {0, 0.001, 0.01, 0.1, 1};
	struct profile *profile = profile_from_seed((unsigned)_i);
	struct format_job job = job_of(profile);

	for (size_t i = 0; i < sizeof(least) / sizeof(*least); i++) {
		struct picture picture;

		ck_assert_int_eq(picture_init(&picture, &job, least[i], 1000, NULL), 0);
		check_sum(&picture);
		picture_deinit(&picture);
	}
	profile_destroy(profile);
}
END_TEST

START_TEST(labels_tell_colour_module_kind_and_place)
{
	struct profile *profile = profile_create();
	struct profile_sample sample = {.process = PROFILE_NONE};
	struct profile_frame frame = {.line = 12};
	uint64_t value = 1;
	uint32_t frames[2];
	struct format_job job;
	struct strbuf out = {0};
	struct picture picture;

	profile_add_value_type(profile, "cpu", "nanoseconds");
	frame.name = profile_string(profile, "a <b>");
	frame.module = profile_string(profile, "lib&x");
	frame.file = profile_string(profile, "my dir/50%.c");
	frames[0] = profile_frame(profile, &frame);
	frame.line = 40;
	frames[1] = profile_frame(profile, &frame);
	sample.stack = profile_stack(profile, frames, 2);
	ck_assert_int_eq(profile_add_sample(profile, &sample, &value), 0);
	job = job_of(profile);
	job.without_comm = true;
	ck_assert_int_eq(picture_init(&picture, &job, 0, 100, NULL), 0);
	picture_put_text(&out, &picture);
	ck_assert_ptr_nonnull(strstr(out.data, "\nmodules 1\nlib&amp;x\nlabels 2\n"));
	ck_assert_ptr_nonnull(strstr(out.data, " 0 r - all\n"));
	ck_assert_ptr_nonnull(strstr(out.data, " 1 u 12:40:my%20dir/50%25.c a &lt;b&gt;\nboxes"));
	strbuf_deinit(&out);
	picture_deinit(&picture);
	profile_destroy(profile);
}
END_TEST

/* By kind two, whatever the number of functions; the thread's name means nothing. */
START_TEST(each_meaning_is_in_the_legend_once)
{
	struct profile *profile = profile_from_text(
		"value cpu nanoseconds\nstack a;f;g;k_[k];l_[k] 5\nstack b;h 5\n");
	struct picture_legend legend[PALETTE_GROUPS_MAX];
	struct format_job job = job_of(profile);
	struct picture picture;

	ck_assert_int_eq(picture_init(&picture, &job, 0, 100, NULL), 0);
	ck_assert_uint_eq(picture_legend(&picture, legend), 2);
	ck_assert_str_eq(legend[0].text, "user");
	ck_assert_str_eq(legend[1].text, "kernel");
	ck_assert_uint_ne(legend[0].colour, legend[1].colour);
	picture_deinit(&picture);
	profile_destroy(profile);
}
END_TEST

static Suite *picture_suite(void)
{
	Suite *suite = suite_create("picture");
	TCase *tc = tcase_create("picture");

	tcase_add_test(tc, boxes_are_written_in_preorder);
	tcase_add_test(tc, thin_ones_are_kept_at_their_parents);
	tcase_add_test(tc, too_many_boxes_raise_the_least_width);
	tcase_add_loop_test(tc, nothing_is_lost_from_the_sum, 1, 50);
	tcase_add_test(tc, each_meaning_is_in_the_legend_once);
	tcase_add_test(tc, labels_tell_colour_module_kind_and_place);
	suite_add_tcase(suite, tc);
	return suite;
}

int main(void)
{
	return run_suite(picture_suite());
}
