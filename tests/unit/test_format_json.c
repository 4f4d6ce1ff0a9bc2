/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <jansson.h>

#include "tests/unit/profile_text.h"

static void check_golden(const char *golden)
{
	char *in = golden_read(golden, "in");
	struct profile *profile = profile_from_text(in);
	char *text = profile_must_render(profile, "json");

	golden_check(golden, text);
	free(text);
	free(in);
	profile_destroy(profile);
}

START_TEST(golden_documents)
{
	golden_each("json", check_golden);
}
END_TEST

static json_t *document_of(const struct profile *profile)
{
	char *text = profile_must_render(profile, "json");
	json_error_t error;
	json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);

	ck_assert_msg(root != NULL, "line %d: %s", error.line, error.text);
	free(text);
	return root;
}

START_TEST(any_profile_gives_json)
{
	struct profile *profile = profile_from_seed((unsigned)_i);
	json_t *root = document_of(profile);

	ck_assert_str_eq(json_string_value(json_object_get(root, "schema")), "perfd.report/1");
	ck_assert_int_eq(json_integer_value(json_object_get(root, "total")),
			 (json_int_t)profile_total(profile, 1));
	ck_assert_uint_eq(json_array_size(json_object_get(root, "functions")),
			  (size_t)json_integer_value(json_object_get(root, "functions_total")));
	json_decref(root);
	profile_destroy(profile);
}
END_TEST

START_TEST(processes_have_their_sums)
{
	struct profile *profile = profile_from_text("value samples count\nvalue cpu nanoseconds\n"
						    "default 1\nprocess 7 1 a 0 500\n"
						    "process 8 7 b 300 0\nprocess 9 7 idle\n"
						    "of 0 0\nstack a;f 2 20\nstack a;g 3 30\n"
						    "of 1 0\nstack b;f 5 18446744073709551615\n"
						    "of -1 0\nstack c;f 1 1\n");
	json_t *root = document_of(profile);
	json_t *processes = json_object_get(root, "processes");
	json_t *a = json_array_get(processes, 0), *b = json_array_get(processes, 1);
	json_t *idle = json_array_get(processes, 2);

	ck_assert_uint_eq(json_array_size(processes), 3);
	ck_assert_int_eq(json_integer_value(json_object_get(a, "samples")), 5);
	ck_assert_int_eq(json_integer_value(json_object_get(a, "weight")), 50);
	ck_assert(json_is_null(json_object_get(a, "start_ns")));
	ck_assert_int_eq(json_integer_value(json_object_get(a, "end_ns")), 500);
	ck_assert_int_eq(json_integer_value(json_object_get(b, "weight")), INT64_MAX);
	ck_assert(json_is_null(json_object_get(b, "end_ns")));
	ck_assert_int_eq(json_integer_value(json_object_get(idle, "samples")), 0);
	ck_assert_int_eq(json_integer_value(json_object_get(root, "samples")), 11);
	json_decref(root);
	profile_destroy(profile);
}
END_TEST

static Suite *json_suite(void)
{
	Suite *suite = suite_create("format_json");
	TCase *tc = tcase_create("json");

	tcase_add_test(tc, golden_documents);
	tcase_add_loop_test(tc, any_profile_gives_json, 1, 30);
	tcase_add_test(tc, processes_have_their_sums);
	suite_add_tcase(suite, tc);
	return suite;
}

int main(void)
{
	return run_suite(json_suite());
}
