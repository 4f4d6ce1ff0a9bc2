/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/heap_rules.h"

#include <math.h>
#include <string.h>

#include "daemon/base/clock.h"

static bool is_same(const struct alloc_rule *a, const struct alloc_rule *b)
{
	return a->interval == b->interval && a->band == b->band && a->grant == b->grant;
}

static struct alloc_rule wanted(const struct heap_rules *rules)
{
	return rules->by_pattern ? rules->behaviour.rule
				 : (struct alloc_rule){.interval = rules->behaviour.usual};
}

/* Whether there is another one. */
static bool put(struct heap_rules *rules)
{
	struct alloc_rule rule = wanted(rules);

	if (is_same(&rule, heap_rules_present(rules)))
		return false;
	rules->rules[++rules->number % ABI_WEIGHT_RULES] = rule;
	return true;
}

void heap_rules_init(struct heap_rules *rules, uint64_t usual, bool by_pattern)
{
	*rules = (struct heap_rules){.by_pattern = by_pattern};
	alloc_behaviour_init(&rules->behaviour, usual);
	rules->rules[0] = wanted(rules);
}

void heap_rules_restart(struct heap_rules *rules)
{
	alloc_behaviour_init(&rules->behaviour, rules->behaviour.usual);
	rules->second = 0;
	if (put(rules))
		rules->changes++;
}

void heap_rules_set(struct heap_rules *rules, uint64_t usual, bool by_pattern)
{
	if (rules->behaviour.usual == usual && rules->by_pattern == by_pattern)
		return;
	rules->by_pattern = by_pattern;
	alloc_behaviour_set_usual(&rules->behaviour, usual);
	if (put(rules))
		rules->changes++;
}

const struct alloc_rule *heap_rules_present(const struct heap_rules *rules)
{
	return &rules->rules[rules->number % ABI_WEIGHT_RULES];
}

void heap_rules_saw(struct heap_rules *rules, double size, double bytes)
{
	rules->samples++;
	alloc_behaviour_add(&rules->behaviour, size, bytes);
}

double heap_rules_weigh(struct heap_rules *rules, uint32_t code, double size)
{
	uint32_t rule = (code - ABI_WEIGHT_RULE) / 2;
	bool coarse = rule < ABI_WEIGHT_RULES && ((code - ABI_WEIGHT_RULE) & 1);
	uint64_t interval = rule < ABI_WEIGHT_RULES ? rules->rules[rule].interval : 0;
	double bytes = size;

	if (interval)
		bytes = size / -expm1(-size / (double)(coarse ? abi_coarse(interval) : interval));
	rules->coarse += coarse;
	heap_rules_saw(rules, size, bytes);
	return bytes;
}

bool heap_rules_look(struct heap_rules *rules, uint64_t now, uint64_t looked_ns)
{
	uint64_t passed = now - rules->second, looked = looked_ns - rules->looked_ns;

	if (!rules->second) {
		rules->second = now;
		rules->looked_ns = looked_ns;
		return false;
	}
	/* Too early, or it was not looked at: what is there goes on. */
	if (passed < NSEC_PER_SEC || looked < NSEC_PER_SEC / 100)
		return false;
	rules->second += passed / NSEC_PER_SEC * NSEC_PER_SEC;
	rules->looked_ns = looked_ns;
	if (!alloc_behaviour_second(&rules->behaviour, (double)looked / NSEC_PER_SEC) ||
	    !rules->by_pattern)
		return false;
	rules->changes++;
	return put(rules);
}

void heap_rules_fill(const struct heap_rules *rules, struct abi_heap_target *target)
{
	const struct alloc_rule *rule = heap_rules_present(rules);

	target->interval = rule->interval;
	target->band = rule->band;
	target->grant = rule->grant;
	target->weight = (uint16_t)(ABI_WEIGHT_RULE + 2 * (rules->number % ABI_WEIGHT_RULES));
}
