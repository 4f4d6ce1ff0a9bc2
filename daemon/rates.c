/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/rates.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/engine_internal.h"
#include "daemon/event_kind.h"
#include "daemon/firing_cost.h"

#define JITTER_NS (10 * NSEC_PER_SEC) /* periods are drawn anew this often */
#define NOTE_NS (10 * NSEC_PER_SEC) /* and a rate that stays is noted */
/* Probes on allocators: never less of a process's time, in thousandths, while they are wanted. */
#define HEAP_FLOOR 0.1
#define CALIBRATE_NS (30 * NSEC_PER_SEC) /* until what could not be measured is tried again */
#define RATES_SCHEMA "perfd.rates/1"

static const struct measure_kind rate_kind = {
	.name = "rate", .group = "", .unit = "Hz", .kind = SERIES_LEVEL, .step_ns = NSEC_PER_SEC};

static struct controller_limits limits_of(const struct config *config)
{
	return (struct controller_limits){
		.budget = config->budget_permille / 1e3,
		.process = config->budget_process_permille / 1e3,
	};
}

void rates_init(struct rates *rates, const struct engine *engine)
{
	const struct controller_limits limits = limits_of(&engine->config);

	*rates = (struct rates){.clock_ns = RATES_CLOCK_NS};
	controller_init(&rates->controller, &limits);
	own_cost_init(&rates->own);
}

void rates_deinit(struct rates *rates)
{
	free(rates->seen);
	own_cost_deinit(&rates->own);
}

void rates_calibrate(struct rates *rates)
{
	int r = firing_cost_measure(&rates->clock_ns);

	rates->calibrate_at = r == -EAGAIN ? clock_boot_ns() + CALIBRATE_NS : 0;
	if (r)
		log_debug("what a firing costs cannot be measured (%s): taken as %u ns",
			  strerror(-r), rates->clock_ns);
	else
		log_debug("a firing of a clock costs %u ns here", rates->clock_ns);
}

/* ---- streams ---- */

/* A recording fires by itself. */
static bool lives(const struct engine *engine)
{
	return engine->source->ops->wake_fd(engine->source) >= 0;
}

static bool has_pattern(const struct engine *engine, const struct session *session)
{
	return session->request.by_pattern && session->source == ABI_SOURCE_CPU_CLOCK &&
	       strcmp(engine->config.patterns, "auto") == 0;
}

/* Of a session that nobody named a rate for. */
static double by_pattern(const struct engine *engine, const struct session *session,
			 enum rate_reason *why)
{
	const struct cpu_seconds *seconds = &engine->rates.seconds[session->slot];
	double usual = session->request.frequency_hz;
	double hz = usual * cpu_pattern_factor(cpu_pattern_judge(seconds));

	if (hz > usual)
		*why = RATE_PATTERN;
	return hz < engine->config.frequency_max_hz ? hz : engine->config.frequency_max_hz;
}

/* As somebody asked; for the system-wide view of CPU time, what the wished precision needs. */
static double wished(const struct engine *engine, const struct session *session,
		     enum rate_reason *why)
{
	const struct config *config = &engine->config;
	double hz = session->request.frequency_hz, needed;

	*why = RATE_WISHED;
	if (has_pattern(engine, session))
		return by_pattern(engine, session, why);
	if (session->slot != ABI_SLOT_CPU || !config->precision_permille)
		return hz;
	needed = controller_samples_for(config->precision_permille / 1e3) * (double)NSEC_PER_SEC /
		 (double)config->precision_time_ns;
	if (engine->rates.seen && engine->rates.seen->cpus)
		needed /= engine->rates.seen->cpus;
	if (needed >= hz)
		return hz;
	*why = RATE_PRECISION;
	return needed;
}

static double lowest(const struct engine *engine, const struct session *session)
{
	const struct config *config = &engine->config;

	return session->id ? config->budget_session_floor_hz : config->budget_floor_hz;
}

static void note(struct session *session, double rate, uint64_t now)
{
	struct session_measure measure = {
		.kind = &rate_kind,
		.time = now,
		.point = {.value = (uint64_t)llround(rate)},
	};

	measure.point.low = measure.point.high = measure.point.value;
	session_measure(session, &measure);
}

static bool by_time(const struct session *session)
{
	return session->source == ABI_SOURCE_CPU_CLOCK || session->source == ABI_SOURCE_CYCLES;
}

void rates_open(struct engine *engine, struct session *session)
{
	struct controller *controller = &engine->rates.controller;
	enum rate_reason why;
	double rate;

	if (!lives(engine) || session->source == ABI_SOURCE_HEAP)
		return;
	engine->rates.seconds[session->slot] = (struct cpu_seconds){0};
	engine->rates.weights[session->slot] = 0;
	rate = wished(engine, session, &why);
	controller_open(controller, session->slot, rate, lowest(engine, session), by_time(session));
	controller->streams[session->slot].wished_why = why;
	note(session, rate, session->opened);
	if (session->slot == ABI_SLOT_CPU)
		thinning_open(engine);
}

void rates_close(struct engine *engine, const struct session *session)
{
	controller_close(&engine->rates.controller, session->slot);
}

static void tell_source(struct engine *engine, uint32_t slot)
{
	uint32_t hz = (uint32_t)llround(engine->rates.controller.streams[slot].rate);

	engine->source->ops->set_rate(engine->source, slot, hz ? hz : 1);
}

/* Of that many processes' time a thousandth each, at most: they are out until it is so. */
static double heap_cost_most(const struct engine *engine)
{
	const struct heap_follow *heap = &engine->heap;
	uint32_t count = heap->sharing ? 1 : 0;

	for (size_t i = 0; i < heap->processes.count; i++)
		count += heap->processes.items[i]->process->slots != 0;
	return count * (double)NSEC_PER_SEC / 1e3;
}

/* Probes on allocators are one stream, of as many processes as are followed. */
static void follow_heap(struct engine *engine)
{
	struct controller *controller = &engine->rates.controller;
	struct controller_stream *stream = &controller->streams[ABI_SLOT_HEAP];
	double most = engine->config.heap_budget_permille;

	if (!engine->heap.processes.count) {
		controller_close(controller, ABI_SLOT_HEAP);
		heap_follow_set_budget(&engine->heap, most);
	} else if (!stream->used) {
		controller_open(controller, ABI_SLOT_HEAP, most, HEAP_FLOOR, false);
		stream->patient = true;
	} else {
		stream->wished = most;
		stream->cost_rate_most = heap_cost_most(engine);
	}
}

/* The settings may have been read again. */
static void follow_config(struct engine *engine)
{
	struct controller *controller = &engine->rates.controller;

	controller->limits = limits_of(&engine->config);
	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++) {
		struct controller_stream *stream = &controller->streams[slot];
		const struct session *session = engine->sessions[slot];

		if (!session || !stream->used)
			continue;
		stream->wished = wished(engine, session, &stream->wished_why);
		stream->floor = fmin(stream->wished, lowest(engine, session));
	}
	follow_heap(engine);
	thinning_follow(engine);
}

static void changed(struct engine *engine, uint32_t slot, double before, uint64_t now)
{
	const struct controller_stream *stream = &engine->rates.controller.streams[slot];
	struct session *session = engine->sessions[slot];

	if (slot == ABI_SLOT_HEAP) {
		heap_follow_set_budget(&engine->heap, stream->rate);
		watch_mark(
			engine, "heap_budget", 0,
			"probes on allocators may take %.2f thousandths of a process's time now, "
			"%.2f before: %s",
			stream->rate, before, rate_reason_text(stream->why));
		return;
	}
	tell_source(engine, slot);
	if (!session)
		return;
	session_mark(session, "rate", (uint64_t)llround(stream->rate),
		     "%.0f samples a second and CPU now, %.0f before: %s", stream->rate, before,
		     rate_reason_text(stream->why));
	note(session, stream->rate, now);
}

/* ---- measuring ---- */

static uint64_t less(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

static uint64_t received(const struct abi_counters *counters)
{
	uint64_t samples = 0;

	for (unsigned int reason = 0; reason < ABI_REASON_COUNT; reason++)
		samples += reason == ABI_REASON_LOST_RING ? 0 : counters->samples[reason];
	return samples;
}

/* What the kernel does around a firing, ns. */
static uint32_t around_of(const struct rates *rates, const struct session *session)
{
	if (!session || by_time(session))
		return rates->clock_ns;
	return session->slot == ABI_SLOT_FAULTS ? RATES_VIEW_FAULTS_NS : RATES_FAULT_NS;
}

static void measure_stream(struct controller_measured *measured, uint32_t around,
			   const struct abi_counters *now, const struct abi_counters *before)
{
	uint64_t ran = less(now->run_ns, before->run_ns);

	measured->fired = less(now->fired, before->fired);
	measured->samples = less(received(now), received(before));
	measured->lost =
		less(now->samples[ABI_REASON_LOST_RING], before->samples[ABI_REASON_LOST_RING]);
	measured->ns = ran + measured->fired * around + measured->samples * RATES_SAMPLE_NS;
	if (measured->samples)
		measured->sample_ns = ran / measured->samples + around;
}

/* A view that begins to look at a part of the time only, or at far more or less of it. */
static void note_share(struct session *session, uint32_t slices, uint32_t before)
{
	if (!session || !slices || !before || slices == before ||
	    (slices > 1 && before > 1 && slices < 2 * before && before < 2 * slices))
		return;
	session_mark(session, "observed", 100 / slices,
		     "%.1f %% of the time is looked at now, %.1f before: more would cost a CPU "
		     "over memory.view_budget",
		     100.0 / slices, 100.0 / before);
}

static uint32_t kernel_rate(const struct engine *engine)
{
	uint64_t rate = engine->watch.kernel_rate;

	return rate < UINT32_MAX ? (uint32_t)rate : UINT32_MAX;
}

/* False: there was nothing before to compare with. */
static bool measure(struct engine *engine, uint64_t now, struct controller_window *window)
{
	struct rates *rates = &engine->rates;
	struct source_counters *counters = malloc(sizeof(*counters));
	struct source_counters *before = rates->seen;
	uint64_t own = own_cost_cpu_ns(&rates->own), stolen = own_cost_stolen_ns(&rates->own);

	if (!counters)
		return false;
	engine->source->ops->get_counters(engine->source, counters);
	*window = (struct controller_window){.now = now,
					     .elapsed = now - rates->looked,
					     .cpus = counters->cpus,
					     .kernel_hz = kernel_rate(engine)};
	for (uint32_t slot = 0; before && slot < ABI_SLOTS_MAX; slot++) {
		struct controller_measured *measured = &window->streams[slot];
		struct session *session = engine->sessions[slot];

		measure_stream(measured, around_of(rates, session), &counters->slot[slot],
			       &before->slot[slot]);
		note_share(session, counters->slices[slot], before->slices[slot]);
		if (slot == ABI_SLOT_HEAP) {
			measured->fired = less(engine->heap.hits, rates->heap_hits);
			measured->ns = less(engine->heap.probes_ns, rates->heap_ns);
		}
		/* The daemon's part is in what it measures of itself. */
		window->ns += less(measured->ns, measured->samples * RATES_SAMPLE_NS);
	}
	window->ns += less(own, rates->own_ns) +
		      less(engine->task_records, rates->tasks) * RATES_TASK_NS +
		      less(engine->mapping_records, rates->mappings) * RATES_MAPPING_NS;
	window->stolen_ns = less(stolen, rates->stolen_ns);
	rates->own_ns = own;
	rates->stolen_ns = stolen;
	rates->tasks = engine->task_records;
	rates->mappings = engine->mapping_records;
	rates->heap_hits = engine->heap.hits;
	rates->heap_ns = engine->heap.probes_ns;
	rates->looked = now;
	rates->seen = counters;
	free(before);
	return before;
}

static void draw_jitter(struct engine *engine)
{
	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++)
		if (engine->rates.controller.streams[slot].clock)
			tell_source(engine, slot);
}

static void note_all(struct engine *engine, uint64_t now)
{
	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++)
		if (engine->sessions[slot] && engine->rates.controller.streams[slot].used)
			note(engine->sessions[slot], engine->rates.controller.streams[slot].rate,
			     now);
	thinning_note(engine, now);
}

/* What sessions' processes did with the CPU in the last second. */
static void look_at_patterns(struct engine *engine, uint64_t now)
{
	struct rates *rates = &engine->rates;
	uint64_t passed = now - rates->second;

	if (passed + NSEC_PER_SEC / 16 < NSEC_PER_SEC)
		return;
	for (uint32_t slot = 1; slot < ABI_SESSION_SLOTS; slot++) {
		const struct session *session = engine->sessions[slot];

		if (!session || !has_pattern(engine, session))
			continue;
		/* Opened in the middle of it. */
		if (session->opened + passed <= now)
			cpu_seconds_add(&rates->seconds[slot],
					(double)less(session->weight, rates->weights[slot]) /
						(double)passed);
		rates->weights[slot] = session->weight;
	}
	rates->second = now;
}

/* Sessions that are as exact as somebody wished end. */
static void end_exact(struct engine *engine)
{
	for (uint32_t slot = 1; slot < ABI_SESSION_SLOTS; slot++) {
		struct session *session = engine->sessions[slot];
		double wish;

		if (!session)
			continue;
		wish = session->request.precision_ppm / 1e6;
		if (wish > 0 &&
		    controller_half_width((double)session->weight, session->squares) <= wish)
			engine_end_session(engine, session, SESSION_END_PRECISION);
	}
}

const struct source_counters *rates_counted(const struct rates *rates, uint64_t now)
{
	return rates->looked == now ? rates->seen : NULL;
}

/* Nobody asked for anything, all is as wished, and the cost far from the budget. */
static bool calm(const struct engine *engine)
{
	const struct controller *controller = &engine->rates.controller;

	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++) {
		const struct controller_stream *stream = &controller->streams[slot];

		if (stream->used && (slot == ABI_SLOT_HEAP || stream->rate != stream->wished ||
				     (engine->sessions[slot] && engine->sessions[slot]->id)))
			return false;
	}
	return controller->cost < controller->limits.budget / 2 && controller->views >= 1;
}

void rates_run(struct engine *engine, uint64_t now, bool second)
{
	struct rates *rates = &engine->rates;
	struct controller *controller = &rates->controller;
	struct controller_window window;
	double before[ABI_SLOTS_MAX];
	uint64_t moved;

	end_exact(engine);
	/* Ticks come a little early or late. */
	if (!lives(engine) || now - rates->looked + NSEC_PER_SEC / 16 < RATES_WINDOW_NS)
		return;
	if (!second && calm(engine))
		return;
	if (rates->calibrate_at && now >= rates->calibrate_at)
		rates_calibrate(rates);
	look_at_patterns(engine, now);
	follow_config(engine);
	if (!measure(engine, now, &window))
		return;
	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++)
		before[slot] = controller->streams[slot].rate;
	moved = controller_run(controller, &window);
	engine->source->ops->share_views(engine->source, controller->views);
	unwinder_hold(&engine->unwinder, !controller_may_spend(controller));
	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++)
		if (moved >> slot & 1)
			changed(engine, slot, before[slot], now);
	if (now - rates->jittered >= JITTER_NS) {
		rates->jittered = now;
		draw_jitter(engine);
	}
	if (now - rates->noted >= NOTE_NS) {
		rates->noted = now;
		note_all(engine, now);
	}
}

/* ---- by hand, and to see ---- */

void rates_wish(struct engine *engine, struct session *session)
{
	struct controller_stream *stream = &engine->rates.controller.streams[session->slot];
	double before = stream->rate;
	bool lowered;

	if (!lives(engine) || !stream->used)
		return;
	lowered = stream->rate < stream->wished;
	stream->wished = wished(engine, session, &stream->wished_why);
	stream->floor = fmin(stream->wished, lowest(engine, session));
	if (stream->forced > 0 || (lowered && stream->rate <= stream->wished))
		return;
	stream->rate = stream->wished;
	stream->why = stream->wished_why;
	changed(engine, session->slot, before, clock_boot_ns());
}

static int force(struct engine *engine, struct session *session, uint32_t hz, struct error *error)
{
	struct controller_stream *stream = &engine->rates.controller.streams[session->slot];
	double before = stream->rate;

	if (engine->sessions[session->slot] != session || !stream->used)
		return error_set(error, -EINVAL,
				 "session %u has no rate: it has ended, or its "
				 "event is not sampled by a rate",
				 session->id);
	if (hz > engine->config.frequency_max_hz)
		return error_set(error, -EINVAL,
				 "%u Hz is above the limit of %u Hz (cpu.frequency_max_hz)", hz,
				 engine->config.frequency_max_hz);
	controller_force(&engine->rates.controller, session->slot, hz);
	if (hz)
		changed(engine, session->slot, before, clock_boot_ns());
	return 0;
}

int engine_set_rate(struct engine *engine, uint32_t id, uint32_t hz, struct error *error)
{
	struct session *session =
		id ? engine_find_session(engine, id) : engine->sessions[ABI_SLOT_CPU];

	if (!session)
		return error_set(error, -ENOENT,
				 id ? "there is no session %u"
				    : "there is no system-wide view: cpu.frequency_hz is 0",
				 id);
	return force(engine, session, hz, error);
}

json_t *engine_rates(const struct engine *engine, bool all, uid_t owner)
{
	return rates_json(engine, all, owner);
}

static const char *pattern_of(const struct engine *engine, const struct session *session)
{
	if (!session || !has_pattern(engine, session))
		return "";
	return cpu_pattern_name(cpu_pattern_judge(&engine->rates.seconds[session->slot]));
}

/* Of the time, in percent. */
static double observed_of(const struct engine *engine, uint32_t slot)
{
	const struct source_counters *seen = engine->rates.seen;

	if (slot == ABI_SLOT_HEAP)
		return 100 * heap_follow_observed(&engine->heap);
	return seen && seen->slices[slot] ? 100.0 / seen->slices[slot] : 100;
}

static json_t *stream_json(const struct engine *engine, uint32_t slot)
{
	const struct controller_stream *stream = &engine->rates.controller.streams[slot];
	const struct session *session = engine->sessions[slot];
	const struct event_kind *kind = event_kind_of(session ? session->source : ABI_SOURCE_HEAP);

	return json_pack("{s:s, s:i, s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:i, s:s, s:s, s:s}",
			 "event", kind ? kind->name : "", "session", session ? (int)session->id : 0,
			 "title", session ? session->request.title : "probes on allocators", "unit",
			 slot == ABI_SLOT_HEAP ? "1/1000 of a process's time" : "Hz", "rate",
			 stream->rate, "wished", stream->wished, "floor", stream->floor,
			 "cost_percent", stream->cost * 100, "observed_percent",
			 observed_of(engine, slot), "busy_one_in",
			 slot == ABI_SLOT_CPU ? (int)engine->rates.thinning.one_in : 1, "why",
			 rate_reason_key(stream->why), "why_text", rate_reason_text(stream->why),
			 "pattern", pattern_of(engine, session));
}

static bool shown(const struct engine *engine, uint32_t slot, bool all, uid_t owner)
{
	const struct session *session = engine->sessions[slot];

	return engine->rates.controller.streams[slot].used &&
	       (all || (session && session->id && session->request.owner == owner));
}

json_t *rates_json(const struct engine *engine, bool all, uid_t owner)
{
	const struct controller *controller = &engine->rates.controller;
	json_t *streams = json_array();

	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++)
		if (shown(engine, slot, all, owner))
			json_array_append_new(streams, stream_json(engine, slot));
	return json_pack(
		"{s:s, s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:i, s:i, s:f, s:f, s:o, s:o, s:o}",
		"schema", RATES_SCHEMA, "budget_percent", controller->limits.budget * 100,
		"cost_percent", controller->cost * 100, "fixed_percent",
		controller->fixed_cost * 100, "stolen_percent", controller->stolen * 100, "windows",
		(json_int_t)controller->windows, "windows_over", (json_int_t)controller->over,
		"cuts", (json_int_t)controller->cuts, "rises", (json_int_t)controller->rises,
		"kernel_hz", (int)kernel_rate(engine), "firing_ns", (int)engine->rates.clock_ns,
		"views_percent", controller->views * 100, "saved_seconds", controller->saved / 1e9,
		"streams", streams, "allocations", engine_alloc_patterns(engine, all, owner),
		"mappings", engine_mappings_json(engine));
}
