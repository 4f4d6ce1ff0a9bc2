/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/call_filter.h"

#include <errno.h>

static int allow(scmp_filter_ctx filter, const struct call_rule *rule)
{
	if (!rule->mask)
		return seccomp_rule_add(filter, SCMP_ACT_ALLOW, rule->call, 0);
	return seccomp_rule_add(
		filter, SCMP_ACT_ALLOW, rule->call, 1,
		SCMP_CMP(rule->argument, SCMP_CMP_MASKED_EQ, rule->mask, rule->value));
}

int call_filter_enter(const struct call_rules *tables, size_t count)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = filter ? 0 : -ENOMEM;

	if (!r)
		r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; !r && j < tables[i].count; j++)
			r = allow(filter, &tables[i].rules[j]);
	if (!r)
		r = seccomp_load(filter);
	if (filter)
		seccomp_release(filter);
	return r;
}
