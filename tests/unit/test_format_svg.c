/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * `test_format_svg --render FILE` prints the picture of a text (profile_text.h):
 * for the browser test, and for looking at it.
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

/* The browser test puts golden pictures and these files together. */
START_TEST(style_and_script_are_the_files)
{
	struct profile *profile = profile_from_text("value cpu bytes\nstack c;f 1\n");
	char *svg = profile_must_render(profile, "svg");
	char *script = read_file("flamegraph/svg_script.js");
	char *style = read_file("flamegraph/svg_style.css");

	ck_assert_ptr_nonnull(strstr(svg, script));
	ck_assert_ptr_nonnull(strstr(svg, style));
	ck_assert_ptr_null(strstr(script, "]]>"));
	ck_assert_ptr_null(strpbrk(style, "<&"));
	free(svg);
	free(script);
	free(style);
	profile_destroy(profile);
}
END_TEST

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
		ck_assert_uint_eq(count_of(svg, "<g class="), 3);
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
	ck_assert_ptr_nonnull(strstr(svg, "not drawn: 3 boxes too thin to see, together 50 ns"));
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
			       "stack app;other 90\n");

	ck_assert_ptr_nonnull(strstr(svg, "total 90 ns (&lt; 0.01 %)"));
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

/* Siblings lie side by side and within their parent, whatever the profile. */
START_TEST(boxes_do_not_overlap)
{
	struct profile *profile = profile_from_seed((unsigned)_i);
	char *svg = profile_must_render(profile, "svg");
	double end_of_row[64] = {0};
	const char *at = strstr(svg, "id=\"frames\"");

	while ((at = strstr(at, "<rect x="))) {
		double x, width;
		unsigned y;

		ck_assert_int_eq(
			sscanf(at, "<rect x=\"%lf%%\" y=\"%u\" width=\"%lf%%\"", &x, &y, &width),
			3);
		ck_assert_uint_lt(y / 17, 64);
		ck_assert(x >= end_of_row[y / 17] - 0.0002);
		end_of_row[y / 17] = x + width;
		ck_assert(end_of_row[y / 17] <= 100.0002);
		at++;
	}
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
	ck_assert_uint_eq(count_of(svg, "<g class="), 2);
	free(svg);
	profile_destroy(profile);
}
END_TEST

static Suite *svg_suite(void)
{
	Suite *suite = suite_create("format_svg");
	TCase *tc = tcase_create("svg");

	tcase_add_test(tc, golden_pictures);
	tcase_add_test(tc, style_and_script_are_the_files);
	tcase_add_test(tc, nothing_foreign_becomes_markup);
	tcase_add_test(tc, every_name_of_bytes_is_harmless);
	tcase_add_test(tc, thin_boxes_are_told_in_the_foot);
	tcase_add_test(tc, figures_are_escaped);
	tcase_add_test(tc, every_count_is_told);
	tcase_add_loop_test(tc, boxes_do_not_overlap, 1, 50);
	tcase_add_test(tc, width_and_title_can_be_chosen);
	suite_add_tcase(suite, tc);
	return suite;
}

/* Check's assertions work within a test only, so this is one, without its words. */
START_TEST(render_to_stdout)
{
	char *text = read_file(getenv("RENDER"));
	struct profile *profile = profile_from_text(text);
	struct error error = {0};

	ck_assert_msg(!format_write(format_find("svg"), profile, NULL, stdout, &error), "%s",
		      error.text);
	profile_destroy(profile);
	free(text);
}
END_TEST

static int render(const char *path)
{
	Suite *suite = suite_create("render");
	TCase *tc = tcase_create("render");
	SRunner *runner;
	int failed;

	setenv("RENDER", path, 1);
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
	if (argc == 3 && !strcmp(argv[1], "--render"))
		return render(argv[2]);
	return run_suite(svg_suite());
}
