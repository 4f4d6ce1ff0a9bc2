/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/when.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/base/clock.h"

#define NSEC NSEC_PER_SEC
#define YEAR_MIN 1970
#define YEAR_MAX 2261 /* the last whole year in signed nanoseconds */

static const struct {
	const char *name;
	uint64_t ns;
} units[] = {
	{"ms", NSEC_PER_MSEC},   {"s", NSEC},
	{"m", 60 * NSEC},        {"h", 3600 * NSEC},
	{"d", 24 * 3600 * NSEC}, {"w", 7 * 24 * 3600 * NSEC},
};

/* Digits, exactly `count` of them; moves *at behind them. */
static bool digits(const char **at, int count, int *ret)
{
	int value = 0;

	for (int i = 0; i < count; i++) {
		if (!isdigit((unsigned char)(*at)[i]))
			return false;
		value = value * 10 + ((*at)[i] - '0');
	}
	*at += count;
	*ret = value;
	return true;
}

static bool skip(const char **at, char c)
{
	if (**at != c)
		return false;
	++*at;
	return true;
}

/* "1h30m", "15m", "1.5h": each number with its unit. */
static bool parse_ago(const char *at, uint64_t *ret)
{
	double sum = 0;

	if (!*at)
		return false;
	while (*at) {
		char *end;
		double value;
		size_t length, i;

		if (!isdigit((unsigned char)*at))
			return false;
		value = strtod(at, &end);
		length = strspn(end, "abcdefghijklmnopqrstuvwxyz");
		for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
			if (strlen(units[i].name) == length && !strncmp(units[i].name, end, length))
				break;
		if (i == sizeof(units) / sizeof(units[0]))
			return false;
		sum += value * (double)units[i].ns;
		at = end + length;
	}
	if (sum > 9e18)
		return false;
	*ret = (uint64_t)sum;
	return true;
}

/* "HH:MM[:SS[.fraction]]" */
static bool parse_clock(const char **at, struct tm *tm, uint64_t *ret_fraction)
{
	uint64_t unit = NSEC / 10;

	*ret_fraction = 0;
	if (!digits(at, 2, &tm->tm_hour) || !skip(at, ':') || !digits(at, 2, &tm->tm_min))
		return false;
	tm->tm_sec = 0;
	if (skip(at, ':') && !digits(at, 2, &tm->tm_sec))
		return false;
	if (skip(at, '.')) {
		if (!isdigit((unsigned char)**at))
			return false;
		for (; isdigit((unsigned char)**at); ++*at, unit /= 10)
			*ret_fraction += unit * (uint64_t)(**at - '0');
	}
	return tm->tm_hour < 24 && tm->tm_min < 60 && tm->tm_sec <= 60;
}

static bool parse_date(const char **at, struct tm *tm)
{
	int year, month;

	if (!digits(at, 4, &year) || !skip(at, '-') || !digits(at, 2, &month) || !skip(at, '-') ||
	    !digits(at, 2, &tm->tm_mday))
		return false;
	tm->tm_year = year - 1900;
	tm->tm_mon = month - 1;
	return year >= YEAR_MIN && year <= YEAR_MAX && month >= 1 && month <= 12 &&
	       tm->tm_mday >= 1 && tm->tm_mday <= 31;
}

/* "Z", "+01:00", or nothing: local. */
static bool parse_zone(const char **at, bool *ret_given, int *ret_minutes)
{
	int hours, minutes, sign = **at == '-' ? -1 : 1;

	*ret_given = **at != '\0';
	*ret_minutes = 0;
	if (!**at || skip(at, 'Z') || skip(at, 'z'))
		return true;
	if (!skip(at, '+') && !skip(at, '-'))
		return false;
	if (!digits(at, 2, &hours) || !skip(at, ':') || !digits(at, 2, &minutes) || hours > 23 ||
	    minutes > 59)
		return false;
	*ret_minutes = sign * (hours * 60 + minutes);
	return true;
}

static bool to_ns(time_t seconds, uint64_t fraction, uint64_t *ret)
{
	if (seconds < 0)
		return false;
	*ret = (uint64_t)seconds * NSEC + fraction;
	return true;
}

static bool parse_absolute(const char *at, uint64_t *ret)
{
	struct tm tm = {.tm_isdst = -1};
	uint64_t fraction = 0;
	bool zone = false;
	int minutes = 0, day;
	time_t seconds;

	if (!parse_date(&at, &tm))
		return false;
	if (*at && (strchr("Tt ", *at++) == NULL || !parse_clock(&at, &tm, &fraction) ||
		    !parse_zone(&at, &zone, &minutes)))
		return false;
	day = tm.tm_mday;
	seconds = zone ? timegm(&tm) - minutes * 60 : mktime(&tm);
	/* The 31st of a month that has 30 days became the 1st. */
	return !*at && tm.tm_mday == day && to_ns(seconds, fraction, ret);
}

/* A day that lies `days` before the present one, and a time of it. */
static bool local_day(uint64_t now_ns, int days, const struct tm *clock, uint64_t fraction,
		      uint64_t *ret)
{
	time_t now = (time_t)(now_ns / NSEC);
	struct tm tm;

	localtime_r(&now, &tm);
	tm.tm_mday -= days;
	tm.tm_hour = clock->tm_hour;
	tm.tm_min = clock->tm_min;
	tm.tm_sec = clock->tm_sec;
	tm.tm_isdst = -1;
	return to_ns(mktime(&tm), fraction, ret);
}

static bool parse_time_of_day(const char *at, uint64_t now_ns, uint64_t *ret)
{
	struct tm tm = {0};
	uint64_t fraction, when;

	if (!parse_clock(&at, &tm, &fraction) || *at || !local_day(now_ns, 0, &tm, fraction, &when))
		return false;
	if (when > now_ns && !local_day(now_ns, 1, &tm, fraction, &when))
		return false;
	*ret = when;
	return true;
}

static bool parse_seconds(const char *at, uint64_t *ret)
{
	char *end;
	unsigned long long seconds;

	if (!isdigit((unsigned char)*at))
		return false;
	errno = 0;
	seconds = strtoull(at, &end, 10);
	if (*end || errno || seconds > INT64_MAX / NSEC)
		return false;
	*ret = seconds * NSEC;
	return true;
}

static bool parse(const char *text, uint64_t now_ns, uint64_t *ret)
{
	struct tm midnight = {0};
	uint64_t ago;

	if (!strcmp(text, "now")) {
		*ret = now_ns;
		return true;
	}
	if (!strcmp(text, "today"))
		return local_day(now_ns, 0, &midnight, 0, ret);
	if (!strcmp(text, "yesterday"))
		return local_day(now_ns, 1, &midnight, 0, ret);
	if (*text == '@')
		return parse_seconds(text + 1, ret);
	if (*text == '-') {
		if (!parse_ago(text + 1, &ago))
			return false;
		*ret = ago < now_ns ? now_ns - ago : 0;
		return true;
	}
	return strlen(text) >= 3 && text[2] == ':' ? parse_time_of_day(text, now_ns, ret)
						   : parse_absolute(text, ret);
}

int when_parse(const char *text, uint64_t now_ns, struct error *error, uint64_t *ret)
{
	uint64_t when;

	if (!parse(text, now_ns, &when))
		return error_set(error, -EINVAL,
				 "\"%.80s\" is no time: expected something like 03:10, -15m, "
				 "yesterday, 2026-11-27 or 2026-11-27T03:10:00Z",
				 text);
	*ret = when;
	return 0;
}
