/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/engine_internal.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/privileges.h"

#define HELD_FILES_MAX 512
#define TICK_MS 250
#define TICKS_PER_SECOND 4
/* A window whose names have not come by then is folded without them. */
#define NAMES_OVERDUE_NS (10 * NSEC_PER_SEC)

struct session_tables engine_tables(const struct engine *engine)
{
	return (struct session_tables){.stacks = &engine->stacks,
				       .images = &engine->images,
				       .samples_max = engine->config.samples_max};
}

/* ---- what the resolver finds ---- */

/* A mapping read from /proc belongs into the recording, as if it had been told. */
static void on_proc_mapping(void *context, const struct abi_mmap *mmap)
{
	struct engine *engine = context;

	capture_write(&engine->capture, &mmap->hdr);
}

static void on_opened(void *context, struct image *image)
{
	struct engine *engine = context;

	if (image->sure && image->state != IMAGE_FAILED && !image->announced) {
		const struct unwind_inode file = image_opened(image);

		image->announced = true;
		engine->source->ops->know_file(engine->source, &file, image->id);
	}
	unwinder_opened(&engine->unwinder, image);
}

static void on_mapped(void *context, struct process *process)
{
	struct engine *engine = context;

	jvm_table_look(&engine->jvms, process, &engine->images);
	if (engine->mappings.choice.blind)
		engine_mappings_read(engine, process);
	else
		unwinder_changed(&engine->unwinder, process);
	/* What perfd itself maps, others do too: the C library and the loader first. */
	if (process->slots || process->pid == (uint32_t)getpid())
		unwinder_need_all(&engine->unwinder, process);
}

/* ---- clockwork ---- */

uint64_t engine_time(const struct engine *engine)
{
	/* A recording has its own time. */
	return engine->source->ops->wake_fd(engine->source) < 0 ? engine->now : clock_boot_ns();
}

static int drain_interval_ms(const struct engine *engine)
{
	uint64_t now = clock_boot_ns();
	int interval = DRAIN_IDLE_MS;

	if (now < engine->hurry_until)
		return DRAIN_HURRY_MS;
	for (uint32_t slot = 1; slot < ABI_SESSION_SLOTS; slot++) {
		const struct session *session = engine->sessions[slot];

		if (!session)
			continue;
		if (!session->first_sample && now - session->opened < DRAIN_FIRST_NS)
			return DRAIN_FIRST_MS;
		interval = DRAIN_SESSION_MS;
	}
	return interval;
}

/* While nobody waits for anything the tick does it: one timer less that wakes a CPU. */
static void schedule_drain(struct engine *engine)
{
	int interval = drain_interval_ms(engine);
	struct timeval delay = {.tv_usec = interval * 1000};
	bool lives = engine->source->ops->wake_fd(engine->source) >= 0;

	if (lives && interval >= TICK_MS)
		return;
	if (!lives && !engine->source->ops->done(engine->source))
		delay.tv_usec = 0;
	evtimer_add(engine->drain_timer, &delay);
}

void engine_fold(struct engine *engine)
{
	struct session_tables tables = engine_tables(engine);
	uint64_t now = engine_time(engine);
	uint64_t overdue = now > NAMES_OVERDUE_NS ? now - NAMES_OVERDUE_NS : 0;

	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++)
		if (engine->sessions[slot])
			session_fold(engine->sessions[slot], &tables, overdue);
	for (size_t i = 0; i < engine->ended.count; i++)
		session_fold(engine->ended.items[i], &tables, overdue);
	engine_write_history(engine);
}

static bool names_are_awaited(const struct engine *engine)
{
	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++) {
		const struct session *session = engine->sessions[slot];

		if (session && (session->id || !session_folded(session)))
			return true;
	}
	return engine->ended.count;
}

static void flush_resolver(struct engine *engine)
{
	engine->resolver.at_leisure = !names_are_awaited(engine);
	resolver_flush(&engine->resolver);
}

void engine_drain(struct engine *engine, bool now)
{
	if (engine->source->ops->drain(engine->source, now) >= 0)
		engine->drains++;
	if (engine->source->ops->symbols_changed)
		symbolizer_kernel_changed(engine->resolver.symbolizer,
					  engine->source->ops->symbols_changed(engine->source));
	engine_settle_doubts(engine, engine_time(engine));
	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++) {
		struct session *session = engine->sessions[slot];

		if (session)
			session_roll(session, engine_time(engine), false);
		/* Its last record has been seen: nothing of it is still to come. */
		if (session && session->end == SESSION_END_EXIT)
			engine_end_session(engine, session, SESSION_END_EXIT);
	}
	engine_walk_raw(engine, false);
	flush_resolver(engine);
	unwinder_flush(&engine->unwinder);
	jvm_table_flush(&engine->jvms, clock_boot_ns());
	engine_run_heap(engine);
	engine_run_watch(engine);
	if (stack_table_full(&engine->stacks))
		engine_empty_stacks(engine);
}

static void drain_and_fold(struct engine *engine)
{
	engine_drain(engine, false);
	engine_fold(engine);
	schedule_drain(engine);
}

static void on_drain_timer(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	drain_and_fold(context);
}

static void on_wake(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	engine_drain(context, false);
}

static void go_on_with_answers(struct engine *engine)
{
	engine_walk_raw(engine, false);
	flush_resolver(engine);
	unwinder_flush(&engine->unwinder);
	jvm_table_flush(&engine->jvms, clock_boot_ns());
	engine_fold(engine);
}

static void on_answers(evutil_socket_t fd, short what, void *context)
{
	struct engine *engine = context;

	(void)fd;
	(void)what;
	symbolizer_dispatch(engine->resolver.symbolizer);
	go_on_with_answers(engine);
}

static void on_opener(evutil_socket_t fd, short what, void *context)
{
	struct engine *engine = context;

	(void)fd;
	(void)what;
	openers_dispatch(engine->resolver.openers);
	go_on_with_answers(engine);
}

static void on_fetch(evutil_socket_t fd, short what, void *context)
{
	struct engine *engine = context;

	(void)fd;
	(void)what;
	debug_fetch_dispatch(&engine->resolver.fetch);
	flush_resolver(engine);
}

static void on_cache(evutil_socket_t fd, short what, void *context)
{
	struct engine *engine = context;

	(void)fd;
	(void)what;
	table_cache_dispatch(engine->cache);
	engine_walk_raw(engine, false);
}

static void on_history(evutil_socket_t fd, short what, void *context)
{
	struct engine *engine = context;

	(void)fd;
	(void)what;
	history_dispatch(engine->history);
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
	struct engine *engine = context;
	uint64_t now = engine_time(engine);
	bool second;

	(void)fd;
	(void)what;
	if (!evtimer_pending(engine->drain_timer, NULL))
		drain_and_fold(engine);
	process_table_expire(&engine->processes, now);
	/* Not before: the first requests are for what a new process needs at once. */
	if (++engine->ticks == 1)
		symbolizer_preload_kernel(engine->resolver.symbolizer);
	second = !(engine->ticks % TICKS_PER_SECOND);
	/* Their descriptors tell when there is something; this is for children that went. */
	if (second)
		openers_dispatch(engine->resolver.openers);
	if (second || symbolizer_pending(engine->resolver.symbolizer))
		symbolizer_tick(engine->resolver.symbolizer);
	engine_look_at_memory(engine, now);
	rates_run(engine, now, second);
	engine_mappings_run(engine, now);
	if (!second)
		return;
	engine->source->ops->follow_cpus(engine->source);
	watch_look(&engine->watch, engine, rates_counted(&engine->rates, now));
	engine_bury_views(engine);
	engine_sift_stacks(engine, now);
	engine_sift_images(engine, now);
	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++) {
		uint64_t kept = now > engine->config.keep_ns ? now - engine->config.keep_ns : 0;

		if (engine->sessions[slot] && !engine->sessions[slot]->id)
			session_expire(engine->sessions[slot], kept, now);
	}
}

/* ---- life ---- */

static void on_symbolizer_fd(void *context, int fd)
{
	struct engine *engine = context;

	if (engine->symbolizer_event)
		event_free(engine->symbolizer_event);
	engine->symbolizer_event =
		fd < 0 ? NULL
		       : event_new(engine->base, fd, EV_READ | EV_PERSIST, on_answers, engine);
	if (engine->symbolizer_event)
		event_add(engine->symbolizer_event, NULL);
}

static int start_clockwork(struct engine *engine, struct error *error)
{
	struct timeval tick = {.tv_usec = TICK_MS * 1000};
	int wake = engine->source->ops->wake_fd(engine->source);

	engine->drain_timer = evtimer_new(engine->base, on_drain_timer, engine);
	engine->tick_timer = event_new(engine->base, -1, EV_PERSIST, on_tick, engine);
	if (!engine->drain_timer || !engine->tick_timer)
		return error_set(error, -ENOMEM, "out of memory");
	event_add(engine->tick_timer, &tick);
	schedule_drain(engine);
	if (wake >= 0) {
		engine->wake_event =
			event_new(engine->base, wake, EV_READ | EV_PERSIST, on_wake, engine);
		if (!engine->wake_event)
			return error_set(error, -ENOMEM, "out of memory");
		event_add(engine->wake_event, NULL);
	}
	if (engine->cache) {
		engine->cache_event = event_new(engine->base, table_cache_fd(engine->cache),
						EV_READ | EV_PERSIST, on_cache, engine);
		if (!engine->cache_event)
			return error_set(error, -ENOMEM, "out of memory");
		event_add(engine->cache_event, NULL);
	}
	if (debug_fetch_fd(&engine->resolver.fetch) >= 0) {
		engine->fetch_event =
			event_new(engine->base, debug_fetch_fd(&engine->resolver.fetch),
				  EV_READ | EV_PERSIST, on_fetch, engine);
		if (!engine->fetch_event)
			return error_set(error, -ENOMEM, "out of memory");
		event_add(engine->fetch_event, NULL);
	}
	engine->openers_event = event_new(engine->base, openers_fd(engine->resolver.openers),
					  EV_READ | EV_PERSIST, on_opener, engine);
	if (!engine->openers_event)
		return error_set(error, -ENOMEM, "out of memory");
	event_add(engine->openers_event, NULL);
	if (engine->history) {
		engine->history_event = event_new(engine->base, history_fd(engine->history),
						  EV_READ | EV_PERSIST, on_history, engine);
		if (!engine->history_event)
			return error_set(error, -ENOMEM, "out of memory");
		event_add(engine->history_event, NULL);
	}
	symbolizer_on_fd_change(engine->resolver.symbolizer, on_symbolizer_fd, engine);
	on_symbolizer_fd(engine, symbolizer_fd(engine->resolver.symbolizer));
	return 0;
}

/* Events, files and sockets on many CPUs need more than the usual 1024. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Without it all goes on, but tables are made anew at each start. */
static void open_cache(struct engine *engine, const struct engine_options *options)
{
	const struct config *config = &engine->config;
	struct error error = {0};

	if (!config->unwind_cache_dir[0] || !config->unwind_cache_bytes || options->replay)
		return;
	if (table_cache_create(config->unwind_cache_dir, config->unwind_cache_bytes,
			       options->program, &error, &engine->cache))
		log_warning("unwind tables are not kept on disk: %s", error.text);
}

static int start(struct engine *engine, const struct engine_options *options, struct error *error)
{
	int r = resolver_init(&engine->resolver, &engine->config, options->program, error);

	if (r)
		return r;
	if (options->capture) {
		r = capture_create(&engine->capture, options->capture, error);
		if (r)
			return r;
		engine->resolver.on_mmap = on_proc_mapping;
	}
	engine->resolver.on_mapped = on_mapped;
	engine->resolver.on_opened = on_opened;
	engine->resolver.context = engine;
	if (!options->replay) { /* its processes are not these */
		resolver_name_memory(&engine->resolver);
		rates_calibrate(&engine->rates);
	}
	r = options->replay ? source_replay_create(options->replay, engine_on_record, engine, error,
						   &engine->source)
			    : source_bpf_create(&engine->config, engine_on_record, engine, error,
						&engine->source);
	/* Capabilities are each thread's own: before there is a second one. */
	if (!r && options->drop_privileges)
		r = privileges_drop(error);
	if (!r)
		open_cache(engine, options);
	if (!r)
		unwinder_init(&engine->unwinder, engine->source, &engine->resolver, engine->cache);
	if (!r)
		jvm_table_init(&engine->jvms, engine->source, engine->resolver.symbolizer,
			       engine->resolver.openers);
	if (!r)
		heap_follow_init(&engine->heap, engine->source, &engine->resolver,
				 &engine->unwinder, &engine->config);
	if (!r)
		watch_init(&engine->watch, engine);
	if (!r)
		r = engine->source->ops->tasks(engine->source, error);
	if (!r)
		r = engine_open_system_views(engine, error);
	if (!r && !options->replay)
		engine_open_history(engine);
	if (!r)
		r = start_clockwork(engine, error);
	return r;
}

int engine_create(const struct engine_options *options, struct event_base *base,
		  struct error *error, struct engine **ret)
{
	struct engine *engine = calloc(1, sizeof(*engine));
	int r;

	if (!engine)
		return error_set(error, -ENOMEM, "out of memory");
	raise_file_limit();
	engine->config = *options->config;
	engine->tell_accounts = options->tell_accounts;
	cgroup_table_init(&engine->cgroups);
	engine->base = base;
	engine->next_id = 1;
	engine->watch.kernel_rate_fd = -1;
	rates_init(&engine->rates, engine);
	engine->started = clock_boot_ns();
	engine_begin_sweeps(engine);
	process_table_init(&engine->processes, engine->config.processes_max,
			   engine->config.exited_grace_ns);
	image_table_init(&engine->images, SOURCE_IMAGES_MAX, HELD_FILES_MAX);
	stack_table_init(&engine->stacks, engine->config.stacks_max);
	engine->resolver.stacks = &engine->stacks;
	engine->resolver.images = &engine->images;
	engine->resolver.processes = &engine->processes;
	r = start(engine, options, error);
	if (r) {
		engine_destroy(engine);
		return r;
	}
	/* libbpf has read the kernel's BTF and let it go: give it back. */
	malloc_trim(0);
	*ret = engine;
	return 0;
}

/* Nothing fires any more, and what has fired is in its session. */
static void stop_sampling(struct engine *engine)
{
	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++)
		if (engine->sessions[slot])
			engine->source->ops->close_slot(engine->source, slot);
	engine_drain(engine, true);
	if (engine->tell_accounts && engine->drain_timer)
		engine_tell_accounts(engine);
}

void engine_destroy(struct engine *engine)
{
	if (!engine)
		return;
	engine_heap_destroy(engine);
	if (engine->source)
		stop_sampling(engine);
	engine_close_history(engine);
	engine_forget_questions(engine);
	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++)
		session_destroy(engine->sessions[slot]);
	for (size_t i = 0; i < engine->ended.count; i++)
		session_destroy(engine->ended.items[i]);
	vec_free(&engine->ended);
	vec_free(&engine->doubted);
	if (engine->heap.source)
		heap_follow_deinit(&engine->heap);
	if (engine->heap_timer)
		event_free(engine->heap_timer);
	if (engine->watch_timer)
		event_free(engine->watch_timer);
	if (engine->source) {
		memset(engine->sessions, 0, sizeof(engine->sessions));
		engine->source->ops->drain(engine->source, true);
		engine->source->ops->destroy(engine->source);
	}
	if (capture_close(&engine->capture))
		log_error("the capture is not complete: its disk is full or failing");
	if (engine->drain_timer)
		event_free(engine->drain_timer);
	if (engine->tick_timer)
		event_free(engine->tick_timer);
	if (engine->wake_event)
		event_free(engine->wake_event);
	if (engine->symbolizer_event)
		event_free(engine->symbolizer_event);
	if (engine->openers_event)
		event_free(engine->openers_event);
	if (engine->cache_event)
		event_free(engine->cache_event);
	if (engine->fetch_event)
		event_free(engine->fetch_event);
	if (engine->history_event)
		event_free(engine->history_event);
	table_cache_destroy(engine->cache);
	raw_stacks_deinit(&engine->raw);
	jvm_table_deinit(&engine->jvms);
	watch_deinit(&engine->watch);
	rates_deinit(&engine->rates);
	unwinder_deinit(&engine->unwinder);
	resolver_deinit(&engine->resolver);
	stack_table_deinit(&engine->stacks);
	process_table_deinit(&engine->processes);
	image_table_deinit(&engine->images);
	cgroup_memory_deinit(&engine->cgroup_memory);
	cgroup_table_deinit(&engine->cgroups);
	free(engine);
}

void engine_reconfigure(struct engine *engine, const struct config *config)
{
	engine->config = *config;
	engine->processes.grace_ns = config->exited_grace_ns;
	engine_limit_history(engine);
	engine_follow_views(engine);
}

uint64_t engine_drains(const struct engine *engine)
{
	return engine->drains;
}

bool engine_replay_done(const struct engine *engine)
{
	return engine->source->ops->done(engine->source);
}
