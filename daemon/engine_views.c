/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The system-wide views: sessions of id 0 in slots of their own, as long as the settings have a
 * rate for them. A setting that is read again moves the rate of one that runs, opens one or ends
 * it; no sample is lost or counted twice by that.
 */
#include "daemon/engine_internal.h"

#include <errno.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"

struct view {
	uint32_t slot;
	const char *event; /* "": that of the config */
	const char *key; /* of its rate */
	bool needed; /* without it perfd does not start */
};

static const struct view views[] = {
	{ABI_SLOT_CPU, "", "cpu.frequency_hz", true},
	{ABI_SLOT_FAULTS, "faults", "memory.faults_hz", true},
	/* An older kernel has none: the rest is there. */
	{ABI_SLOT_MMAP, "mmap", "memory.mmap_hz", false},
	{ABI_SLOT_MUNMAP, "munmap", "memory.mmap_hz", false},
};
#define VIEWS (sizeof(views) / sizeof(views[0]))

static uint32_t rate_of(const struct config *config, const struct view *view)
{
	switch (view->slot) {
	case ABI_SLOT_CPU:
		return config->frequency_hz;
	case ABI_SLOT_FAULTS:
		return config->faults_hz;
	default:
		return config->mmap_hz;
	}
}

static int open_view(struct engine *engine, uint32_t slot, const char *event, uint32_t frequency_hz,
		     struct error *error)
{
	struct session_request request = {
		.frequency_hz = frequency_hz, .privileged = true, .title = "all processes"};
	struct session *session;
	int r;

	if (!frequency_hz)
		return 0;
	session = session_create(0, &request, engine->config.window_ns);
	if (!session || engine_make_timer(engine, session)) {
		r = error_set(error, -ENOMEM, "out of memory");
	} else {
		session->slot = slot;
		/* The views' windows end together: one question for names, one record of history.
		 */
		session->grid = engine->started;
		r = engine_parse_event(engine, event, &session->source, error);
	}
	if (!r)
		r = engine_open_events(engine, session, error);
	if (r)
		session_destroy(session);
	else
		engine_keep_view(engine, session);
	return r;
}

/* The kernel takes a second and more over the programs of a view when the machine is busy, and
 * tells of processes all the while: what is not read meanwhile has no room, and a program that
 * began then would stay unknown. */
static void keep_up(struct engine *engine)
{
	/* A recording waits. */
	if (engine->source->ops->wake_fd(engine->source) >= 0)
		engine->source->ops->drain(engine->source, false);
}

int engine_open_system_views(struct engine *engine, struct error *error)
{
	int r = 0;

	for (size_t i = 0; !r && i < VIEWS; i++) {
		r = open_view(engine, views[i].slot, views[i].event,
			      rate_of(&engine->config, &views[i]), error);
		keep_up(engine);
		if (!r || views[i].needed || r == -ENOMEM)
			continue;
		log_warning("no view of %s (%s): %s", views[i].event, views[i].key, error->text);
		r = 0;
	}
	if (!r && engine->config.heap_probes[0])
		r = open_view(engine, ABI_SLOT_HEAP, "heap", 1, error);
	keep_up(engine);
	return r;
}

static void follow(struct engine *engine, const struct view *view)
{
	struct session *session = engine->sessions[view->slot];
	uint32_t rate = rate_of(&engine->config, view);
	struct error error = {0};

	if (session && !rate) {
		engine_end_session(engine, session, SESSION_END_STOPPED);
	} else if (session && session->request.frequency_hz != rate) {
		session->request.frequency_hz = rate;
		rates_wish(engine, session);
	} else if (!session && open_view(engine, view->slot, view->event, rate, &error)) {
		log_error("%s = %u: no view: %s", view->key, rate, error.text);
	}
}

void engine_follow_views(struct engine *engine)
{
	/* A recording has the rates that it was made with. */
	if (engine->source->ops->wake_fd(engine->source) < 0)
		return;
	for (size_t i = 0; i < VIEWS; i++)
		follow(engine, &views[i]);
}

void engine_bury_views(struct engine *engine)
{
	size_t kept = 0;

	for (size_t i = 0; i < engine->ended.count; i++) {
		struct session *session = engine->ended.items[i];

		if (!session->id && session_folded(session) && !session->on_look &&
		    !session->on_profile)
			session_destroy(session);
		else
			engine->ended.items[kept++] = session;
	}
	engine->ended.count = kept;
}
