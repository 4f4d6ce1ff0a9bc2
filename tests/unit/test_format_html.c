/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/profile_text.h"

/* Style and script are files of their own; a golden file shows the document. */
static void cut(char *text, const char *begin, const char *end)
{
	char *from = strstr(text, begin), *to;

	ck_assert_msg(from != NULL, "no %s", begin);
	from += strlen(begin);
	to = strstr(from, end);
	ck_assert_msg(to != NULL, "no %s", end);
	memmove(from, to, strlen(to) + 1);
}

static char *report_of(const char *lines)
{
	struct profile *profile = profile_from_text(lines);
	char *html = profile_must_render(profile, "html");

	cut(html, "<style>", "</style>");
	cut(html, "<script>", "</script>\n</body>\n</html>\n");
	profile_destroy(profile);
	return html;
}

static void check_golden(const char *golden)
{
	char *in = golden_read(golden, "in");
	char *html = report_of(in);

	golden_check(golden, html);
	free(html);
	free(in);
}

START_TEST(golden_reports)
{
	golden_each("html", check_golden);
}
END_TEST

static unsigned count_of(const char *text, const char *word)
{
	unsigned count = 0;

	for (; (text = strstr(text, word)); text += strlen(word))
		count++;
	return count;
}

/* In HTML a script ends at the first "</script", wherever that stands. */
START_TEST(one_script_and_nothing_from_elsewhere)
{
	char *in = golden_read("html_hostile", "in");
	struct profile *profile = profile_from_text(in);
	char *html = profile_must_render(profile, "html");

	ck_assert_uint_eq(count_of(html, "<script"), 1);
	ck_assert_uint_eq(count_of(html, "</script"), 1);
	ck_assert_uint_eq(count_of(html, "<!--"), 0);
	ck_assert_uint_eq(count_of(html, "</pre"), 2);
	ck_assert_uint_eq(count_of(html, "<link"), 0);
	ck_assert_uint_eq(count_of(html, "src="), 0);
	ck_assert_uint_eq(count_of(html, "https:"), 0);
	ck_assert_ptr_nonnull(strstr(html, "default-src 'none'"));
	for (const char *at = html; *at; at++)
		ck_assert_msg(*at == '\n' || *at == '\t' || (unsigned char)*at >= 0x20,
			      "control %02x", *at);
	free(html);
	free(in);
	profile_destroy(profile);
}
END_TEST

/* Sum of SELF and THIN of the lines behind "steps N"; *ret_steps: N. */
static uint64_t sum_of_times(const char *html, uint64_t *ret_steps)
{
	const char *at = strstr(html, "\nsteps ");
	uint64_t sum = 0;
	char *end;

	ck_assert_ptr_nonnull(at);
	*ret_steps = strtoull(at + strlen("\nsteps "), &end, 10);
	for (at = end; *at != '<' && *at != 'm'; at = end) {
		strtoull(at, &end, 10);
		if (end == at) {
			end++;
			continue;
		}
		while (*end == ',')
			sum += strtoull(end + 1, &end, 10);
	}
	return sum;
}

START_TEST(times_have_all_of_the_total)
{
	struct profile *profile = profile_from_seed((unsigned)_i);
	char *html = profile_must_render(profile, "html");
	uint64_t steps;

	ck_assert_uint_eq(sum_of_times(html, &steps), profile_total(profile, 1));
	ck_assert_uint_ge(steps, 1);
	ck_assert_uint_le(steps, 10);
	free(html);
	profile_destroy(profile);
}
END_TEST

/* A day in steps of 10 ms is shown in wider ones, and nothing of it is lost. */
START_TEST(a_long_time_has_wider_steps)
{
	struct strbuf lines = {0};
	struct profile *profile;
	uint64_t steps;
	char *html;

	strbuf_puts(&lines, "value cpu nanoseconds\nbucket 10000000\n");
	for (unsigned i = 0; i < 1000; i++)
		strbuf_printf(&lines, "of -1 %u\nstack app;f_%u %u\n", i * 8640, i % 7, i + 1);
	profile = profile_from_text(strbuf_text(&lines));
	html = profile_must_render(profile, "html");
	ck_assert_uint_eq(sum_of_times(html, &steps), 1000 * 1001 / 2);
	ck_assert_uint_le(steps, 6000);
	ck_assert_uint_gt(steps, 3000);
	free(html);
	profile_destroy(profile);
	strbuf_deinit(&lines);
}
END_TEST

START_TEST(no_time_axis_no_times)
{
	char *html = report_of("value cpu nanoseconds\nstack app;f 1\n");

	ck_assert_ptr_nonnull(strstr(html, "<pre id=\"times\" hidden>\n</pre>"));
	free(html);
}
END_TEST

/* The thin boxes of a picture are all in the report, which has room. */
START_TEST(thin_boxes_are_kept)
{
	char *html = report_of("value cpu nanoseconds\nstack app;big 1000000\nstack app;thin 2\n");

	ck_assert_ptr_nonnull(strstr(html, " thin\n"));
	ck_assert_ptr_null(strstr(html, "not drawn"));
	free(html);
}
END_TEST

static Suite *html_suite(void)
{
	Suite *suite = suite_create("format_html");
	TCase *tc = tcase_create("html");

	tcase_add_test(tc, golden_reports);
	tcase_add_test(tc, one_script_and_nothing_from_elsewhere);
	tcase_add_loop_test(tc, times_have_all_of_the_total, 1, 50);
	tcase_add_test(tc, a_long_time_has_wider_steps);
	tcase_add_test(tc, no_time_axis_no_times);
	tcase_add_test(tc, thin_boxes_are_kept);
	suite_add_tcase(suite, tc);
	return suite;
}

int main(void)
{
	return run_suite(html_suite());
}
