/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <math.h>

#include "flamegraph/diff.h"
#include "tests/unit/read_text.h"

static struct diff compare(const struct profile *before, const struct profile *after,
			   enum diff_scale scale)
{
	struct diff_side left = {before, NULL}, right = {after, NULL};
	struct error error = {0};
	struct diff diff;

	ck_assert_msg(!diff_init(&diff, &left, &right, scale, &error), "%s", error.text);
	return diff;
}

static char *render(const struct diff *diff, const char *format, const struct diff_options *options)
{
	static const struct diff_options defaults;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	for (size_t i = 0; i < diff_format_count; i++) {
		if (!strcmp(diff_formats[i].name, format))
			ck_assert_int_eq(
				diff_formats[i].write(diff, options ? options : &defaults, out), 0);
	}
	fclose(out);
	return text;
}

static const struct diff_row *row_of(const struct diff *diff, const char *name)
{
	for (size_t i = 0; i < diff->rows.count; i++) {
		size_t n;

		if (!strcmp(label_text(&diff->labels, diff->rows.items[i].label, &n), name))
			return &diff->rows.items[i];
	}
	ck_abort_msg("no row %s", name);
	return NULL;
}

START_TEST(nothing_differs_from_itself)
{
	struct profile *profile = profile_from_seed((unsigned)_i);
	static const enum diff_scale scales[] = {DIFF_AUTO, DIFF_SHARE, DIFF_SECOND, DIFF_RAW};

	for (size_t i = 0; i < 4; i++) {
		struct diff diff = compare(profile, profile, scales[i]);
		char *table = render(&diff, "table", NULL);

		ck_assert_uint_eq(diff.rows.count, 0);
		ck_assert_ptr_nonnull(strstr(table, "no difference"));
		free(table);
		diff_deinit(&diff);
	}
	profile_destroy(profile);
}
END_TEST

/* Each column of the folded output has its profile's total, and rows add up to it. */
START_TEST(totals_are_kept)
{
	struct profile *before = profile_from_seed((unsigned)_i);
	struct profile *after = profile_from_seed((unsigned)_i + 1000);
	struct diff diff = compare(before, after, DIFF_RAW);
	char *folded = render(&diff, "folded", NULL);
	struct profile *again = read_text(folded);

	ck_assert_uint_eq(profile_total(again, 0), profile_total(before, 1));
	ck_assert_uint_eq(profile_total(again, 1), profile_total(after, 1));
	ck_assert_uint_eq(diff.all.before, profile_total(before, 1));
	ck_assert_uint_eq(diff.all.after, profile_total(after, 1));
	for (size_t i = 0; i < diff.rows.count; i++) {
		const struct diff_row *row = &diff.rows.items[i];

		ck_assert_uint_le(row->self.before, row->total.before);
		ck_assert_uint_le(row->total.after, diff.all.after);
		ck_assert(row->self.p >= 0 && row->self.p <= 1);
	}
	profile_destroy(before);
	profile_destroy(after);
	profile_destroy(again);
	free(folded);
	diff_deinit(&diff);
}
END_TEST

START_TEST(what_is_new_gone_and_changed)
{
	struct profile *before = read_text("m;stays 400\nm;grows 400\nm;gone 100\nm;tiny 3\n");
	struct profile *after = read_text("m;stays 400\nm;grows 900\nm;new;x 100\nm;tiny 4\n");
	struct diff diff = compare(before, after, DIFF_RAW);
	char *text = render(&diff, "table", NULL);

	ck_assert_uint_eq(diff.rows.count, 6); /* m grows, too; stays does not */
	ck_assert(row_of(&diff, "grows")->self.delta == 500);
	ck_assert_int_eq(row_of(&diff, "grows")->self.verdict, DIFF_SURE);
	ck_assert_int_eq(row_of(&diff, "tiny")->self.verdict, DIFF_NOISE);
	ck_assert(row_of(&diff, "new")->total.delta == 100);
	ck_assert(row_of(&diff, "new")->self.delta == 0);
	ck_assert(row_of(&diff, "gone")->self.delta == -100);
	ck_assert_ptr_nonnull(strstr(text, "gone  (gone)"));
	ck_assert_ptr_nonnull(strstr(text, "x  (new)"));
	ck_assert_ptr_nonnull(strstr(text, "7 functions compared, 6 differ, 1 of them by no more"));
	free(text);
	text = render(&diff, "json", NULL);
	ck_assert_ptr_nonnull(strstr(text, "\"schema\": \"perfd.diff/1\""));
	ck_assert_ptr_nonnull(strstr(text, "\"unit\": \"count\""));
	ck_assert_ptr_nonnull(strstr(text, "\"functions_changed\": 6"));
	free(text);
	text = render(&diff, "folded", NULL);
	ck_assert_str_eq(text, "m;gone 100 0\nm;grows 400 900\nm;new;x 0 100\nm;stays 400 400\n"
			       "m;tiny 3 4\n");
	free(text);
	profile_destroy(before);
	profile_destroy(after);
	diff_deinit(&diff);
}
END_TEST

START_TEST(scales)
{
	struct profile *before = profile_from_text("duration 1000000000\nvalue n count\n"
						   "stack a;f 100\nstack a;g 100\n");
	struct profile *after = profile_from_text("duration 4000000000\nvalue n count\n"
						  "stack a;f 400\nstack a;g 800\n");
	struct diff diff = compare(before, after, DIFF_AUTO);

	ck_assert_int_eq(diff.scale, DIFF_SECOND);
	ck_assert(diff.factor == 4);
	ck_assert_uint_eq(diff.rows.count, 1);
	ck_assert(row_of(&diff, "g")->self.delta == 400);
	diff_deinit(&diff);
	diff = compare(before, after, DIFF_SHARE);
	ck_assert(diff.factor == 6);
	ck_assert(row_of(&diff, "f")->self.delta == -200);
	ck_assert(row_of(&diff, "g")->self.delta == 200);
	diff_deinit(&diff);
	profile_destroy(before);
	profile_destroy(after);
}
END_TEST

static void check_error(const char *before, const char *after, const char *value,
			enum diff_scale scale, int code, const char *want)
{
	struct profile *left = profile_from_text(before), *right = profile_from_text(after);
	struct diff_side a = {left, value}, b = {right, value};
	struct error error = {0};
	struct diff diff;

	ck_assert_int_eq(diff_init(&diff, &a, &b, scale, &error), code);
	ck_assert_ptr_nonnull(strstr(error.text, want));
	profile_destroy(left);
	profile_destroy(right);
}

START_TEST(what_cannot_be_compared)
{
	check_error("value n count\nstack a;f 1\n", "value n bytes\nstack a;f 1\n", NULL, DIFF_AUTO,
		    -EINVAL, "the before is in count, the after in bytes");
	check_error("value n count\nstack a;f 1\n", "value n count\nstack a;f 0\n", NULL, DIFF_AUTO,
		    -ENODATA, "nothing in the after");
	check_error("value n count\nstack a;f 1\n", "value n count\nstack a;f 1\n", "x", DIFF_AUTO,
		    -EINVAL, "no value \"x\" in the before");
	check_error("value n count\nstack a;f 1\n", "value n count\nstack a;f 1\n", NULL,
		    DIFF_SECOND, -EINVAL, "how long one of them took");
}
END_TEST

static bool near(double a, double b)
{
	return fabs(a - b) <= 1e-9 + 1e-6 * fabs(b);
}

/* Two-sided, twice the smaller tail. */
START_TEST(chances)
{
	ck_assert(near(diff_binomial(0, 10, 0.5), 2.0 / 1024));
	ck_assert(near(diff_binomial(10, 0, 0.5), 2.0 / 1024));
	ck_assert(near(diff_binomial(5, 5, 0.5), 1));
	ck_assert(near(diff_binomial(1, 9, 0.5), 22.0 / 1024));
	ck_assert(near(diff_binomial(0, 3, 0.25), 2.0 / 64));
	ck_assert(near(diff_binomial(0, 0, 0.5), 1));
	ck_assert(diff_binomial(5000, 5010, 0.5) > 0.9);
	ck_assert(diff_binomial(5000, 6000, 0.5) < 1e-15);
	/* Both ways of computing meet. */
	ck_assert(fabs(diff_binomial(940, 1059, 0.5) - diff_binomial(941, 1060, 0.5)) < 1e-3);
}
END_TEST

/* Of functions that only chance tells apart few may be called likely: the share of
 * false discoveries is held over all of them together. */
START_TEST(noise_is_called_noise)
{
	unsigned seed = (unsigned)_i + 1, likely = 0;
	struct strbuf before = {0}, after = {0};
	struct profile *left, *right;
	struct diff diff;

	for (unsigned i = 0; i < 300; i++) {
		unsigned counts[2] = {1, 1};

		for (unsigned k = 0; k < 400; k++)
			counts[rand_r(&seed) >> 9 & 1]++;
		strbuf_printf(&before, "f%u %u\n", i, counts[0]);
		strbuf_printf(&after, "f%u %u\n", i, counts[1]);
	}
	left = read_text(before.data);
	right = read_text(after.data);
	diff = compare(left, right, DIFF_SHARE);
	for (size_t i = 0; i < diff.rows.count; i++)
		likely += diff.rows.items[i].self.verdict != DIFF_NOISE;
	ck_assert_uint_le(likely, 3);
	profile_destroy(left);
	profile_destroy(right);
	diff_deinit(&diff);
	strbuf_deinit(&before);
	strbuf_deinit(&after);
}
END_TEST

/* Boxes lie within the whole; paths are "M<left> <top>h<width>v16...". */
static void check_widths(const char *svg)
{
	const char *at = strstr(svg, "<svg id=\"boxes\""), *end = strstr(svg, "<g id=\"labels\">");
	unsigned boxes = 0;

	ck_assert(at && end);
	for (; (at = strstr(at, "v16h-")) && at < end; at++, boxes++) {
		const char *start = at;
		unsigned left, top, width;

		while (*start != 'M')
			start--;
		ck_assert_int_eq(sscanf(start, "M%u %uh%uv", &left, &top, &width), 3);
		ck_assert_uint_gt(width, 0);
		ck_assert_uint_le(left + width, 12001);
	}
	ck_assert_uint_gt(boxes, 0);
}

/* What the scripts get: of both profiles nothing is missing, whatever is drawn. */
static void check_changes(const char *svg, const struct diff *diff, enum diff_width width)
{
	const char *at = strstr(svg, "\nchanges ");
	double before = 0, after = 0;
	unsigned wide_before, wide_after;
	double factor;

	ck_assert_ptr_nonnull(at);
	ck_assert_int_eq(
		sscanf(at + 1, "changes %*u %lf %u %u", &factor, &wide_before, &wide_after), 3);
	ck_assert_double_eq(factor, diff->factor);
	ck_assert_uint_eq(wide_before, width != DIFF_WIDTH_AFTER);
	ck_assert_uint_eq(wide_after, width != DIFF_WIDTH_BEFORE);
	at = strchr(at + 1, '\n');
	do {
		char *end;

		before += strtod(at + 1, &end);
		after += strtod(end + 1, &end);
		if (*end == ',') {
			before += strtod(end + 1, &end);
			after += strtod(end + 1, &end);
		}
		at = end;
	} while (*at == ' ');
	ck_assert_int_eq(*at, '\n');
	ck_assert_double_eq(before, (double)diff->all.before);
	ck_assert_double_eq(after, (double)diff->all.after);
}

START_TEST(pictures)
{
	struct profile *before = profile_from_seed((unsigned)_i);
	struct profile *after = profile_from_seed((unsigned)_i + 1000);
	struct diff diff = compare(before, after, DIFF_AUTO);

	for (enum diff_width width = DIFF_WIDTH_SUM; width <= DIFF_WIDTH_BEFORE; width++) {
		char *svg = render(&diff, "svg", &(struct diff_options){.width = width});

		check_widths(svg);
		check_changes(svg, &diff, width);
		ck_assert_ptr_null(strstr(svg, "<b>"));
		ck_assert_ptr_nonnull(strstr(svg, "</svg>\n"));
		free(svg);
	}
	profile_destroy(before);
	profile_destroy(after);
	diff_deinit(&diff);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("diff");
	TCase *tc = tcase_create("diff");

	tcase_add_loop_test(tc, nothing_differs_from_itself, 0, 50);
	tcase_add_loop_test(tc, totals_are_kept, 0, 50);
	tcase_add_test(tc, what_is_new_gone_and_changed);
	tcase_add_test(tc, scales);
	tcase_add_test(tc, what_cannot_be_compared);
	tcase_add_test(tc, chances);
	tcase_add_loop_test(tc, noise_is_called_noise, 0, 10);
	tcase_add_loop_test(tc, pictures, 0, 50);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
