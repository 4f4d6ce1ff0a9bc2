/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/table_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"

#define END_PATIENCE_NS NSEC_PER_SEC

struct job {
	struct job *next;
	struct table_key key;
	struct table_record record;
	int result;
	/* asked: */
	table_cache_fn *done; /* NULL: to be written */
	void *context;
	uint32_t tag;
	/* to be written: */
	size_t size;
	uint8_t bytes[];
};

struct job_queue {
	struct job *first, *last;
};

struct table_cache {
	struct table_store store; /* the thread's, once that runs */
	uint64_t builder;
	int ready; /* eventfd: something is done */
	pthread_t thread;
	bool warned; /* that something could not be written */
	uint64_t hits, misses, refused;

	pthread_mutex_t mutex; /* over all below */
	pthread_cond_t work;
	struct job_queue asked, writes, done;
	size_t waiting; /* bytes in `writes` */
	struct table_store_stats stats; /* the store's, after the last job */
	uint64_t end_by; /* boot time; 0: go on */
};

static void push(struct job_queue *queue, struct job *job)
{
	job->next = NULL;
	if (queue->last)
		queue->last->next = job;
	else
		queue->first = job;
	queue->last = job;
}

static struct job *pop(struct job_queue *queue)
{
	struct job *job = queue->first;

	if (!job)
		return NULL;
	queue->first = job->next;
	if (!queue->first)
		queue->last = NULL;
	return job;
}

static void job_free(struct job *job)
{
	unwind_table_deinit(&job->record.table);
	free(job);
}

static void drop_all(struct job_queue *queue)
{
	struct job *job;

	while ((job = pop(queue)))
		job_free(job);
}

/* ---- the thread ---- */

/* The next job, waited for; NULL at the end. The mutex is held. */
static struct job *next_job(struct table_cache *cache)
{
	struct job *job;

	for (;;) {
		if (cache->end_by && clock_boot_ns() >= cache->end_by)
			return NULL;
		job = cache->end_by ? NULL : pop(&cache->asked);
		if (job)
			return job;
		job = pop(&cache->writes);
		if (job)
			cache->waiting -= job->size;
		if (job || cache->end_by)
			return job;
		pthread_cond_wait(&cache->work, &cache->mutex);
	}
}

static void *run(void *context)
{
	struct table_cache *cache = context;
	const uint64_t one = 1;
	struct job *job;

	table_store_recover(&cache->store);
	pthread_mutex_lock(&cache->mutex);
	cache->stats = cache->store.stats;
	while ((job = next_job(cache))) {
		pthread_mutex_unlock(&cache->mutex);
		job->result = job->done ? table_store_get(&cache->store, &job->key, &job->record)
					: table_store_put(&cache->store, &job->key, &job->record,
							  job->bytes, job->size);
		pthread_mutex_lock(&cache->mutex);
		cache->stats = cache->store.stats;
		push(&cache->done, job);
		/* A counter that is full is readable already. */
		if (write(cache->ready, &one, sizeof(one)) < 0 && errno != EAGAIN)
			break;
	}
	pthread_mutex_unlock(&cache->mutex);
	return NULL;
}

/* Signals are the event loop's. */
static int start_thread(struct table_cache *cache)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&cache->thread, NULL, run, cache);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

/* ---- the event loop's side ---- */

static uint64_t nanoseconds(struct timespec time)
{
	return (uint64_t)time.tv_sec * NSEC_PER_SEC + (uint64_t)time.tv_nsec;
}

/* Another perfd may make other tables of the same file. That it is another one is
 * seen by itself: nobody has to remember to raise a number. */
static int identify(const char *program, uint64_t *ret)
{
	struct stat st;
	uint64_t what[4];

	if (stat(program, &st) < 0)
		return -errno;
	what[0] = UNWIND_TABLE_VERSION;
	what[1] = (uint64_t)st.st_size;
	what[2] = nanoseconds(st.st_mtim);
	what[3] = nanoseconds(st.st_ctim);
	*ret = XXH3_64bits(what, sizeof(what));
	return 0;
}

int table_cache_create(const char *folder, uint64_t limit, const char *program, struct error *error,
		       struct table_cache **ret)
{
	struct table_cache *cache = calloc(1, sizeof(*cache));
	int r;

	if (!cache)
		return error_set(error, -ENOMEM, "out of memory");
	r = identify(program, &cache->builder);
	if (r < 0)
		r = error_set(error, r, "%s: %s", program, strerror(-r));
	else
		r = table_store_open(&cache->store, folder, limit, error);
	if (r < 0) {
		free(cache);
		return r;
	}
	pthread_mutex_init(&cache->mutex, NULL);
	pthread_cond_init(&cache->work, NULL);
	cache->ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = cache->ready < 0 ? -errno : start_thread(cache);
	if (r < 0) {
		if (cache->ready >= 0)
			close(cache->ready);
		table_store_close(&cache->store);
		free(cache);
		return error_set(error, r, "no thread for the tables on disk: %s", strerror(-r));
	}
	*ret = cache;
	return 0;
}

void table_cache_destroy(struct table_cache *cache)
{
	if (!cache)
		return;
	pthread_mutex_lock(&cache->mutex);
	cache->end_by = clock_boot_ns() + END_PATIENCE_NS;
	pthread_cond_signal(&cache->work);
	pthread_mutex_unlock(&cache->mutex);
	pthread_join(cache->thread, NULL);
	drop_all(&cache->asked);
	drop_all(&cache->writes);
	drop_all(&cache->done);
	pthread_cond_destroy(&cache->work);
	pthread_mutex_destroy(&cache->mutex);
	close(cache->ready);
	table_store_close(&cache->store);
	free(cache);
}

int table_cache_fd(const struct table_cache *cache)
{
	return cache->ready;
}

static void finish(struct table_cache *cache, struct job *job)
{
	if (job->done) {
		cache->hits += !job->result;
		cache->misses += job->result < 0;
		job->done(job->context, job->tag, job->result ? NULL : &job->record);
	} else if (job->result < 0 && !cache->warned) {
		log_warning_errno(job->result, "an unwind table cannot be kept on disk, and is "
					       "made anew at the next start (unwind.cache_dir)");
		cache->warned = true;
	}
	job_free(job);
}

void table_cache_dispatch(struct table_cache *cache)
{
	struct job_queue done;
	struct job *job;
	uint64_t count;

	if (read(cache->ready, &count, sizeof(count)) < 0)
		return;
	pthread_mutex_lock(&cache->mutex);
	done = cache->done;
	cache->done = (struct job_queue){0};
	pthread_mutex_unlock(&cache->mutex);
	while ((job = pop(&done)))
		finish(cache, job);
}

static struct job *job_create(const struct table_cache *cache, const struct file_identity *file,
			      size_t size)
{
	struct job *job = malloc(sizeof(*job) + size);

	if (!job)
		return NULL;
	*job = (struct job){.key = {.file = *file, .builder = cache->builder}, .size = size};
	return job;
}

static void hand_over(struct table_cache *cache, struct job_queue *queue, struct job *job)
{
	pthread_mutex_lock(&cache->mutex);
	push(queue, job);
	cache->waiting += job->size;
	pthread_cond_signal(&cache->work);
	pthread_mutex_unlock(&cache->mutex);
}

int table_cache_ask(struct table_cache *cache, const struct file_identity *file, uint32_t tag,
		    table_cache_fn *done, void *context)
{
	struct job *job = job_create(cache, file, 0);

	if (!job)
		return -ENOMEM;
	job->tag = tag;
	job->done = done;
	job->context = context;
	hand_over(cache, &cache->asked, job);
	return 0;
}

void table_cache_keep(struct table_cache *cache, const struct file_identity *file,
		      const struct table_record *record, const void *table, size_t size)
{
	struct job *job = NULL;
	size_t waiting;

	pthread_mutex_lock(&cache->mutex);
	waiting = cache->waiting;
	pthread_mutex_unlock(&cache->mutex);
	if (size <= TABLE_CACHE_WAITING_MAX - waiting)
		job = job_create(cache, file, size);
	if (!job) {
		cache->refused++;
		return;
	}
	job->record = *record;
	job->record.table = (struct unwind_table){0};
	if (size)
		memcpy(job->bytes, table, size);
	hand_over(cache, &cache->writes, job);
}

void table_cache_get_stats(struct table_cache *cache, struct table_cache_stats *ret)
{
	*ret = (struct table_cache_stats){.hits = cache->hits, .misses = cache->misses};
	pthread_mutex_lock(&cache->mutex);
	ret->store = cache->stats;
	pthread_mutex_unlock(&cache->mutex);
	ret->store.failed += cache->refused;
}
