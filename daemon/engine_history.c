/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The engine and the history on disk: windows of the system-wide views go there as soon as
 * they are folded, and questions are answered with what was sampled until now.
 */
#include "daemon/engine_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/event_kind.h"

/* ---- keeping ---- */

static void keep_window(void *context, struct profile *profile)
{
	struct engine *engine = context;

	history_keep(engine->history, profile);
	engine->history_kept = true;
}

void engine_write_history(struct engine *engine)
{
	if (engine->history && engine->history_kept)
		history_write(engine->history);
	engine->history_kept = false;
}

static struct history_store_options options_of(const struct config *config)
{
	return (struct history_store_options){
		.folder = config->history_dir,
		.limit = config->history_bytes,
		.keep_ns = config->history_age_ns,
		.ages = {.ten_seconds_ns = HISTORY_TEN_SECONDS_AGE_NS,
			 .minute_ns = config->history_minutes_after_ns,
			 .hour_ns = config->history_hours_after_ns},
	};
}

void engine_limit_history(struct engine *engine)
{
	const struct history_store_options options = options_of(&engine->config);

	/* No history at all is for the next start: nobody means what is there to go at once. */
	if (engine->history && options.limit)
		history_limit(engine->history, &options);
}

void engine_open_history(struct engine *engine)
{
	const struct config *config = &engine->config;
	const struct history_store_options options = options_of(config);
	struct error error = {0};

	if (!config->history_dir[0] || !config->history_bytes)
		return;
	/* Without it all goes on, with what there is in memory. */
	if (history_create(&options, &error, &engine->history)) {
		log_warning("there will be no history on disk: %s", error.text);
		return;
	}
	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++)
		if (engine->sessions[slot] && !engine->sessions[slot]->id)
			engine_keep_view(engine, engine->sessions[slot]);
}

void engine_keep_view(struct engine *engine, struct session *session)
{
	session->keep = engine->history ? keep_window : NULL;
	session->keep_context = engine;
}

/* True when no window of a view waits for names; at the deadline none does. */
static bool fold_views(struct engine *engine, uint64_t deadline)
{
	bool folded = true;

	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++) {
		struct session *session = engine->sessions[slot];

		if (!session || session->id)
			continue;
		engine_fold_by(engine, session, deadline);
		folded = folded && session_folded(session);
	}
	for (size_t i = 0; i < engine->ended.count; i++) {
		struct session *session = engine->ended.items[i];

		if (session->id)
			continue;
		engine_fold_by(engine, session, deadline);
		folded = folded && session_folded(session);
	}
	return folded;
}

static void roll_views(struct engine *engine)
{
	engine_drain(engine, true);
	watch_look(&engine->watch, engine, NULL);
	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++)
		if (engine->sessions[slot] && !engine->sessions[slot]->id)
			session_roll(engine->sessions[slot], UINT64_MAX, true);
	resolver_flush_late(&engine->resolver);
}

void engine_close_history(struct engine *engine)
{
	if (!engine->history)
		return;
	roll_views(engine);
	fold_views(engine, 0);
	history_destroy(engine->history);
	engine->history = NULL;
}

/* ---- asking ---- */

/* Waits for names of what was sampled last, then for the history. */
struct question {
	struct engine *engine;
	struct history_query query;
	history_list_fn *list; /* NULL: a profile */
	engine_rows_fn *on_rows;
	session_profile_fn *on_profile;
	void *context;
	uint64_t deadline; /* boot time, ns */
	struct event *timer;
	struct question *next;
};

static void forget_question(struct question *question)
{
	struct question **at = &question->engine->questions;

	while (*at && *at != question)
		at = &(*at)->next;
	if (*at)
		*at = question->next;
	event_free(question->timer);
	free(question);
}

static void fail(struct question *question, const struct error *error)
{
	if (question->on_rows)
		question->on_rows(question->context, error, NULL);
	else
		question->on_profile(question->context, error, NULL);
	forget_question(question);
}

/* What is kept says nothing of that time. */
static void explain_nothing(const struct question *question, struct error *error)
{
	const struct engine *engine = question->engine;
	const struct event_kind *kind = event_kind_find(
		question->query.event[0] ? question->query.event : engine->config.event);
	char why[128];
	struct history_stats stats;

	if (kind)
		event_kind_explain(kind, why, sizeof(why));
	history_get_stats(engine->history, &stats);
	if (kind && !engine->sessions[kind->view])
		error_set(error, -ENODATA,
			  "nothing is kept of that time, and there is no system-wide view of %s: "
			  "%s",
			  kind->name, why);
	else if (kind && engine->sessions[kind->view]->source != kind->source)
		error_set(error, -ENODATA,
			  "nothing is kept of that time, and the system-wide view is of %s, not of "
			  "%s (cpu.event)",
			  event_kind_of(engine->sessions[kind->view]->source)->name, kind->name);
	else if (history_query_has_filter(&question->query))
		error_set(
			error, -ENODATA,
			"nothing of that name ran in that time: `perfctl services` lists who did");
	else
		error_set(error, -ENODATA,
			  "nothing is kept of that time: there are %u days in %s (`perfctl "
			  "windows` lists what there is)",
			  (unsigned)stats.store.days, engine->config.history_dir);
}

static void on_profile(void *context, const struct error *error, struct profile *profile)
{
	struct question *question = context;
	struct error none = {0};

	if (profile && !profile->samples.count && !profile->series.count) {
		explain_nothing(question, &none);
		profile_destroy(profile);
		fail(question, &none);
		return;
	}
	if (profile)
		profile->title = profile_string(profile, "all processes");
	question->on_profile(question->context, error, profile);
	forget_question(question);
}

static void on_rows(void *context, const struct error *error, json_t *rows)
{
	struct question *question = context;

	question->on_rows(question->context, error, rows);
	forget_question(question);
}

static void on_question_timer(evutil_socket_t fd, short what, void *context)
{
	struct question *question = context;
	struct engine *engine = question->engine;
	struct error error = {0};
	int r;

	(void)fd;
	(void)what;
	if (!fold_views(engine, question->deadline)) {
		struct timeval soon = {.tv_usec = COLLECT_POLL_US};

		evtimer_add(question->timer, &soon);
		return;
	}
	r = question->list ? history_ask_list(engine->history, &question->query, question->list,
					      on_rows, question)
			   : history_ask(engine->history, &question->query, on_profile, question);
	if (!r)
		return;
	error_set(&error, r, "%s",
		  r == -EAGAIN ? "too many questions to the history at once; try again"
			       : "no memory for the question");
	fail(question, &error);
}

static int ask(struct engine *engine, const struct question *like, struct error *error)
{
	struct question *question = malloc(sizeof(*question));

	if (!question)
		return error_set(error, -ENOMEM, "no memory for the question");
	*question = *like;
	question->engine = engine;
	question->deadline = clock_boot_ns() + COLLECT_DEADLINE_NS;
	question->timer = evtimer_new(engine->base, on_question_timer, question);
	if (!question->timer) {
		free(question);
		return error_set(error, -ENOMEM, "no memory for the question");
	}
	question->next = engine->questions;
	engine->questions = question;
	roll_views(engine);
	event_active(question->timer, EV_TIMEOUT, 0);
	return 0;
}

bool engine_has_history(const struct engine *engine)
{
	return engine->history;
}

static int need_history(const struct engine *engine, struct error *error)
{
	return engine->history
		       ? 0
		       : error_set(
				 error, -ENOTSUP,
				 "this perfd keeps no history on disk (history.dir): only --last, "
				 "--since and --until within history.keep, without filters");
}

int engine_history(struct engine *engine, const struct history_query *query,
		   session_profile_fn *done, void *context, struct error *error)
{
	struct question question = {.query = *query, .on_profile = done, .context = context};
	enum abi_source source;
	int r = need_history(engine, error);

	if (!r && query->event[0] && strcmp(query->event, "cpu") != 0)
		r = engine_parse_event(engine, query->event, &source, error);
	return r ? r : ask(engine, &question, error);
}

int engine_history_list(struct engine *engine, const struct history_query *query, const char *what,
			engine_rows_fn *done, void *context, struct error *error)
{
	struct question question = {.query = *query, .on_rows = done, .context = context};
	int r = need_history(engine, error);

	if (!strcmp(what, "windows"))
		question.list = history_list_windows;
	else if (!strcmp(what, "services"))
		question.list = history_list_services;
	else
		r = error_set(error, -EINVAL, "there is no list \"%s\": windows and services are",
			      what);
	return r ? r : ask(engine, &question, error);
}

void engine_forget_questions(struct engine *engine)
{
	while (engine->questions)
		forget_question(engine->questions);
}
