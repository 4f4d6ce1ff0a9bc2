/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/history_query.h"

#include <fnmatch.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/service.h"

bool history_filter_passes(const char *filter, const char *name)
{
	return !filter[0] || !fnmatch(filter, name, 0);
}

bool history_query_window(const struct history_query *query, uint64_t start_ns, uint64_t end_ns)
{
	uint64_t window = start_ns + (end_ns - start_ns) / 2, now = clock_real_ns();
	uint64_t until = query->until_ns < now ? query->until_ns : now, asked;

	if (window >= query->since_ns && window < query->until_ns)
		return true;
	asked = until > query->since_ns ? query->since_ns + (until - query->since_ns) / 2
					: query->since_ns;
	return asked >= start_ns && asked < end_ns;
}

bool history_query_event(const struct history_query *query, const char *event)
{
	if (!query->event[0] || !strcmp(query->event, "cpu"))
		return !strcmp(event, "cpu-clock") || !strcmp(event, "cycles");
	return !strcmp(query->event, event);
}

bool history_query_has_filter(const struct history_query *query)
{
	return query->pid || query->comm[0] || query->cgroup[0] || query->unit[0] ||
	       query->container[0];
}

bool history_query_service(const struct history_query *query, const char *comm, const char *cgroup)
{
	struct service service;

	if (!history_filter_passes(query->comm, comm) ||
	    !history_filter_passes(query->cgroup, cgroup))
		return false;
	if (!query->unit[0] && !query->container[0])
		return true;
	service_of_cgroup(cgroup, &service);
	return history_filter_passes(query->unit, service.unit) &&
	       history_filter_passes(query->container, service.container);
}
