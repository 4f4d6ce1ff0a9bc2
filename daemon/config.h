/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The daemon's settings. One table (config.c) holds for every key its section,
 * name, type, unit, default, bounds and help; the file, --set, the shipped
 * configs/perfd.conf and the documentation all come from it.
 *
 * File format: "[section]" lines, "key = value" lines, "#" comments. Sizes
 * take K, M, G (binary); times ns, us, ms, s, m, h; booleans yes/no.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/base/strbuf.h"

#define CONFIG_PATH_MAX 256

struct config {
	/* [daemon] */
	char socket[CONFIG_PATH_MAX]; /* control socket; at most 107 bytes (sockaddr_un) */
	char socket_group[64]; /* group that may see all; "perfd" */
	char log_level[16]; /* enum log_level by name */
	uint32_t clients_max;
	char btf[CONFIG_PATH_MAX]; /* "": /sys/kernel/btf/vmlinux */
	/* [cpu] */
	char event[16]; /* "cpu-clock" or "cycles" */
	uint32_t frequency_hz; /* system-wide rate; 0: only sessions sample */
	uint32_t session_frequency_hz; /* of a session that names none */
	uint32_t frequency_max_hz; /* above: refused */
	/* [memory] */
	uint32_t faults_hz; /* page-fault samples of the system-wide view; 0: none */
	uint32_t mmap_hz; /* likewise of mmap, munmap, mremap and brk */
	uint32_t view_budget_permille; /* of a CPU's time, for each of the two; 0: no limit */
	uint64_t rss_interval_ns; /* between two looks at all processes' memory; 0: none */
	uint64_t heap_interval_bytes; /* between two sampled allocations, on average */
	char heap_probes[256]; /* names with * and ?, apart by spaces; "": none */
	uint32_t heap_budget_permille; /* of a process's time, for probes on its allocator */
	char heap_frees[4]; /* "on", "off": whether what a process frees is looked at, too */
	uint32_t heap_objects; /* in use and followed, of a session */
	char heap_patterns[8]; /* "auto": daemon/alloc_pattern.h has a say; "off" */
	/* [budget] */
	uint32_t budget_permille; /* of the machine, for all of perfd; 0: no limit */
	char mappings[16]; /* "auto", "told", "sampled" */
	uint32_t budget_process_permille; /* of a process's time, for its samples; likewise */
	uint32_t budget_thin; /* firings on a busy process to a sample of the view */
	uint32_t budget_floor_hz; /* the system-wide view keeps this rate */
	uint32_t budget_session_floor_hz; /* likewise a session, or what it asked for */
	uint32_t precision_permille; /* half-width wished of a share's interval; 0: none */
	uint64_t precision_time_ns; /* in so much time */
	char patterns[8]; /* "auto": daemon/pattern.h has a say; "off" */
	/* [history] */
	uint64_t window_ns; /* width of an aggregation window of the system-wide view */
	uint64_t keep_ns; /* how much of it stays in memory, where there is no history on disk */
	char history_dir[CONFIG_PATH_MAX]; /* "": no history on disk */
	uint64_t history_bytes; /* 0: likewise */
	uint64_t history_age_ns; /* older days go */
	uint64_t history_minutes_after_ns; /* windows become a minute wide at that age */
	uint64_t history_hours_after_ns; /* an hour */
	/* [unwind] */
	char unwind_cache_dir[CONFIG_PATH_MAX]; /* "": tables are not kept on disk */
	uint64_t unwind_cache_bytes; /* 0: likewise */
	/* [symbols] */
	char debuginfod_urls[1024]; /* apart by spaces; "": none is asked */
	char debuginfod_cache_dir[CONFIG_PATH_MAX];
	uint64_t debuginfod_cache_bytes;
	uint64_t debuginfod_timeout_ns; /* for one file */
	/* [metrics] */
	char metrics_listen[CONFIG_PATH_MAX]; /* as metrics_address.h has it; "": none are served */
	/* [limits] */
	uint32_t sessions_max; /* < ABI_SESSION_SLOTS */
	uint32_t processes_max;
	uint32_t mappings_max; /* of all processes together */
	uint64_t ring_bytes; /* BPF ring buffer, each of the rings; a power of two */
	uint64_t sideband_bytes; /* perf side-band buffer a CPU; a power of two */
	uint32_t stacks_max; /* distinct stacks kept, kernel and daemon */
	uint64_t samples_max; /* distinct aggregated samples of one session */
	uint64_t exited_grace_ns; /* an exited process stays known this long */
	uint64_t unwind_memory_bytes; /* kernel memory for unwind tables */
	uint64_t worker_memory_bytes; /* address space of the symbolizer worker */
	uint64_t worker_deadline_ns; /* for one request, then it is killed */
	uint64_t opener_deadline_ns; /* for opening one file */
	uint32_t worker_images_max; /* files held open and parsed */
};

void config_init(struct config *config); /* defaults */
/* Sets one key: "section.key" and its text; error says what was expected. */
int config_set(struct config *config, const char *key, const char *value, struct error *error);
/* Reads a file over what is there; on error *config is unchanged and the error
 * begins with "file:line:". */
int config_load(struct config *config, const char *path, struct error *error);
/* Likewise; lines[i] is where the file sets the key of row i of the table, 0: it does not.
 * NULL: nobody wants to know. */
int config_load_lines(struct config *config, const char *path, unsigned *lines,
		      struct error *error);
/* The same for `n` bytes of text; `name` stands for the file in errors. */
int config_parse(struct config *config, const char *name, const char *text, size_t n,
		 struct error *error);
/* Settings that only make sense together (a rate above the highest one, a window
 * longer than the history). config_load() does this itself; call it once after
 * the last config_set(). */
int config_check(const struct config *config, struct error *error);
/* The commented file that ships as configs/perfd.conf, from the table. */
void config_write_template(struct strbuf *out);
/* All keys with value, unit, default, bounds, help, as text for --help-config. */
void config_explain(const struct config *config, struct strbuf *out);
