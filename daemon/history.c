/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/history.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/history_question.h"

#define TIDY_NS (10 * NSEC_PER_SEC) /* how often, if nothing is known to be due */
#define RETRY_NS NSEC_PER_SEC /* after a window could not be written */
#define END_PATIENCE_NS (2 * NSEC_PER_SEC)
#define TOGETHER_MAX 48 /* windows in a transaction: those of some ten seconds */
#define GATHER_NS (10 * NSEC_PER_SEC) /* they wait so long, in the journal, for one another */

struct history {
	struct history_store store; /* the thread's, once that runs */
	int ready; /* eventfd: an answer is there */
	pthread_t thread;

	pthread_mutex_t mutex; /* over all below */
	pthread_cond_t work;
	VEC(struct profile *) waiting; /* windows, oldest first; taken off by the thread only */
	struct history_questions asked, answered;
	struct history_question *under_way;
	uint32_t questions; /* of all three */
	struct history_stats stats;
	uint64_t end_by; /* boot time; 0: go on */
	struct history_store_options limits; /* but for the folder; from the next tidying on */

	/* the thread's */
	uint64_t tidy_at, retry_at; /* boot time */
	uint64_t write_at; /* likewise: for what is in the journal; 0: nothing is */
	size_t noted; /* the oldest of `waiting` that are in it; under the mutex */
	uint64_t gap_start_ns, gap_end_ns; /* CLOCK_REALTIME: windows dropped, not yet told */
};

/* ---- the thread ---- */

/* Trouble is said once, and so is its end. */
static void note_trouble(struct history *history, int r, const char *text)
{
	char *trouble = history->stats.trouble;

	pthread_mutex_lock(&history->mutex);
	if (r && !trouble[0])
		log_error("history: windows wait to be written: %s", text);
	if (!r && trouble[0])
		log_info("history: windows are written again");
	snprintf(trouble, sizeof(history->stats.trouble), "%.255s", r ? text : "");
	pthread_mutex_unlock(&history->mutex);
}

/* The oldest windows that wait, without the mutex afterwards; how many. They stay in the queue, so
 * that a question meanwhile finds them. */
static size_t oldest(struct history *history, struct profile **into, size_t max)
{
	size_t count;

	pthread_mutex_lock(&history->mutex);
	count = history->waiting.count < max ? history->waiting.count : max;
	for (size_t i = 0; i < count; i++)
		into[i] = history->waiting.items[i];
	pthread_mutex_unlock(&history->mutex);
	return count;
}

static struct profile *take_oldest(struct history *history)
{
	struct profile *profile;

	pthread_mutex_lock(&history->mutex);
	profile = history->waiting.items[0];
	history->waiting.count--;
	history->noted -= history->noted > 0;
	memmove(history->waiting.items, history->waiting.items + 1,
		history->waiting.count * sizeof(*history->waiting.items));
	pthread_mutex_unlock(&history->mutex);
	return profile;
}

/* The journal has nothing more to say: all is in a database, or no disk will have it now. */
static void settle(struct history *history)
{
	history_store_settle(&history->store);
	pthread_mutex_lock(&history->mutex);
	history->noted = 0;
	pthread_mutex_unlock(&history->mutex);
	history->write_at = 0;
}

/* Windows that were given up leave a gap, which is told once something can be. */
static void tell_gap(struct history *history)
{
	if (history->gap_end_ns &&
	    !history_store_gap(&history->store, history->gap_start_ns, history->gap_end_ns,
			       "could not be written", NULL))
		history->gap_end_ns = 0;
}

static void write_waiting(struct history *history)
{
	struct profile *profiles[TOGETHER_MAX];
	struct error error = {0};
	size_t count, written = 0;

	while ((count = oldest(history, profiles, TOGETHER_MAX))) {
		int r = history_store_put(&history->store, profiles, count, &error, &written);

		/* What there is not room for all of may have some for one. */
		if (r && count > 1)
			r = history_store_put(&history->store, profiles, 1, &error, &written);
		if (r) {
			settle(history);
			history->retry_at = clock_boot_ns() + RETRY_NS;
			note_trouble(history, r, error.text);
			return;
		}
		while (written--)
			profile_destroy(take_oldest(history));
		tell_gap(history);
	}
	settle(history);
	history->retry_at = 0;
	note_trouble(history, 0, "");
}

/* False: those that came are to be written now, for somebody wants to know them, there are enough
 * of them, or they cannot wait in the journal. */
static bool gather(struct history *history)
{
	struct profile *profiles[TOGETHER_MAX];
	uint64_t now = clock_boot_ns();
	size_t count = oldest(history, profiles, TOGETHER_MAX), noted;
	bool asked;

	pthread_mutex_lock(&history->mutex);
	noted = history->noted;
	asked = history->asked.first;
	pthread_mutex_unlock(&history->mutex);
	if (asked || history->retry_at || count == TOGETHER_MAX ||
	    (history->write_at && now >= history->write_at))
		return false;
	if (count <= noted)
		return true;
	if (history_store_note(&history->store, profiles + noted, count - noted))
		return false;
	pthread_mutex_lock(&history->mutex);
	history->noted = count;
	pthread_mutex_unlock(&history->mutex);
	if (!history->write_at)
		history->write_at = now + GATHER_NS;
	return true;
}

static void drop_surplus(struct history *history)
{
	for (;;) {
		struct profile *profile;
		bool surplus;

		pthread_mutex_lock(&history->mutex);
		surplus = history->waiting.count > HISTORY_WAITING_MAX;
		history->stats.dropped += surplus;
		pthread_mutex_unlock(&history->mutex);
		if (!surplus)
			return;
		profile = take_oldest(history);
		if (!history->gap_end_ns)
			history->gap_start_ns = profile->start_ns;
		history->gap_end_ns = profile->start_ns + profile->duration_ns;
		profile_destroy(profile);
	}
}

static int add_waiting(struct history *history, struct history_reader *reader, struct error *error)
{
	int r = 0;

	/* Only this thread takes windows off; new ones may move the array. */
	for (size_t i = 0; !r; i++) {
		struct profile *profile;

		pthread_mutex_lock(&history->mutex);
		profile = i < history->waiting.count ? history->waiting.items[i] : NULL;
		pthread_mutex_unlock(&history->mutex);
		if (!profile)
			break;
		r = history_reader_add_profile(reader, profile, error);
	}
	return r;
}

static void answer_profile(struct history *history, struct history_question *question)
{
	struct history_reader reader;
	int r = history_reader_init(&reader, &question->query);

	if (r) {
		error_set(&question->error, r, "history: no memory for the answer");
		return;
	}
	r = history_store_read(&history->store, &reader, &question->error);
	if (!r)
		r = add_waiting(history, &reader, &question->error);
	if (!r) {
		question->profile = history_reader_finish(&reader);
		if (!question->profile)
			error_set(&question->error, -ENOMEM, "history: no memory for the answer");
	}
	history_reader_deinit(&reader);
}

/* Whole seconds, as windows have them at the least. */
static uint64_t step_of(const struct history_query *query)
{
	uint64_t now = clock_real_ns(), until = query->until_ns < now ? query->until_ns : now;
	uint64_t time = until > query->since_ns ? until - query->since_ns : 0;

	return (time / query->steps / NSEC_PER_SEC + 1) * NSEC_PER_SEC;
}

static void answer(struct history *history, struct history_question *question)
{
	uint64_t oldest_ns = history_store_oldest(&history->store);

	if (question->query.since_ns < oldest_ns)
		question->query.since_ns = oldest_ns;
	if (question->query.until_ns > INT64_MAX)
		question->query.until_ns = INT64_MAX; /* what a database can say */
	if (question->query.steps)
		question->query.step_ns = step_of(&question->query);
	question->error = (struct error){0};
	/* Lists are of what is in the databases. It may have been asked after we had looked whether
	 * what is kept can wait in the journal. */
	if (question->list && clock_boot_ns() >= history->retry_at)
		write_waiting(history);
	if (question->list)
		history_store_list(&history->store, &question->query, question->list,
				   &question->error, &question->rows);
	else
		answer_profile(history, question);
	/* A text about what was passed over is no failure. */
	if (question->profile || question->rows)
		question->error = (struct error){0};
}

static void answer_all(struct history *history)
{
	const uint64_t one = 1;

	for (;;) {
		struct history_question *question;

		pthread_mutex_lock(&history->mutex);
		question = history->under_way = history_question_pop(&history->asked);
		pthread_mutex_unlock(&history->mutex);
		if (!question)
			return;
		answer(history, question);
		pthread_mutex_lock(&history->mutex);
		history->under_way = NULL;
		history_question_push(&history->answered, question);
		pthread_mutex_unlock(&history->mutex);
		/* A counter that is full is readable already. */
		if (write(history->ready, &one, sizeof(one)) < 0 && errno != EAGAIN)
			return;
	}
}

static void tidy(struct history *history)
{
	struct error error = {0};
	bool more = false;

	if (clock_boot_ns() < history->tidy_at)
		return;
	pthread_mutex_lock(&history->mutex);
	history->store.options.limit = history->limits.limit;
	history->store.options.keep_ns = history->limits.keep_ns;
	history->store.options.ages = history->limits.ages;
	pthread_mutex_unlock(&history->mutex);
	if (history_store_tidy(&history->store, clock_real_ns(), &error, &more))
		log_warning("history: %s", error.text);
	history->tidy_at = more ? 0 : clock_boot_ns() + TIDY_NS;
}

static void copy_stats(struct history *history)
{
	pthread_mutex_lock(&history->mutex);
	history->stats.store = history->store.stats;
	pthread_mutex_unlock(&history->mutex);
}

/* Waits for work, or for the next thing that is due. False at the end. */
static bool wait_for_work(struct history *history)
{
	bool go_on;

	pthread_mutex_lock(&history->mutex);
	for (;;) {
		uint64_t now = clock_boot_ns(), due = history->tidy_at;
		bool may_write = now >= history->retry_at || history->end_by;
		struct timespec until;

		if (history->retry_at && history->retry_at < due)
			due = history->retry_at;
		if (history->write_at && history->write_at < due)
			due = history->write_at;
		if (history->asked.first ||
		    (history->waiting.count > history->noted && may_write) || now >= due ||
		    history->end_by)
			break;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += (time_t)((due - now) / NSEC_PER_SEC);
		until.tv_nsec += (long)((due - now) % NSEC_PER_SEC);
		if (until.tv_nsec >= (long)NSEC_PER_SEC) {
			until.tv_sec++;
			until.tv_nsec -= (long)NSEC_PER_SEC;
		}
		pthread_cond_timedwait(&history->work, &history->mutex, &until);
	}
	go_on = !history->end_by;
	pthread_mutex_unlock(&history->mutex);
	return go_on;
}

static void *run(void *context)
{
	struct history *history = context;
	struct profile *profile;

	while (wait_for_work(history)) {
		if (clock_boot_ns() >= history->retry_at && !gather(history))
			write_waiting(history);
		copy_stats(history);
		drop_surplus(history);
		answer_all(history);
		tidy(history);
		copy_stats(history);
	}
	while (oldest(history, &profile, 1) && clock_boot_ns() < history->end_by) {
		write_waiting(history);
		if (history->retry_at)
			break; /* what cannot be written now cannot wait any longer */
	}
	return NULL;
}

/* ---- the event loop's side ---- */

/* Signals are the event loop's. */
static int start_thread(struct history *history)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&history->thread, NULL, run, history);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

static void init_locks(struct history *history)
{
	pthread_condattr_t attributes;

	pthread_mutex_init(&history->mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&history->work, &attributes);
	pthread_condattr_destroy(&attributes);
}

static void history_free(struct history *history)
{
	struct history_question *question;

	for (size_t i = 0; i < history->waiting.count; i++)
		profile_destroy(history->waiting.items[i]);
	vec_free(&history->waiting);
	while ((question = history_question_pop(&history->asked)))
		history_question_free(question);
	while ((question = history_question_pop(&history->answered)))
		history_question_free(question);
	if (history->ready >= 0)
		close(history->ready);
	history_store_close(&history->store);
	pthread_cond_destroy(&history->work);
	pthread_mutex_destroy(&history->mutex);
	free(history);
}

static void on_recovered(void *context, struct profile *profile)
{
	struct history *history = context;

	if (vec_push(&history->waiting, profile))
		profile_destroy(profile);
	else
		history->noted = history->waiting.count;
}

int history_create(const struct history_store_options *options, struct error *error,
		   struct history **ret)
{
	struct history *history = calloc(1, sizeof(*history));
	int r;

	if (!history)
		return error_set(error, -ENOMEM, "out of memory");
	r = history_store_open(&history->store, options, error);
	if (r) {
		free(history);
		return r;
	}
	history_store_recover(&history->store, on_recovered, history);
	history->write_at = 1; /* at once */
	init_locks(history);
	history->stats.store = history->store.stats;
	history->limits = *options;
	history->ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = history->ready < 0 ? -errno : start_thread(history);
	if (r < 0) {
		history_free(history);
		return error_set(error, r, "no thread for the history: %s", strerror(-r));
	}
	*ret = history;
	return 0;
}

void history_destroy(struct history *history)
{
	size_t left;

	if (!history)
		return;
	pthread_mutex_lock(&history->mutex);
	history->end_by = clock_boot_ns() + END_PATIENCE_NS;
	pthread_cond_signal(&history->work);
	pthread_mutex_unlock(&history->mutex);
	pthread_join(history->thread, NULL);
	left = history->waiting.count;
	if (left)
		log_error("history: %zu windows could not be written and are lost: %s", left,
			  history->stats.trouble);
	history_free(history);
}

void history_limit(struct history *history, const struct history_store_options *options)
{
	pthread_mutex_lock(&history->mutex);
	history->limits = *options;
	pthread_mutex_unlock(&history->mutex);
}

int history_fd(const struct history *history)
{
	return history->ready;
}

void history_dispatch(struct history *history)
{
	uint64_t count;

	if (read(history->ready, &count, sizeof(count)) < 0)
		return;
	for (;;) {
		struct history_question *question;

		pthread_mutex_lock(&history->mutex);
		question = history_question_pop(&history->answered);
		if (question)
			history->questions--;
		pthread_mutex_unlock(&history->mutex);
		if (!question)
			return;
		if (question->on_profile)
			question->on_profile(question->context, &question->error,
					     TAKE_PTR(question->profile));
		else if (question->on_rows)
			question->on_rows(question->context, &question->error,
					  TAKE_PTR(question->rows));
		history_question_free(question);
	}
}

void history_keep(struct history *history, struct profile *profile)
{
	pthread_mutex_lock(&history->mutex);
	if (vec_push(&history->waiting, profile)) {
		history->stats.dropped++;
		profile_destroy(profile);
	}
	pthread_mutex_unlock(&history->mutex);
}

void history_write(struct history *history)
{
	pthread_mutex_lock(&history->mutex);
	if (history->waiting.count)
		pthread_cond_signal(&history->work);
	pthread_mutex_unlock(&history->mutex);
}

static int ask(struct history *history, const struct history_question *like)
{
	struct history_question *question = malloc(sizeof(*question));
	bool refused;

	if (!question)
		return -ENOMEM;
	*question = *like;
	pthread_mutex_lock(&history->mutex);
	refused = history->questions >= HISTORY_QUESTIONS_MAX;
	if (!refused) {
		history->questions++;
		history->stats.questions++;
		history_question_push(&history->asked, question);
		pthread_cond_signal(&history->work);
	}
	pthread_mutex_unlock(&history->mutex);
	if (refused)
		free(question);
	return refused ? -EAGAIN : 0;
}

int history_ask(struct history *history, const struct history_query *query,
		history_profile_fn *done, void *context)
{
	return ask(history, &(struct history_question){
				    .query = *query, .on_profile = done, .context = context});
}

int history_ask_list(struct history *history, const struct history_query *query,
		     history_list_fn *list, history_rows_fn *done, void *context)
{
	return ask(history,
		   &(struct history_question){
			   .query = *query, .list = list, .on_rows = done, .context = context});
}

void history_forget(struct history *history, const void *context)
{
	pthread_mutex_lock(&history->mutex);
	history_questions_forget(&history->asked, context);
	history_questions_forget(&history->answered, context);
	if (history->under_way && history->under_way->context == context) {
		history->under_way->on_profile = NULL;
		history->under_way->on_rows = NULL;
	}
	pthread_mutex_unlock(&history->mutex);
}

void history_get_stats(struct history *history, struct history_stats *ret)
{
	pthread_mutex_lock(&history->mutex);
	*ret = history->stats;
	ret->waiting = history->waiting.count - history->noted;
	pthread_mutex_unlock(&history->mutex);
}
