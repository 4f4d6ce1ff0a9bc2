/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * `test_format_svg --render FORMAT PALETTE FILE` prints what a format makes of a text
 * (profile_text.h): for the browser test, and for looking at it.
 */
#include "tests/unit/profile_text.h"

/* Style and script are files of their own; a golden file shows the picture. */
static void cut(char *text, const char *begin, const char *end)
{
	char *from = strstr(text, begin), *to;

	ck_assert_msg(from != NULL, "no %s", begin);
	from += strlen(begin);
	to = strstr(from, end);
	ck_assert_msg(to != NULL, "no %s", end);
	memmove(from, to, strlen(to) + 1);
}

static char *picture_of(const char *lines)
{
	struct profile *profile = profile_from_text(lines);
	char *svg = profile_must_render(profile, "svg");

	cut(svg, "<style>", "</style>");
	cut(svg, "<script><![CDATA[", "]]></script>\n</svg>\n");
	profile_destroy(profile);
	return svg;
}

static void check_golden(const char *golden)
{
	char *in = golden_read(golden, "in");
	char *svg = picture_of(in);

	golden_check(golden, svg);
	free(svg);
	free(in);
}

START_TEST(golden_pictures)
{
	golden_each("svg", check_golden);
}
END_TEST

static char *read_file(const char *path)
{
	struct strbuf text = {0};
	FILE *file = fopen(path, "r");
	int c;

	ck_assert_msg(file != NULL, "%s: %s", path, strerror(errno));
	while ((c = getc(file)) != EOF)
		strbuf_putc(&text, (char)c);
	fclose(file);
	return text.data;
}

/* Whole, and in the order in which they need one another. */
START_TEST(style_and_scripts_are_inside)
{
	static const char *const files[] = {
		"svg_style.css",    "flame_bar.css", "flame_text.js",
		"flame_tree.js",    "flame_view.js", "flame_bar.js",
		"flame_control.js", "svg_stage.js",  "svg_script.js",
	};
	struct profile *profile = profile_from_text("value cpu bytes\nstack c;f 1\n");
	char *svg = profile_must_render(profile, "svg");
	const char *at = svg;

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		char path[64], *text;

		snprintf(path, sizeof(path), "flamegraph/%s", files[i]);
		text = read_file(path);
		at = strstr(at, text);
		ck_assert_msg(at != NULL, "%s is not in the picture, or in the wrong place", path);
		ck_assert_ptr_null(strstr(text, "]]>"));
		ck_assert(strstr(path, ".js") || !strpbrk(text, "<&"));
		free(text);
	}
	free(svg);
	profile_destroy(profile);
}
END_TEST

struct drawn_box {
	unsigned x, y, width;
};

static unsigned count_of(const char *text, const char *word)
{
	unsigned count = 0;

	for (; (text = strstr(text, word)); text += strlen(word))
		count++;
	return count;
}

START_TEST(nothing_foreign_becomes_markup)
{
	static const char right_to_left[] = {'\xe2', '\x80', '\xae', '\0'};
	char *in = golden_read("svg_hostile", "in");
	char *svg = picture_of(in);

	ck_assert_uint_eq(count_of(svg, "<script"), 1);
	ck_assert_uint_eq(count_of(svg, "]]>"), 1);
	ck_assert_uint_eq(count_of(svg, "<![CDATA["), 1);
	ck_assert_uint_eq(count_of(svg, "<!--"), 0);
	ck_assert_uint_eq(count_of(svg, "&lt;script&gt;alert(4)"), 2); /* title and label */
	ck_assert_uint_eq(count_of(svg, right_to_left), 0);
	for (const char *at = svg; *at; at++)
		ck_assert_msg(*at == '\n' || (unsigned char)*at >= 0x20, "control %02x", *at);
	free(svg);
	free(in);
}
END_TEST

START_TEST(every_name_of_bytes_is_harmless)
{
	char line[64], *svg;

	for (unsigned byte = 1; byte < 256; byte++) {
		snprintf(line, sizeof(line), "value cpu bytes\nstack c;\\x%02x 1\n", byte);
		svg = picture_of(line);
		ck_assert_ptr_nonnull(strstr(svg, "\nboxes 3\n0,0 0,1 0,2,1\n"));
		ck_assert_uint_eq(count_of(svg, "<"), count_of(svg, ">"));
		free(svg);
	}
}
END_TEST

START_TEST(thin_boxes_are_told_in_the_foot)
{
	char *svg = picture_of("value cpu nanoseconds\n"
			       "stack app;main;big 1000000\n"
			       "stack app;main;thin;thinner 20\n"
			       "stack app;main;thin;thinnest 30\n");

	ck_assert_uint_eq(count_of(svg, "<"), count_of(svg, ">"));
	ck_assert_ptr_nonnull(strstr(svg, "not drawn: 1 branch too thin to see, together 50 ns"));
	ck_assert_ptr_null(strstr(svg, ">thin"));
	free(svg);
	svg = picture_of("value cpu nanoseconds\nstack app;main 1\n");
	ck_assert_ptr_null(strstr(svg, "not drawn"));
	free(svg);
}
END_TEST

/* "< 0.01 %" is text too. */
START_TEST(figures_are_escaped)
{
	char *svg = picture_of("value cpu nanoseconds\nstack app;main 1000000\n"
			       "stack app;other 9\n");

	ck_assert_ptr_nonnull(strstr(svg, "together 9 ns (&lt; 0.01 %)"));
	ck_assert_uint_eq(count_of(svg, "<"), count_of(svg, ">"));
	free(svg);
}
END_TEST

START_TEST(every_count_is_told)
{
	char *svg = picture_of("value samples count\nstack app;main 1\n"
			       "count truncated 3 cut short\nloss ring_full 1234 no room\n"
			       "loss other 1\n");

	ck_assert_ptr_nonnull(strstr(svg, ">truncated: 3 - cut short<"));
	ck_assert_ptr_nonnull(strstr(svg, ">ring_full (lost): 1,234 - no room<"));
	ck_assert_ptr_nonnull(strstr(svg, ">other (lost): 1<"));
	ck_assert_ptr_nonnull(strstr(svg, "1,235 lost"));
	ck_assert_ptr_nonnull(strstr(svg, "3 truncated"));
	free(svg);
}
END_TEST

static int by_place(const void *left, const void *right)
{
	const struct drawn_box *a = left, *b = right;

	return a->y != b->y ? (a->y > b->y) - (a->y < b->y) : (a->x > b->x) - (a->x < b->x);
}

/* Siblings lie side by side and within their parent, whatever the profile. */
START_TEST(boxes_do_not_overlap)
{
	struct profile *profile = profile_from_seed((unsigned)_i);
	char *svg = profile_must_render(profile, "svg");
	struct drawn_box boxes[1024];
	const char *end = strstr(svg, "<g id=\"labels\"");
	size_t count = 0;

	for (const char *at = strstr(svg, "id=\"boxes\""); (at = strchr(at, 'M')) && at < end;
	     at++) {
		struct drawn_box *box = &boxes[count++];

		ck_assert_uint_lt(count, sizeof(boxes) / sizeof(*boxes));
		ck_assert_int_eq(sscanf(at, "M%u %uh%u", &box->x, &box->y, &box->width), 3);
		ck_assert_uint_ge(box->width, 1);
		/* One unit is given to what is narrower. */
		ck_assert_uint_le(box->x + box->width, 12001);
	}
	ck_assert_uint_ge(count, 2);
	qsort(boxes, count, sizeof(*boxes), by_place);
	for (size_t i = 1; i < count; i++)
		ck_assert_msg(boxes[i].y != boxes[i - 1].y ||
				      boxes[i].x >= boxes[i - 1].x + boxes[i - 1].width,
			      "two boxes at x %u, y %u", boxes[i].x, boxes[i].y);
	free(svg);
	profile_destroy(profile);
}
END_TEST

START_TEST(width_and_title_can_be_chosen)
{
	struct profile *profile = profile_from_text("title a\nvalue cpu bytes\nstack c;f 1\n");
	struct format_options options = {.title = "b<c", .width = 800, .without_comm = true};
	char *svg;

	ck_assert_int_eq(profile_render(profile, "svg", &options, NULL, &svg), 0);
	ck_assert_ptr_nonnull(strstr(svg, "width=\"800\""));
	ck_assert_ptr_nonnull(strstr(svg, "<title>b&lt;c</title>"));
	ck_assert_ptr_nonnull(strstr(svg, "\nboxes 2\n"));
	free(svg);
	profile_destroy(profile);
}
END_TEST

/* Colours differ, the rest of the picture does not. */
START_TEST(palettes_are_chosen_by_name)
{
	struct profile *profile =
		profile_from_text("value cpu bytes\nstack c;f@a 1\nstack c;g@b 1\n");
	struct format_options options = {.palette = "module"};
	struct error error = {0};
	char *svg;

	ck_assert_int_eq(profile_render(profile, "svg", &options, &error, &svg), 0);
	ck_assert_ptr_nonnull(strstr(svg, ">a</text>"));
	ck_assert_ptr_nonnull(strstr(svg, ">b</text>"));
	ck_assert_ptr_null(strstr(svg, ">user</text>"));
	free(svg);
	options.palette = "nonesuch";
	ck_assert_int_eq(profile_render(profile, "svg", &options, &error, &svg), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.text, "colour-blind"));
	profile_destroy(profile);
}
END_TEST

static void looks_like(const char *text, const char *palette)
{
	struct profile *profile = profile_from_text(text);
	struct format_options options = {.palette = palette};
	char *usual = profile_must_render(profile, "svg"), *chosen;

	ck_assert_int_eq(profile_render(profile, "svg", &options, NULL, &chosen), 0);
	ck_assert_str_eq(usual, chosen);
	free(usual);
	free(chosen);
	profile_destroy(profile);
}

START_TEST(memory_has_colours_of_its_own)
{
	looks_like("value cpu nanoseconds\nstack c;f@a 1\n", "kind");
	looks_like("value alloc_space bytes\nstack c;f@a 1\n", "memory");
	looks_like("value faults count\nstack c;f@a 1\n", "memory");
}
END_TEST

/* What a sample of allocations stands for is an estimate; how many there were is not. */
START_TEST(estimates_say_of_how_many_samples)
{
	struct profile *profile =
		profile_from_text("value alloc_space bytes\nstack c;f@a 100\nstack c;g@a 100\n");
	char *svg;

	ck_assert_int_eq(profile_add_count(profile, "complete", "whole stack", 1346, 0), 0);
	ck_assert_int_eq(profile_add_count(profile, PROFILE_SAMPLED_KEY, "sampled", 1346, 0), 0);
	svg = profile_must_render(profile, "svg");
	ck_assert_ptr_nonnull(strstr(svg, ">1,346 samples · alloc_space 200 B"));
	free(svg);
	profile_destroy(profile);
}
END_TEST

/* Whatever is profiled, the file stays one that opens at once; and it says so. */
START_TEST(a_huge_profile_gives_a_small_file)
{
	struct strbuf lines = {0};
	struct profile *profile;
	char *svg;

	strbuf_puts(&lines, "value cpu nanoseconds\n");
	for (unsigned i = 0; i < 40000; i++)
		strbuf_printf(&lines, "stack app;one_%u;two_%u;three_%u %u\n", i % 1000, i % 9000,
			      i, 1000 + i % 7);
	profile = profile_from_text(strbuf_text(&lines));
	svg = profile_must_render(profile, "svg");
	ck_assert_uint_lt(strlen(svg), 2000000);
	ck_assert_ptr_nonnull(strstr(svg, ">not drawn: "));
	free(svg);
	profile_destroy(profile);
	strbuf_deinit(&lines);
}
END_TEST

static Suite *svg_suite(void)
{
	Suite *suite = suite_create("format_svg");
	TCase *tc = tcase_create("svg");

	tcase_add_test(tc, golden_pictures);
	tcase_add_test(tc, style_and_scripts_are_inside);
	tcase_add_test(tc, nothing_foreign_becomes_markup);
	tcase_add_test(tc, every_name_of_bytes_is_harmless);
	tcase_add_test(tc, thin_boxes_are_told_in_the_foot);
	tcase_add_test(tc, figures_are_escaped);
	tcase_add_test(tc, every_count_is_told);
	tcase_add_loop_test(tc, boxes_do_not_overlap, 1, 50);
	tcase_add_test(tc, width_and_title_can_be_chosen);
	tcase_add_test(tc, palettes_are_chosen_by_name);
	tcase_add_test(tc, memory_has_colours_of_its_own);
	tcase_add_test(tc, estimates_say_of_how_many_samples);
	tcase_add_test(tc, a_huge_profile_gives_a_small_file);
	suite_add_tcase(suite, tc);
	return suite;
}

static char **render_words; /* FORMAT PALETTE FILE */

/* Check's assertions work within a test only, so this is one, without its words. */
START_TEST(render_to_stdout)
{
	struct format_options options = {.palette = render_words[1]};
	char *text = read_file(render_words[2]);
	struct profile *profile = profile_from_text(text);
	struct error error = {0};

	ck_assert_msg(
		!format_write(format_find(render_words[0]), profile, &options, stdout, &error),
		"%s", error.text);
	profile_destroy(profile);
	free(text);
}
END_TEST

static int render(char **words)
{
	Suite *suite = suite_create("render");
	TCase *tc = tcase_create("render");
	SRunner *runner;
	int failed;

	render_words = words;
	tcase_add_test(tc, render_to_stdout);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_SILENT);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "--render"))
		return render(argv + 2);
	return run_suite(svg_suite());
}
