/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Names and units as OpenMetrics 1.0 and Prometheus's conventions have them: base units, the
 * unit as the name's end, "_total" on the samples of counters.
 */
#include "daemon/metrics_text.h"

#include <stdio.h>
#include <string.h>

#define PREFIX "perfd_"
#define NS 1e-9

enum metric_type { COUNTER, GAUGE };

/* Rows of one name stand together. `value`: of the label, where the place is a number; else
 * the place is an object, and its keys are the label's values. */
static const struct metric {
	const char *name;
	enum metric_type type;
	const char *unit; /* "": a count */
	const char *help;
	const char *path;
	double scale; /* 0: 1 */
	const char *label, *value;
} metrics[] = {
	{"uptime_seconds", GAUGE, "seconds", "Time since perfd started", "uptime_ns", NS, 0, 0},
	{"sampling_rate_hertz", GAUGE, "hertz",
	 "Samples a second and CPU of the system-wide views, as now", "metrics.rates", 0, "event",
	 NULL},
	{"budget_ratio", GAUGE, "ratio", "What perfd may cost, of all CPUs' time (0: no limit)",
	 "rates.budget_percent", 0.01, 0, 0},
	{"cost_ratio", GAUGE, "ratio", "What it cost in the last half second", "rates.cost_percent",
	 0.01, 0, 0},
	{"cost_fixed_ratio", GAUGE, "ratio", "Of this, what no rate has to do with",
	 "rates.fixed_percent", 0.01, 0, 0},
	{"stolen_ratio", GAUGE, "ratio", "CPU time that other virtual machines had",
	 "rates.stolen_percent", 0.01, 0, 0},
	{"budget_periods", COUNTER, "", "Half seconds that were judged", "rates.windows", 0, 0, 0},
	{"budget_periods_exceeded", COUNTER, "", "Of these, those above the budget",
	 "rates.windows_over", 0, 0, 0},
	{"rate_changes", COUNTER, "", "Rates that were changed", "rates.cuts", 0, "direction",
	 "cut"},
	{"rate_changes", COUNTER, "", "", "rates.rises", 0, "direction", "raised"},
	{"cpus", GAUGE, "", "CPUs that are sampled", "source.cpus", 0, 0, 0},
	{"cpu_changes", COUNTER, "", "CPUs that came or went", "source.cpu_changes", 0, 0, 0},
	{"records", COUNTER, "", "Records taken from the kernel, of all kinds", "source.records", 0,
	 0, 0},
	{"events_fired", COUNTER, "", "Sampling events that ran the BPF program", "samples.fired",
	 0, 0, 0},
	{"events_passed", COUNTER, "", "Sampling events that took no sample, by why",
	 "samples.idle", 0, "reason", "idle"},
	{"events_passed", COUNTER, "", "", "samples.filtered", 0, "reason", "filtered"},
	{"events_passed", COUNTER, "", "", "samples.thinned", 0, "reason", "thinned"},
	{"late_periods", COUNTER, "", "Timer periods that count in a later sample",
	 "samples.late_periods", 0, 0, 0},
	{"missed_periods", COUNTER, "", "Timer periods that count in no sample",
	 "samples.missed_periods", 0, 0, 0},
	{"samples_taken", COUNTER, "", "Samples with a stack, by how its walk ended",
	 "samples.unwinding", 0, "unwinding", NULL},
	{"samples_lost", COUNTER, "", "Samples that did not arrive, by reason", "samples.lost", 0,
	 "reason", NULL},
	{"stacks_refused", COUNTER, "", "Stacks above limits.stacks_max", "samples.stacks_refused",
	 0, 0, 0},
	{"processes", GAUGE, "", "Processes known", "processes.alive", 0, 0, 0},
	{"threads", GAUGE, "", "Threads known", "processes.threads", 0, 0, 0},
	{"processes_seen", COUNTER, "", "Processes seen", "processes.seen", 0, 0, 0},
	{"process_execs", COUNTER, "", "Programs executed", "processes.execs", 0, 0, 0},
	{"process_exits", COUNTER, "", "Processes ended", "processes.exits", 0, 0, 0},
	{"processes_refused", COUNTER, "", "Processes above limits.processes_max",
	 "processes.refused", 0, 0, 0},
	{"processes_discovered", COUNTER, "", "Processes learned of by a sample, their birth lost",
	 "processes.discovered", 0, 0, 0},
	{"processes_ends_untold", COUNTER, "", "Processes that were gone, their exit's event lost",
	 "processes.ends_untold", 0, 0, 0},
	{"processes_not_ahead", COUNTER, "",
	 "Processes too many at once to get mappings before their first sample",
	 "processes.not_ahead", 0, 0, 0},
	{"worker_restarts", COUNTER, "", "Symbolizer workers started anew",
	 "symbols.worker_restarts", 0, 0, 0},
	{"workers_abandoned", GAUGE, "", "Workers that were killed and hang in a system call",
	 "symbols.workers_abandoned", 0, 0, 0},
	{"files_quarantined", COUNTER, "", "Files that a worker did not survive",
	 "symbols.quarantined", 0, 0, 0},
	{"images", GAUGE, "", "Program files known", "symbols.images", 0, 0, 0},
	{"images_failed", COUNTER, "", "Program files that could not be opened",
	 "symbols.images_failed", 0, 0, 0},
	{"images_refused", COUNTER, "", "Program files above the limit", "symbols.images_refused",
	 0, 0, 0},
	{"images_released", COUNTER, "", "Program files that nobody needed any more",
	 "symbols.images_released", 0, 0, 0},
	{"addresses_asked", COUNTER, "", "Addresses whose names were asked for",
	 "symbols.addresses", 0, 0, 0},
	{"addresses_named", COUNTER, "", "Addresses that have a name", "symbols.named", 0, 0, 0},
	{"debug_files_refused", COUNTER, "", "Debug files of another build, or damaged",
	 "symbols.debug_files_refused", 0, 0, 0},
	{"debuginfod_files", COUNTER, "", "Debug files asked of debuginfod, by outcome",
	 "symbols.debuginfod.cached", 0, "outcome", "cached"},
	{"debuginfod_files", COUNTER, "", "", "symbols.debuginfod.fetched", 0, "outcome",
	 "fetched"},
	{"debuginfod_files", COUNTER, "", "", "symbols.debuginfod.missing", 0, "outcome",
	 "missing"},
	{"debuginfod_files", COUNTER, "", "", "symbols.debuginfod.failed", 0, "outcome", "failed"},
	{"openers", GAUGE, "", "Processes that open files", "symbols.openers.processes", 0, 0, 0},
	{"opener_restarts", COUNTER, "", "Openers started anew", "symbols.openers.restarts", 0, 0,
	 0},
	{"opener_requests", COUNTER, "", "Files asked for", "symbols.openers.requests", 0, 0, 0},
	{"opener_failures", COUNTER, "", "Files that could not be had", "symbols.openers.failures",
	 0, 0, 0},
	{"opener_timeouts", COUNTER, "", "Files whose file system gave no answer",
	 "symbols.openers.timeouts", 0, 0, 0},
	{"stacks", GAUGE, "", "Distinct stacks kept", "tables.stacks", 0, 0, 0},
	{"stacks_limit", GAUGE, "", "limits.stacks_max", "tables.stacks_max", 0, 0, 0},
	{"frames", GAUGE, "", "Distinct frames kept", "tables.frames", 0, 0, 0},
	{"frames_unresolved", GAUGE, "", "Frames without an answer yet", "tables.unresolved_frames",
	 0, 0, 0},
	{"stack_table_resets", COUNTER, "", "How often stacks were given up", "tables.resets", 0, 0,
	 0},
	{"stacks_given_up", COUNTER, "", "Stacks that no sample named any more, or above the limit",
	 "tables.given_up", 0, 0, 0},
	{"unwind_tables", COUNTER, "", "Unwind tables, by outcome", "unwinder.tables_loaded", 0,
	 "outcome", "loaded"},
	{"unwind_tables", COUNTER, "", "", "unwinder.tables_failed", 0, "outcome", "failed"},
	{"unwind_tables", COUNTER, "", "", "unwinder.tables_evicted", 0, "outcome", "evicted"},
	{"unwind_tables_put_off", COUNTER, "",
	 "Misses of a table that was not made just then, as the budget was used up",
	 "unwinder.tables_put_off", 0, 0, 0},
	{"unwind_rows", GAUGE, "", "Rows of unwind tables in kernel memory", "unwinder.rows", 0, 0,
	 0},
	{"unwind_memory_bytes", GAUGE, "bytes", "Kernel memory of unwind tables",
	 "unwinder.memory_bytes", 0, 0, 0},
	{"unwind_memory_limit_bytes", GAUGE, "bytes", "limits.unwind_memory",
	 "unwinder.memory_limit_bytes", 0, 0, 0},
	{"mapping_sets", GAUGE, "", "Address spaces known to the kernel side",
	 "unwinder.mapping_sets", 0, 0, 0},
	{"unwind_cache_hits", COUNTER, "", "Tables found on disk", "unwinder.cache.hits", 0, 0, 0},
	{"unwind_cache_misses", COUNTER, "", "Tables not found on disk", "unwinder.cache.misses", 0,
	 0, 0},
	{"unwind_cache_failures", COUNTER, "", "Files of it that were damaged, or not written",
	 "unwinder.cache.damaged", 0, "reason", "damaged"},
	{"unwind_cache_failures", COUNTER, "", "", "unwinder.cache.failed", 0, "reason",
	 "not_written"},
	{"unwind_cache_bytes", GAUGE, "bytes", "Unwind tables on disk", "unwinder.cache.bytes", 0,
	 0, 0},
	{"processes_memory_bytes", GAUGE, "bytes",
	 "Memory of all processes together, what they share counted in each", "memory.file_bytes",
	 0, "kind", "file"},
	{"processes_memory_bytes", GAUGE, "bytes", "", "memory.anon_bytes", 0, "kind", "anon"},
	{"processes_memory_bytes", GAUGE, "bytes", "", "memory.shmem_bytes", 0, "kind", "shmem"},
	{"processes_memory_bytes", GAUGE, "bytes", "", "memory.swap_bytes", 0, "kind", "swap"},
	{"oom_kills", COUNTER, "", "Processes that the kernel killed for want of memory",
	 "memory.oom_kills", 0, 0, 0},
	{"heap_processes", GAUGE, "", "Processes whose allocations are sampled",
	 "memory.heap.processes", 0, 0, 0},
	{"heap_probes", GAUGE, "", "Probes on allocators now", "memory.heap.probes", 0, 0, 0},
	{"heap_probes_failed", COUNTER, "", "Probes that could not be put in",
	 "memory.heap.probes_failed", 0, 0, 0},
	{"heap_hits", COUNTER, "", "Calls of allocators that hit a probe", "memory.heap.hits", 0, 0,
	 0},
	{"heap_observed_ratio", GAUGE, "ratio", "Share of the time in which calls are seen",
	 "memory.heap.observed", 0, 0, 0},
	{"history_windows", COUNTER, "", "Windows written to the history", "history.windows", 0, 0,
	 0},
	{"history_windows_waiting", GAUGE, "", "Windows that wait to be written", "history.waiting",
	 0, 0, 0},
	{"history_windows_dropped", COUNTER, "", "Windows that were given up", "history.dropped", 0,
	 0, 0},
	{"history_age_seconds", GAUGE, "seconds", "Age of the newest window's end",
	 "history.stored_ago_ns", NS, 0, 0},
	{"history_oldest_timestamp_seconds", GAUGE, "seconds",
	 "Beginning of the first day that is kept, since the epoch", "history.oldest_ns", NS, 0, 0},
	{"history_databases", GAUGE, "", "Databases there are", "history.days", 0, 0, 0},
	{"history_databases_removed", COUNTER, "", "Databases removed for age or room",
	 "history.days_removed", 0, 0, 0},
	{"history_databases_damaged", COUNTER, "", "Databases set aside", "history.damaged", 0, 0,
	 0},
	{"history_journal_damaged", COUNTER, "", "Places of an earlier perfd's journal not read",
	 "history.journal_damaged", 0, 0, 0},
	{"history_journal_lost_bytes", COUNTER, "bytes", "What was there",
	 "history.journal_lost_bytes", 0, 0, 0},
	{"history_size_bytes", GAUGE, "bytes", "History on disk", "history.bytes", 0, 0, 0},
	{"history_limit_bytes", GAUGE, "bytes", "history.size", "history.limit_bytes", 0, 0, 0},
	{"cpu_seconds", COUNTER, "seconds", "CPU time of perfd's own processes", "cost.cpu_ns", NS,
	 "process", "daemon"},
	{"cpu_seconds", COUNTER, "seconds", "", "cost.worker_cpu_ns", NS, "process", "worker"},
	{"resident_memory_bytes", GAUGE, "bytes", "Resident memory of perfd's own processes",
	 "cost.rss_bytes", 0, "process", "daemon"},
	{"resident_memory_bytes", GAUGE, "bytes", "", "cost.worker_rss_bytes", 0, "process",
	 "worker"},
	{"bpf_seconds", COUNTER, "seconds",
	 "Time in perfd's BPF programs (0 unless kernel.bpf_stats_enabled is 1)", "cost.bpf_run_ns",
	 NS, 0, 0},
	{"bpf_runs", COUNTER, "", "Runs of perfd's BPF programs (likewise)", "cost.bpf_runs", 0, 0,
	 0},
	{"sessions", GAUGE, "", "Sessions open", "server.sessions", 0, 0, 0},
	{"clients", GAUGE, "", "Connections to the control socket", "server.clients", 0, 0, 0},
	{"clients_limit", GAUGE, "", "daemon.clients_max", "server.clients_max", 0, 0, 0},
	{"requests", COUNTER, "", "Requests to the control socket", "server.requests", 0, 0, 0},
	{"request_failures", COUNTER, "", "Requests refused or failed", "server.request_errors", 0,
	 0, 0},
	{"clients_dropped", COUNTER, "", "Connections ended by perfd, by why", "server.bad_frames",
	 0, "reason", "bad_frame"},
	{"clients_dropped", COUNTER, "", "", "server.client_timeouts", 0, "reason", "timeout"},
	{"clients_dropped", COUNTER, "", "", "server.clients_refused", 0, "reason", "limit"},
	{"metrics_scrapes", COUNTER, "", "Texts of metrics made", "metrics.scrapes", 0, 0, 0},
	{"metrics_server_restarts", COUNTER, "", "Processes that serve metrics, started anew",
	 "metrics.restarts", 0, 0, 0},
};
#define METRIC_COUNT (sizeof(metrics) / sizeof(metrics[0]))

static const json_t *place_of(const json_t *status, const char *path)
{
	char words[128], *save = NULL;

	snprintf(words, sizeof(words), "%s", path);
	for (char *word = strtok_r(words, ".", &save); word && status;
	     word = strtok_r(NULL, ".", &save))
		status = json_object_get(status, word);
	return status;
}

static void put_name(struct strbuf *out, const struct metric *metric, bool total)
{
	strbuf_printf(out, PREFIX "%s%s", metric->name,
		      total && metric->type == COUNTER ? "_total" : "");
}

/* A counter's family has no "_total" in OpenMetrics; Prometheus's older format knows none. */
static void put_family(struct strbuf *out, const struct metric *metric, enum metrics_form form)
{
	static const char *const types[] = {[COUNTER] = "counter", [GAUGE] = "gauge"};
	bool total = form == METRICS_PLAIN;

	strbuf_puts(out, "# TYPE ");
	put_name(out, metric, total);
	strbuf_printf(out, " %s\n", types[metric->type]);
	if (metric->unit[0] && form == METRICS_OPENMETRICS) {
		strbuf_puts(out, "# UNIT ");
		put_name(out, metric, false);
		strbuf_printf(out, " %s\n", metric->unit);
	}
	strbuf_puts(out, "# HELP ");
	put_name(out, metric, total);
	strbuf_printf(out, " %s.\n", metric->help);
}

static void put_sample(struct strbuf *out, const struct metric *metric, const char *value,
		       const json_t *number)
{
	double scale = metric->scale > 0 ? metric->scale : 1;

	put_name(out, metric, true);
	if (metric->label)
		strbuf_printf(out, "{%s=\"%s\"}", metric->label, value);
	if (json_is_integer(number) && scale == 1)
		strbuf_printf(out, " %" JSON_INTEGER_FORMAT "\n", json_integer_value(number));
	else
		strbuf_printf(out, " %.12g\n", json_number_value(number) * scale);
}

static void put_samples(struct strbuf *out, const struct metric *metric, const json_t *place)
{
	const char *key;
	json_t *number;

	if (json_is_number(place)) {
		put_sample(out, metric, metric->value, place);
		return;
	}
	json_object_foreach((json_t *)(uintptr_t)place, key, number) if (json_is_number(number))
		put_sample(out, metric, key, number);
}

int metrics_text(const json_t *status, enum metrics_form form, struct strbuf *out)
{
	const char *version = json_string_value(json_object_get(status, "version"));
	const char *family = "";

	strbuf_printf(out, "# TYPE " PREFIX "build%s %s\n", form == METRICS_PLAIN ? "_info" : "",
		      form == METRICS_PLAIN ? "gauge" : "info");
	strbuf_printf(out, "# HELP " PREFIX "build%s Which perfd this is.\n",
		      form == METRICS_PLAIN ? "_info" : "");
	strbuf_printf(out, PREFIX "build_info{version=\"%s\"} 1\n", version ? version : "");
	for (size_t i = 0; i < METRIC_COUNT; i++) {
		const struct metric *metric = &metrics[i];
		const json_t *place = place_of(status, metric->path);

		if (!json_is_number(place) &&
		    !(metric->label && !metric->value && json_is_object(place)))
			continue;
		if (strcmp(family, metric->name) != 0)
			put_family(out, metric, form);
		family = metric->name;
		put_samples(out, metric, place);
	}
	if (form == METRICS_OPENMETRICS)
		strbuf_puts(out, "# EOF\n");
	return strbuf_error(out);
}
