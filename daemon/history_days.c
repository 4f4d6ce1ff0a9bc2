/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/history_days.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/base/clock.h"

void history_day_of(uint64_t time_ns, char day[HISTORY_DAY_MAX])
{
	time_t seconds = (time_t)(time_ns / NSEC_PER_SEC);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(day, HISTORY_DAY_MAX, "%Y-%m-%d", &tm);
}

static bool is_day(const char *name)
{
	static const char like[] = "dddd-dd-dd" HISTORY_DAY_SUFFIX;

	if (strlen(name) != sizeof(like) - 1)
		return false;
	for (size_t i = 0; name[i]; i++) {
		bool digit = name[i] >= '0' && name[i] <= '9';

		if (like[i] == 'd' && i < 10 ? !digit : name[i] != like[i])
			return false;
	}
	return true;
}

static int compare_days(const void *a, const void *b)
{
	return strcmp(a, b);
}

int history_days_list(const char *path, struct history_days *days)
{
	DIR *folder = opendir(path);
	const struct dirent *entry;
	int r = 0;

	if (!folder)
		return -errno;
	while (!r && (entry = readdir(folder))) {
		struct history_day_name name;

		if (!is_day(entry->d_name))
			continue;
		snprintf(name.text, sizeof(name.text), "%.10s", entry->d_name);
		r = vec_push(&days->names, name);
	}
	closedir(folder);
	if (days->names.count)
		qsort(days->names.items, days->names.count, sizeof(*days->names.items),
		      compare_days);
	return r;
}

uint64_t history_days_first(const struct history_days *days)
{
	struct tm tm = {0};

	if (!days->names.count)
		return 0;
	strptime(days->names.items[0].text, "%Y-%m-%d", &tm);
	return (uint64_t)timegm(&tm) * NSEC_PER_SEC;
}

void history_days_deinit(struct history_days *days)
{
	vec_free(&days->names);
}
