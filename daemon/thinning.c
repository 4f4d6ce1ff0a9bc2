/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/thinning.h"

#include <stdio.h>

#include "daemon/base/clock.h"
#include "daemon/engine_internal.h"

static const struct measure_kind thinning_kind = {.name = "thinning",
						  .group = "",
						  .unit = "firings",
						  .kind = SERIES_LEVEL,
						  .step_ns = NSEC_PER_SEC};

struct thinning thinning_judge(const struct config *config, bool forced)
{
	struct thinning none = {.one_in = 1};

	if (config->budget_thin <= 1)
		none.why = "budget.thin is 1";
	else if (!config->budget_permille)
		none.why = "there is no budget (budget.machine is 0)";
	else if (config->precision_permille)
		none.why = "budget.precision is set";
	else if (forced)
		none.why = "the rate is set by hand";
	else
		return (struct thinning){.one_in = config->budget_thin,
					 .why = "the budget goes further (budget.thin)"};
	return none;
}

static struct thinning judge(const struct engine *engine)
{
	return thinning_judge(&engine->config,
			      engine->rates.controller.streams[ABI_SLOT_CPU].forced > 0);
}

void thinning_note(struct engine *engine, uint64_t now)
{
	uint32_t one_in = engine->rates.thinning.one_in;
	struct session_measure measure = {
		.kind = &thinning_kind,
		.time = now,
		.point = {.low = one_in, .high = one_in, .value = one_in},
	};

	if (engine->sessions[ABI_SLOT_CPU])
		session_measure(engine->sessions[ABI_SLOT_CPU], &measure);
}

/* False: the source could not be told, which is tried again with the next look. */
static bool tell_source(struct engine *engine, const struct thinning *to)
{
	if (engine->source->ops->thin_busy(engine->source, ABI_SLOT_CPU, to->one_in))
		return false;
	engine->rates.thinning = *to;
	return true;
}

void thinning_open(struct engine *engine)
{
	struct thinning to = judge(engine);

	engine->rates.thinning = (struct thinning){.one_in = 1};
	if (to.one_in != 1)
		tell_source(engine, &to);
	thinning_note(engine, engine->sessions[ABI_SLOT_CPU]->opened);
}

static void put(char *text, size_t size, uint32_t one_in)
{
	if (one_in == 1)
		snprintf(text, size, "each");
	else
		snprintf(text, size, "one in %u", one_in);
}

void thinning_follow(struct engine *engine)
{
	struct session *session = engine->sessions[ABI_SLOT_CPU];
	const uint32_t before = engine->rates.thinning.one_in;
	struct thinning to = judge(engine);
	char was[32], is[32];

	if (!session || to.one_in == before || !tell_source(engine, &to))
		return;
	put(was, sizeof(was), before);
	put(is, sizeof(is), to.one_in);
	session_mark(session, "thinning", to.one_in,
		     "of firings on busy processes %s becomes a sample now, %s before: %s", is, was,
		     to.why);
	thinning_note(engine, clock_boot_ns());
}
