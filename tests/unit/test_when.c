/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Moments as people write them; a zone with summer time.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "daemon/base/clock.h"
#include "daemon/when.h"
#include "tests/unit/suite.h"

#define NOW 1795780800 /* 2026-11-27T12:00:00Z, 13:00 in Berlin */
#define DAY 86400

static const struct {
	const char *text;
	double at; /* seconds */
} good[] = {
	{"now", NOW},
	{"2026-11-27T12:00:00Z", NOW},
	{"2026-11-27t12:00:00z", NOW},
	{"2026-11-27T12:00:00.25Z", NOW + 0.25},
	{"2026-11-27T13:00+01:00", NOW},
	{"2026-11-27T06:30-05:30", NOW},
	{"2026-11-27T13:00", NOW},
	{"2026-11-27 13:00:01", NOW + 1},
	{"2026-11-27", NOW - 13 * 3600},
	{"today", NOW - 13 * 3600},
	{"yesterday", NOW - 37 * 3600},
	{"13:00", NOW},
	{"03:10", NOW - 9 * 3600 - 50 * 60},
	{"13:00:01", NOW + 1 - DAY}, /* not yet today: yesterday's */
	{"-15m", NOW - 900},
	{"-1h30m", NOW - 5400},
	{"-1.5h", NOW - 5400},
	{"-500ms", NOW - 0.5},
	{"-2d", NOW - 2 * DAY},
	{"-1w", NOW - 7 * DAY},
	{"-9999w", 0},
	{"@1795780800", NOW},
	{"2026-07-01", 1782856800}, /* summer: two hours before UTC */
	{"2024-02-29", 1709161200},
};

static const char *const bad[] = {
	"",
	"soon",
	"-",
	"-15",
	"-15x",
	"15m",
	"3:10",
	"24:00",
	"12:60",
	"2026-13-01",
	"2026-02-30",
	"2026-11-31",
	"2026-1-1",
	"2026-11-27T",
	"2026-11-27T12:00:00+1",
	"2026-11-27T12:00Zx",
	"@",
	"@-1",
	"1969-12-31",
	"2300-01-01",
	"12:00:00.",
	"12:00:",
	"--15m",
	"-1h-",
	"@99999999999999",
};

static void set_zone(void)
{
	setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1); /* Berlin, without its file */
	tzset();
}

START_TEST(moments)
{
	struct error error;
	uint64_t at;

	ck_assert_msg(!when_parse(good[_i].text, (uint64_t)NOW * NSEC_PER_SEC, &error, &at), "%s",
		      error.text);
	ck_assert_msg(at / NSEC_PER_MSEC == (uint64_t)llround(good[_i].at * 1e3),
		      "%s: %.3f, not %.3f", good[_i].text, (double)at / 1e9, good[_i].at);
}
END_TEST

START_TEST(no_moments)
{
	struct error error = {0};
	uint64_t at = 42;

	ck_assert_msg(when_parse(bad[_i], (uint64_t)NOW * NSEC_PER_SEC, &error, &at) == -EINVAL,
		      "\"%s\" is taken", bad[_i]);
	ck_assert_uint_eq(at, 42);
	ck_assert(error.text[0]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("when");
	TCase *tc = tcase_create("when");

	tcase_add_checked_fixture(tc, set_zone, NULL);
	tcase_add_loop_test(tc, moments, 0, sizeof(good) / sizeof(good[0]));
	tcase_add_loop_test(tc, no_moments, 0, sizeof(bad) / sizeof(bad[0]));
	suite_add_tcase(suite, tc);
	return suite_main(suite);
}
