/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/profile_wire.h"
#include "flamegraph/series.h"
#include "tests/unit/profile_text.h"

static void put(struct series *series, uint64_t at, uint64_t value)
{
	struct series_point point = {value, value, value};

	ck_assert_int_eq(series_put(series, at, &point), 0);
}

START_TEST(a_level_keeps_its_peak_and_an_amount_its_sum)
{
	struct series level = {.kind = SERIES_LEVEL, .step_ns = 10};
	struct series amount = {.kind = SERIES_AMOUNT, .step_ns = 10};

	for (uint64_t at = 30; at < 40; at += 3) {
		put(&level, at, at == 33 ? 100 : 5);
		put(&amount, at, 5);
	}
	ck_assert_uint_eq(level.points.count, 4);
	ck_assert_uint_eq(level.points.items[0].value, SERIES_UNKNOWN);
	ck_assert_uint_eq(level.points.items[3].value, 100);
	ck_assert_uint_eq(amount.points.items[3].value, 20);
	series_deinit(&level);
	series_deinit(&amount);
}
END_TEST

START_TEST(a_long_series_gets_wider_steps_and_keeps_all)
{
	struct series level = {.kind = SERIES_LEVEL, .step_ns = 1};
	struct series amount = {.kind = SERIES_AMOUNT, .step_ns = 1};
	uint64_t sum = 0, most = 0;

	for (uint64_t at = 0; at < 100000; at++) {
		put(&level, at, at == 77777 ? 9 : 1);
		put(&amount, at, 1);
	}
	ck_assert_uint_le(amount.points.count, SERIES_STEPS_MAX);
	ck_assert_uint_eq(amount.step_ns, 32);
	for (size_t i = 0; i < amount.points.count; i++) {
		sum += amount.points.items[i].value;
		if (level.points.items[i].value > most)
			most = level.points.items[i].value;
	}
	ck_assert_uint_eq(sum, 100000);
	ck_assert_uint_eq(most, 9);
	ck_assert_uint_eq(level.points.items[77777 / 32].value, 9);
	/* Whatever time a foreign profile names. */
	put(&level, UINT64_MAX, 3);
	ck_assert_uint_le(level.points.count, SERIES_STEPS_MAX);
	series_deinit(&level);
	series_deinit(&amount);
}
END_TEST

START_TEST(joining_commutes)
{
	for (unsigned kind = 0; kind < SERIES_KIND_COUNT; kind++) {
		struct series a = {.kind = kind, .step_ns = 10}, b = {.kind = kind, .step_ns = 30};
		struct series ab = {.kind = kind, .step_ns = 10},
			      ba = {.kind = kind, .step_ns = 10};
		unsigned seed = 7 + kind;

		for (unsigned i = 0; i < 200; i++) {
			put(&a, (uint64_t)rand_r(&seed) % 5000, (uint64_t)rand_r(&seed) % 9);
			put(&b, (uint64_t)rand_r(&seed) % 5000, (uint64_t)rand_r(&seed) % 9);
		}
		ck_assert(!series_join(&ab, &a, 0) && !series_join(&ab, &b, 0));
		ck_assert(!series_join(&ba, &b, 0) && !series_join(&ba, &a, 0));
		ck_assert_uint_eq(ab.step_ns, 30);
		ck_assert_uint_eq(ab.points.count, ba.points.count);
		for (size_t i = 0; i < ab.points.count; i++)
			ck_assert_uint_eq(ab.points.items[i].value, ba.points.items[i].value);
		series_deinit(&a);
		series_deinit(&b);
		series_deinit(&ab);
		series_deinit(&ba);
	}
}
END_TEST

START_TEST(nonsense_is_refused)
{
	struct series series = {.kind = SERIES_LEVEL};
	struct series_point point = {1, 1, 1};

	ck_assert_int_eq(series_put(&series, 0, &point), -EINVAL);
	series.step_ns = 1;
	point.value = SERIES_UNKNOWN;
	ck_assert_int_eq(series_put(&series, 0, &point), -EINVAL);
	ck_assert_uint_eq(series.points.count, 0);
	series_deinit(&series);
}
END_TEST

static const char two_kinds[] = "value cpu nanoseconds\nstart 1000\nduration 100\nbucket 10\n"
				"process 7 1 redis\nstack redis;main 5\n"
				"series rss anon bytes level 10 0 100 200 - 300\n"
				"series rss file bytes level 10 0 10 20 30~25~39\n"
				"mark 50 oom 1 out of memory\n";

START_TEST(a_profile_carries_them_over_the_wire)
{
	struct profile *profile = profile_from_text(two_kinds), *back = NULL;
	struct strbuf bytes = {0}, again = {0};
	struct error error = {0};

	ck_assert_int_eq(profile_encode(profile, &bytes), 0);
	ck_assert_msg(!profile_decode(bytes.data, bytes.length, &error, &back), "%s", error.text);
	ck_assert_uint_eq(back->series.count, 2);
	ck_assert_uint_eq(back->series.items[0].points.items[2].value, SERIES_UNKNOWN);
	ck_assert_uint_eq(back->series.items[1].points.items[2].low, 25);
	ck_assert_uint_eq(back->marks.count, 1);
	ck_assert_str_eq(profile_text(back, back->marks.items[0].text), "out of memory");
	ck_assert_int_eq(profile_encode(back, &again), 0);
	ck_assert_uint_eq(bytes.length, again.length);
	ck_assert_int_eq(memcmp(bytes.data, again.data, bytes.length), 0);
	profile_destroy(profile);
	profile_destroy(back);
	strbuf_deinit(&bytes);
	strbuf_deinit(&again);
}
END_TEST

/* The later profile's series and marks lie later on the axis of both. */
START_TEST(merging_lays_them_over_one_another)
{
	for (unsigned turn = 0; turn < 2; turn++) {
		struct profile *a = profile_from_text(two_kinds), *b = profile_from_text(two_kinds);
		struct profile *into = turn ? b : a, *from = turn ? a : b;
		const struct series *anon;
		uint64_t late = 0;

		b->start_ns += 40;
		ck_assert_int_eq(profile_merge(into, from), 0);
		ck_assert_uint_eq(into->series.count, 2);
		ck_assert_uint_eq(into->start_ns, 1000);
		anon = &into->series.items[0];
		ck_assert_uint_eq(anon->points.count, 8);
		ck_assert_uint_eq(anon->points.items[0].value, 100);
		ck_assert_uint_eq(anon->points.items[3].value, 300);
		ck_assert_uint_eq(anon->points.items[4].value, 100);
		ck_assert_uint_eq(anon->points.items[6].value, SERIES_UNKNOWN);
		ck_assert_uint_eq(anon->points.items[7].value, 300);
		ck_assert_uint_eq(into->marks.count, 2);
		for (size_t i = 0; i < 2; i++)
			late += into->marks.items[i].at_ns;
		ck_assert_uint_eq(late, 50 + 90);
		profile_destroy(a);
		profile_destroy(b);
	}
}
END_TEST

START_TEST(too_many_marks_are_counted)
{
	struct profile *a = profile_from_text(two_kinds), *b = profile_from_text(two_kinds);

	for (unsigned i = 0; i < PROFILE_MARKS_MAX - 2; i++)
		ck_assert_int_eq(profile_add_mark(a, i, "x", "y", 0), 0);
	b->start_ns += 40;
	ck_assert_int_eq(profile_merge(a, b), 0);
	ck_assert_uint_eq(a->marks.count, PROFILE_MARKS_MAX);
	ck_assert_uint_eq(a->counts.count, 0);
	ck_assert_int_eq(profile_merge(a, b), 0);
	ck_assert_uint_eq(a->marks.count, PROFILE_MARKS_MAX);
	ck_assert_uint_eq(a->counts.items[0].count, 1);
	profile_destroy(a);
	profile_destroy(b);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("series");
	TCase *tests = tcase_create("series");

	tcase_add_test(tests, a_level_keeps_its_peak_and_an_amount_its_sum);
	tcase_add_test(tests, a_long_series_gets_wider_steps_and_keeps_all);
	tcase_add_test(tests, joining_commutes);
	tcase_add_test(tests, nonsense_is_refused);
	tcase_add_test(tests, a_profile_carries_them_over_the_wire);
	tcase_add_test(tests, merging_lays_them_over_one_another);
	tcase_add_test(tests, too_many_marks_are_counted);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
