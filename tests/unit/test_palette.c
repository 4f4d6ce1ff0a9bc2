/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/palette.h"
#include "tests/unit/profile_text.h"

struct painted {
	struct profile *profile;
	struct labels labels;
	struct palette palette;
};

/* `weights` by frame's letter: see the callers. */
static void paint(struct painted *painted, const char *style, const char *lines,
		  const uint64_t *weights)
{
	painted->profile = profile_from_text(lines);
	ck_assert_int_eq(labels_init(&painted->labels, painted->profile, LABELS_FUNCTION), 0);
	ck_assert_int_eq(
		palette_init(&painted->palette, palette_find(style), &painted->labels, weights), 0);
}

static void drop(struct painted *painted)
{
	palette_deinit(&painted->palette);
	labels_deinit(&painted->labels);
	profile_destroy(painted->profile);
}

static uint32_t label_of(const struct painted *painted, const char *name)
{
	size_t length;

	for (uint32_t i = 0; i < painted->labels.items.count; i++) {
		if (!strcmp(label_text(&painted->labels, i, &length), name))
			return i;
	}
	ck_abort_msg("no label %s", name);
	return PROFILE_NONE;
}

static unsigned colour_of(const struct painted *painted, const char *name)
{
	return palette_colour(&painted->palette, label_of(painted, name));
}

static const char *explained(const struct painted *painted, const char *name, unsigned *ret_group)
{
	unsigned colour;

	return palette_explain(&painted->palette, label_of(painted, name), ret_group, &colour);
}

static const char two[] = "value n count\nstack c;f@a;g@b;k_[k]@kernel;[lost] 1\n";

START_TEST(every_colour_is_one_of_the_sheet)
{
	uint64_t weights[8] = {1, 1, 1, 1, 1, 1, 1, 1};
	struct strbuf css = {0};

	palette_put_css(&css, NULL);
	for (size_t i = 0; i < palette_style_count; i++) {
		struct painted painted;

		ck_assert_ptr_eq(palette_find(palette_styles[i].name), &palette_styles[i]);
		paint(&painted, palette_styles[i].name, two, weights);
		for (uint32_t k = 0; k < painted.labels.items.count; k++) {
			char rule[32];
			unsigned group, colour, shown = palette_colour(&painted.palette, k);

			palette_explain(&painted.palette, k, &group, &colour);
			ck_assert_uint_lt(group, PALETTE_GROUPS_MAX);
			ck_assert_uint_lt(colour, palette_colours());
			snprintf(rule, sizeof(rule), ".c%u{fill:#", shown);
			ck_assert_ptr_nonnull(strstr(css.data, rule));
		}
		ck_assert_uint_lt(palette_colour(&painted.palette, PROFILE_NONE),
				  palette_colours());
		drop(&painted);
	}
	ck_assert_ptr_null(palette_find("nonesuch"));
	strbuf_deinit(&css);
}
END_TEST

START_TEST(only_used_colours_are_written)
{
	uint8_t *used = calloc(palette_colours(), 1);
	struct strbuf css = {0};

	used[7] = 1;
	palette_put_css(&css, used);
	ck_assert_ptr_nonnull(strstr(css.data, ".c7{"));
	ck_assert_ptr_nonnull(strstr(strstr(css.data, "dark"), ".c7{"));
	ck_assert_ptr_null(strstr(css.data, ".c8{"));
	strbuf_deinit(&css);
	free(used);
}
END_TEST

START_TEST(a_name_has_one_colour_in_every_picture)
{
	uint64_t weights[8] = {1, 1, 1, 1, 1, 1, 1, 1};
	struct painted one, other;

	paint(&one, "name", two, weights);
	paint(&other, "name", "value n count\nstack x;y;g@else;f 1\n", weights);
	ck_assert_uint_eq(colour_of(&one, "f"), colour_of(&other, "f"));
	ck_assert_uint_eq(colour_of(&one, "g"), colour_of(&other, "g"));
	drop(&one);
	drop(&other);
}
END_TEST

/* The largest come first; the ninth shares a hue with all after it. */
START_TEST(modules_get_hues_by_their_size)
{
	uint64_t weights[16];
	struct strbuf lines = {0};
	struct painted painted;
	unsigned group, other;

	strbuf_puts(&lines, "value n count\nstack c");
	for (unsigned i = 0; i < 10; i++) {
		strbuf_printf(&lines, ";f%u@lib%u.so", i, i);
		weights[i] = 1 + i;
	}
	weights[10] = 100; /* the comm's label */
	strbuf_puts(&lines, " 1\n");
	paint(&painted, "module", strbuf_text(&lines), weights);
	ck_assert_str_eq(explained(&painted, "f9", &group), "lib9.so");
	ck_assert_str_eq(explained(&painted, "f8", &other), "lib8.so");
	ck_assert_uint_ne(group, other);
	ck_assert_str_eq(explained(&painted, "f2", &group), "lib2.so");
	ck_assert_str_eq(explained(&painted, "f1", &group), "other modules");
	ck_assert_str_eq(explained(&painted, "f0", &other), "other modules");
	ck_assert_uint_eq(group, other);
	drop(&painted);
	strbuf_deinit(&lines);
}
END_TEST

START_TEST(kinds_are_told_apart)
{
	uint64_t weights[8] = {0};
	struct painted painted;
	unsigned a, b;

	paint(&painted, "colour-blind", two, weights);
	ck_assert_str_eq(explained(&painted, "f", &a), "user");
	ck_assert_str_eq(explained(&painted, "k", &b), "kernel");
	ck_assert_uint_ne(a, b);
	ck_assert_uint_ne(colour_of(&painted, "f"), colour_of(&painted, "k"));
	ck_assert_ptr_null(explained(&painted, "c", &a));
	drop(&painted);
}
END_TEST

START_TEST(changes_have_steps)
{
	static const struct {
		double before, after;
		unsigned want;
	} cases[] = {
		{100, 100, PALETTE_ALIKE},   {0, 0, PALETTE_ALIKE},
		{5, 5.5, PALETTE_ALIKE},     {0, 7, PALETTE_NEW},
		{7, 0, PALETTE_GONE},        {90, 100, PALETTE_MORE},
		{100, 90, PALETTE_LESS},     {100, 60, PALETTE_LESS + 1},
		{60, 100, PALETTE_MORE + 1}, {1, 100, PALETTE_MORE + 3},
		{100, 1, PALETTE_LESS + 3},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		ck_assert_uint_eq(palette_change_of(cases[i].before, cases[i].after),
				  cases[i].want);
	ck_assert_uint_lt(palette_change_colour(PALETTE_NEW), palette_colours());
}
END_TEST

static Suite *palette_suite(void)
{
	Suite *suite = suite_create("palette");
	TCase *tc = tcase_create("palette");

	tcase_add_test(tc, every_colour_is_one_of_the_sheet);
	tcase_add_test(tc, only_used_colours_are_written);
	tcase_add_test(tc, a_name_has_one_colour_in_every_picture);
	tcase_add_test(tc, modules_get_hues_by_their_size);
	tcase_add_test(tc, kinds_are_told_apart);
	tcase_add_test(tc, changes_have_steps);
	suite_add_tcase(suite, tc);
	return suite;
}

int main(void)
{
	return run_suite(palette_suite());
}
