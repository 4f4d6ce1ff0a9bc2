/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/config_key.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "bpf/abi.h"
#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"

#define SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

#define KIB (1ULL << 10)
#define MIB (1ULL << 20)
#define GIB (1ULL << 30)

/*
 * All settings, in the order of struct config:
 * X(section, key, field, kind, effect, unit, default, min, max, help)
 * For a choice, unit lists the words. A line of help has at most 76 bytes. effect: a new value
 * holds NOW, when the settings are read again (who does so is engine_reconfigure() and
 * server_reconfigure(), or whoever reads the field each time), or after a RESTART.
 */
/* clang-format off */
#define CONFIG_KEYS(X)                                                                             \
	X("daemon", "socket", socket, CONFIG_PATH, RESTART, "path", "/run/perfd/perfd.sock",       \
	  1, SOCKET_PATH_MAX, "Control socket. perfctl looks for it there.")                       \
	X("daemon", "socket_group", socket_group, CONFIG_TEXT, NOW, "group", "perfd", 0, 63,       \
	  "Members see every process; others see their own. Empty: root only.")                    \
	X("daemon", "log_level", log_level, CONFIG_CHOICE, NOW, "error warning info debug", "info", 0, 15, \
	  "Messages below this level are left out of the log.")                                    \
	X("daemon", "clients_max", clients_max, CONFIG_NUMBER, NOW, "connections", "64", 1, 4096,  \
	  "Connections to the socket at once.")                                                    \
	X("daemon", "btf", btf, CONFIG_PATH, RESTART, "path", "", 0, CONFIG_PATH_MAX - 1,          \
	  "The kernel's BTF, where it does not show its own. Empty: its own.")                     \
	X("cpu", "event", event, CONFIG_CHOICE, RESTART, "cpu-clock cycles", "cpu-clock", 0, 15,   \
	  "What takes samples: a timer, or the cycle counter where there is one.")                 \
	X("cpu", "frequency_hz", frequency_hz, CONFIG_NUMBER, NOW, "Hz", "99", 0, 100000,      \
	  "System-wide samples a second and CPU. 0: only sessions sample.")                        \
	X("cpu", "session_frequency_hz", session_frequency_hz, CONFIG_NUMBER, NOW, "Hz", "99", 1, 100000, \
	  "Rate of a session that asks for none (perfctl -F).")                                    \
	X("cpu", "frequency_max_hz", frequency_max_hz, CONFIG_NUMBER, NOW, "Hz", "10000", 1, 100000, \
	  "A session that asks for more is refused.")                                              \
	X("memory", "faults_hz", faults_hz, CONFIG_NUMBER, NOW, "Hz", "19", 0, 100000,         \
	  "System-wide page-fault samples a second and CPU, at most. 0: none.")                    \
	X("memory", "mmap_hz", mmap_hz, CONFIG_NUMBER, NOW, "Hz", "19", 0, 100000,             \
	  "System-wide samples of mmap, mremap and brk, and of munmap, a second and CPU, at "      \
	  "most; kernels before 6.14 have none. 0: none.")                                         \
	X("memory", "view_budget", view_budget_permille, CONFIG_NUMBER, NOW, "1/1000 of one CPU", "1", \
	  0, 1000, "What looking at page faults, and at mappings, of the whole machine may cost "  \
	  "the CPU that has most of them; beyond that a part of the time is looked at. 0: no limit.") \
	X("memory", "rss_interval", rss_interval_ns, CONFIG_TIME, NOW, "time", "1s",               \
	  0, 3600 * NSEC_PER_SEC, "Between two looks at what every process has of memory. 0: none.") \
	X("memory", "heap_interval", heap_interval_bytes, CONFIG_SIZE, NOW, "size", "64K",         \
	  256, GIB, "-e heap: bytes between two sampled allocations, on average.")                 \
	X("memory", "heap_probes", heap_probes, CONFIG_TEXT, RESTART, "patterns", "", 0, 255,      \
	  "Programs whose allocations are looked at all the time, by probes on their allocators "  \
	  "within heap_budget for all of them: names with * and ?, apart by spaces; * alone is "   \
	  "every program. Empty: none. perfctl report -e heap shows them.")                        \
	X("memory", "heap_budget", heap_budget_permille, CONFIG_NUMBER, NOW, "1/1000 of one CPU", "10", \
	  1, 1000, "-e heap: what probes on a process's allocator may cost it. 1000: they stay in.")                   \
	X("memory", "heap_frees", heap_frees, CONFIG_CHOICE, NOW, "on off", "on", 0, 3,            \
	  "-e heap: whether probes on a process's allocator look at what it frees, too: what is "  \
	  "in use, leaks, lives how long. Off: twice as much of the time is observed.")            \
	X("memory", "heap_objects", heap_objects, CONFIG_NUMBER, RESTART, "objects", "1048576",    \
	  16, 16777216, "Sampled allocations in use that a session follows at most; more are "     \
	  "counted.")                                                                              \
	X("memory", "patterns", heap_patterns, CONFIG_CHOICE, NOW, "auto off", "auto", 0, 7,            \
	  "-e heap: heap_interval, and the size from which all are taken, follow from how each "   \
	  "process allocates.")                                                                    \
	X("budget", "machine", budget_permille, CONFIG_NUMBER, NOW, "1/1000 of all CPUs", "10",         \
	  0, 1000, "What all of perfd may cost; rates are lowered to keep it. 0: no limit.")       \
	X("budget", "mappings", mappings, CONFIG_CHOICE, NOW, "auto told sampled", "auto", 0, 15,       \
	  "All mappings of code are told, or those of what is sampled looked at. auto: by the cost.") \
	X("budget", "process", budget_process_permille, CONFIG_NUMBER, NOW, "1/1000 of its time", "50", \
	  0, 1000, "What samples may cost the thread that they hit. 0: no limit.")                 \
	X("budget", "thin", budget_thin, CONFIG_NUMBER, NOW, "firings", "5", 1, 255, "Of a process that " \
	  "the system-wide clock hits often, so many firings become one sample. 1: each does.")    \
	X("budget", "floor_hz", budget_floor_hz, CONFIG_NUMBER, NOW, "Hz", "79", 1, 100000,             \
	  "System-wide rates are lowered no further, that what is rare is still seen.")            \
	X("budget", "session_floor_hz", budget_session_floor_hz, CONFIG_NUMBER, NOW, "Hz", "99",        \
	  1, 100000, "Nor are sessions', or what they asked for if that is less.")                 \
	X("budget", "precision", precision_permille, CONFIG_NUMBER, NOW, "1/1000", "0", 0, 200,         \
	  "Shares of CPU time are wanted as exact as this, at 95 %. 0: frequency_hz.")             \
	X("budget", "precision_time", precision_time_ns, CONFIG_TIME, NOW, "time", "1m",                \
	  NSEC_PER_SEC, 24 * 3600 * NSEC_PER_SEC, "After so long; the rate follows from it.")      \
	X("budget", "patterns", patterns, CONFIG_CHOICE, NOW, "auto off", "auto", 0, 7,            \
	  "Where nobody named a rate: by what a process does (docs/rates.md).")                    \
	X("history", "window", window_ns, CONFIG_TIME, RESTART, "time", "1s",                      \
	  100 * NSEC_PER_MSEC, 3600 * NSEC_PER_SEC,                                                \
	  "Width of a window of the system-wide view: its resolution in time.")                    \
	X("history", "keep", keep_ns, CONFIG_TIME, NOW, "time", "5m",                              \
	  NSEC_PER_SEC, 24 * 3600 * NSEC_PER_SEC,                                                  \
	  "How much of it stays in memory, where there is no history on disk.")                    \
	X("history", "dir", history_dir, CONFIG_PATH, RESTART, "path", "/var/lib/perfd",           \
	  0, CONFIG_PATH_MAX - 1, "The system-wide views are kept here, for later. Empty: nowhere.") \
	X("history", "size", history_bytes, CONFIG_SIZE, NOW, "size", "1G",                        \
	  0, 1024 * GIB, "What that may take; the oldest goes first. 0: nothing is kept.")         \
	X("history", "age", history_age_ns, CONFIG_TIME, NOW, "time", "168h",                      \
	  3600 * NSEC_PER_SEC, 87600 * 3600 * NSEC_PER_SEC, "Days that are older go.")             \
	X("history", "minutes_after", history_minutes_after_ns, CONFIG_TIME, NOW, "time", "1h",     \
	  60 * NSEC_PER_SEC, 87600 * 3600 * NSEC_PER_SEC,                                          \
	  "Windows of that age are summed up to minutes.")                                         \
	X("history", "hours_after", history_hours_after_ns, CONFIG_TIME, NOW, "time", "48h",       \
	  3600 * NSEC_PER_SEC, 87600 * 3600 * NSEC_PER_SEC,                                        \
	  "Windows of that age are summed up to hours.")                                           \
	X("unwind", "cache_dir", unwind_cache_dir, CONFIG_PATH, RESTART, "path", "/var/cache/perfd", \
	  0, CONFIG_PATH_MAX - 1, "Unwind tables are kept here over a restart. Empty: nowhere.")   \
	X("unwind", "cache_size", unwind_cache_bytes, CONFIG_SIZE, RESTART, "size", "256M",        \
	  0, 64 * GIB, "What they may take there; the least used go first. 0: nothing.")           \
	X("symbols", "debuginfod_urls", debuginfod_urls, CONFIG_TEXT, RESTART, "URLs", "", 0, 1023, \
	  "Servers of debug files, apart by spaces; told build ids. Empty: none.")                 \
	X("symbols", "debuginfod_cache_dir", debuginfod_cache_dir, CONFIG_PATH, RESTART, "path",   \
	  "/var/cache/perfd-debuginfod", 1, CONFIG_PATH_MAX - 1, "Where what they sent is kept.")  \
	X("symbols", "debuginfod_cache_size", debuginfod_cache_bytes, CONFIG_SIZE, RESTART, "size", "1G", \
	  MIB, 1024 * GIB, "What it may take there; the least used go. One file: half of it.")     \
	X("symbols", "debuginfod_timeout", debuginfod_timeout_ns, CONFIG_TIME, RESTART, "time", "90s", \
	  NSEC_PER_SEC, 3600 * NSEC_PER_SEC, "For one file.")                                      \
	X("metrics", "listen", metrics_listen, CONFIG_TEXT, RESTART, "address", "", 0, CONFIG_PATH_MAX - 1, \
	  "Unix socket or loopback address:port where metrics are served. Empty: none.") \
	X("limits", "sessions_max", sessions_max, CONFIG_NUMBER, NOW, "sessions", "31",            \
	  1, ABI_SESSION_SLOTS - 1, "Sessions (perfctl attach, record) at once.")                  \
	X("limits", "processes_max", processes_max, CONFIG_NUMBER, RESTART, "processes", "65536",  \
	  64, 4194304, "Processes known, those that ended a moment ago included.")                 \
	X("limits", "mappings_max", mappings_max, CONFIG_NUMBER, RESTART, "mappings", "2097152",   \
	  1024, 67108864, "Executable mappings known, of all processes together.")                 \
	X("limits", "ring_bytes", ring_bytes, CONFIG_SIZE_POWER, RESTART, "size", "1M",            \
	  64 * KIB, GIB, "Each ring buffer between the kernel side and the daemon.")               \
	X("limits", "sideband_bytes", sideband_bytes, CONFIG_SIZE_POWER, RESTART, "size", "1M",    \
	  64 * KIB, 64 * MIB, "Buffer a CPU for process and mapping events.")                      \
	X("limits", "stacks_max", stacks_max, CONFIG_NUMBER, RESTART, "stacks", "65536", 1024, 16777216, \
	  "Distinct stacks kept, in the kernel and in the daemon.")                                \
	X("limits", "samples_max", samples_max, CONFIG_NUMBER, NOW, "samples", "2097152",          \
	  1024, 1ULL << 32, "Distinct aggregated samples of one session.")                         \
	X("limits", "exited_grace", exited_grace_ns, CONFIG_TIME, NOW, "time", "10s",              \
	  0, 3600 * NSEC_PER_SEC, "A process that ended stays known this long.")                   \
	X("limits", "unwind_memory", unwind_memory_bytes, CONFIG_SIZE, RESTART, "size", "128M",    \
	  1 * MIB, 1024 * MIB, "Kernel memory for unwind tables; the least used go first.")        \
	X("limits", "worker_memory", worker_memory_bytes, CONFIG_SIZE, RESTART, "size", "1G",      \
	  64 * MIB, 64 * GIB, "Address space of the symbolizer worker.")                           \
	X("limits", "worker_deadline", worker_deadline_ns, CONFIG_TIME, RESTART, "time", "5s",     \
	  100 * NSEC_PER_MSEC, 600 * NSEC_PER_SEC,                                                 \
	  "A worker that is longer at one request is replaced.")                                   \
	X("limits", "opener_deadline", opener_deadline_ns, CONFIG_TIME, RESTART, "time", "1s",     \
	  10 * NSEC_PER_MSEC, 600 * NSEC_PER_SEC,                                                  \
	  "An opener that is longer at one file (of a dead server) is replaced.")                  \
	X("limits", "worker_images_max", worker_images_max, CONFIG_NUMBER, RESTART, "files", "256", \
	  4, 65536, "Program files the worker keeps open and parsed.")
/* clang-format on */

const struct config_key config_keys[] = {
#define X(s, n, field, k, e, u, d, low, high, h)                                                   \
	{.section = s,                                                                             \
	 .name = n,                                                                                \
	 .kind = k,                                                                                \
	 .effect = CONFIG_##e,                                                                     \
	 .unit = u,                                                                                \
	 .initial = d,                                                                             \
	 .min = low,                                                                               \
	 .max = high,                                                                              \
	 .help = h,                                                                                \
	 .offset = offsetof(struct config, field),                                                 \
	 .size = sizeof(((struct config *)0)->field)},
	CONFIG_KEYS(X)
#undef X
};
/* The array has its size from the header, so the rows are counted by themselves. */
#define X(...) +1
_Static_assert(CONFIG_KEYS(X) == CONFIG_KEY_COUNT, "CONFIG_KEY_COUNT");
#undef X

/* A struct made of the table's fields alone must look like struct config: a
 * field without a row, or a row out of order, does not compile. */
struct config_mirror {
#define X(s, n, field, k, e, u, d, low, high, h) __typeof__(((struct config *)0)->field) field;
	CONFIG_KEYS(X)
#undef X
};
_Static_assert(sizeof(struct config_mirror) == sizeof(struct config), "a field has no row");
#define X(s, n, field, k, e, u, d, low, high, h)                                                   \
	_Static_assert(offsetof(struct config_mirror, field) == offsetof(struct config, field),    \
		       "the row of " #field " is out of order, or a field before it has no row");
CONFIG_KEYS(X)
#undef X

struct unit {
	const char *name;
	uint64_t factor;
};

/* Largest first: the first that divides a value is used to print it. */
static const struct unit time_units[] = {{"h", 3600 * NSEC_PER_SEC},
					 {"m", 60 * NSEC_PER_SEC},
					 {"s", NSEC_PER_SEC},
					 {"ms", NSEC_PER_MSEC},
					 {"us", 1000},
					 {"ns", 1}};
static const struct unit size_units[] = {{"G", GIB}, {"M", MIB}, {"K", KIB}, {"", 1}};

static const struct unit *units_of(enum config_kind kind, size_t *ret_count)
{
	static const struct unit plain[] = {{"", 1}};

	switch (kind) {
	case CONFIG_TIME:
		*ret_count = sizeof(time_units) / sizeof(time_units[0]);
		return time_units;
	case CONFIG_SIZE:
	case CONFIG_SIZE_POWER:
		*ret_count = sizeof(size_units) / sizeof(size_units[0]);
		return size_units;
	default:
		*ret_count = 1;
		return plain;
	}
}

static bool is_text(const struct config_key *key)
{
	return key->kind == CONFIG_PATH || key->kind == CONFIG_TEXT || key->kind == CONFIG_CHOICE;
}

/* --- numbers ------------------------------------------------------------- */

void config_key_put_number(const struct config_key *key, uint64_t number, struct strbuf *out)
{
	size_t count;
	const struct unit *units = units_of(key->kind, &count);

	for (size_t i = 0; i < count; i++) {
		bool whole =
			number ? number % units[i].factor == 0 : units[i].factor <= NSEC_PER_SEC;

		if (whole) {
			strbuf_put_u64(out, number / units[i].factor);
			strbuf_puts(out, number || key->kind == CONFIG_TIME ? units[i].name : "");
			return;
		}
	}
}

uint64_t config_key_number(const struct config_key *key, const struct config *config)
{
	const char *field = (const char *)config + key->offset;
	uint32_t narrow;
	uint64_t wide;

	if (key->size == sizeof(narrow)) {
		memcpy(&narrow, field, sizeof(narrow));
		return narrow;
	}
	memcpy(&wide, field, sizeof(wide));
	return wide;
}

static void store_number(struct config *config, const struct config_key *key, uint64_t value)
{
	char *field = (char *)config + key->offset;
	uint32_t narrow = (uint32_t)value;

	if (key->size == sizeof(narrow))
		memcpy(field, &narrow, sizeof(narrow));
	else
		memcpy(field, &value, sizeof(value));
}

/* Digits, then one of the units. False for anything else, and for what does not
 * fit into 64 bits. */
static bool parse_number(const struct config_key *key, const char *text, uint64_t *ret)
{
	size_t count;
	const struct unit *units = units_of(key->kind, &count);
	uint64_t value = 0;
	const char *at = text;

	for (; isdigit((unsigned char)*at); at++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
			return false;
	}
	if (at == text)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(at, units[i].name))
			continue;
		if (__builtin_mul_overflow(value, units[i].factor, &value))
			return false;
		*ret = value;
		return true;
	}
	return false;
}

/* --- what a value may be ------------------------------------------------- */

/* "a time from 100ms to 1h (ns, us, ms, s, m, h)" */
void config_key_put_expected(const struct config_key *key, struct strbuf *out)
{
	static const char *const nouns[] = {
		[CONFIG_NUMBER] = "a number",
		[CONFIG_SIZE] = "a size",
		[CONFIG_SIZE_POWER] = "a size that is a power of two,",
		[CONFIG_TIME] = "a time",
	};

	switch (key->kind) {
	case CONFIG_PATH:
		strbuf_printf(out, "an absolute path of at most %u bytes%s", (unsigned)key->max,
			      key->min ? "" : ", or nothing");
		return;
	case CONFIG_TEXT:
		strbuf_printf(out, "at most %u bytes", (unsigned)key->max);
		return;
	case CONFIG_CHOICE:
		strbuf_printf(out, "one of: %s", key->unit);
		return;
	default:
		break;
	}
	strbuf_puts(out, nouns[key->kind]);
	strbuf_puts(out, " from ");
	config_key_put_number(key, key->min, out);
	strbuf_puts(out, " to ");
	config_key_put_number(key, key->max, out);
	if (key->kind == CONFIG_TIME)
		strbuf_puts(out, " (units: ns, us, ms, s, m, h)");
	else if (key->kind != CONFIG_NUMBER)
		strbuf_puts(out, " (units: K, M, G)");
}

const char *config_key_type(const struct config_key *key)
{
	static const char *const types[] = {
		[CONFIG_PATH] = "path",     [CONFIG_TEXT] = "text", [CONFIG_CHOICE] = "choice",
		[CONFIG_NUMBER] = "number", [CONFIG_SIZE] = "size", [CONFIG_SIZE_POWER] = "size",
		[CONFIG_TIME] = "time",
	};

	return types[key->kind];
}

bool config_key_same(const struct config_key *key, const struct config *a, const struct config *b)
{
	const char *left = (const char *)a + key->offset, *right = (const char *)b + key->offset;

	return is_text(key) ? !strcmp(left, right) : !memcmp(left, right, key->size);
}

void config_key_copy(const struct config_key *key, struct config *to, const struct config *from)
{
	memcpy((char *)to + key->offset, (const char *)from + key->offset, key->size);
}

void config_key_put_value(const struct config_key *key, const struct config *config,
			  struct strbuf *out)
{
	if (is_text(key))
		strbuf_puts(out, (const char *)config + key->offset);
	else
		config_key_put_number(key, config_key_number(key, config), out);
}

static bool is_choice(const char *words, const char *value)
{
	size_t n = strlen(value);

	for (const char *at = words; n && *at;) {
		size_t word = strcspn(at, " ");

		if (word == n && !memcmp(at, value, n))
			return true;
		at += word + strspn(at + word, " ");
	}
	return false;
}

static bool text_allowed(const struct config_key *key, const char *value)
{
	size_t n = strlen(value);

	if (n > key->max || n >= key->size)
		return false;
	switch (key->kind) {
	case CONFIG_PATH:
		return value[0] == '/' || (!value[0] && !key->min);
	case CONFIG_CHOICE:
		return is_choice(key->unit, value);
	default:
		return true;
	}
}

static bool number_allowed(const struct config_key *key, uint64_t value)
{
	if (value < key->min || value > key->max)
		return false;
	return key->kind != CONFIG_SIZE_POWER || (value & (value - 1)) == 0;
}

int config_key_set(const struct config_key *key, struct config *config, const char *value,
		   struct error *error)
{
	_cleanup_(strbuf_deinit) struct strbuf expected = {0};
	uint64_t number;

	if (is_text(key)) {
		if (text_allowed(key, value)) {
			snprintf((char *)config + key->offset, key->size, "%s", value);
			return 0;
		}
	} else if (parse_number(key, value, &number) && number_allowed(key, number)) {
		store_number(config, key, number);
		return 0;
	}
	config_key_put_expected(key, &expected);
	return error_set(error, -EINVAL, "%s = \"%.80s\": expected %s", key->name, value,
			 strbuf_text(&expected));
}

/* --- finding a key, or the one that was meant ----------------------------- */

/* Levenshtein's distance of two words of at most 31 bytes; else a large one. */
static size_t distance(const char *a, const char *b)
{
	size_t row[32];
	size_t a_length = strlen(a), b_length = strlen(b);

	if (a_length > 31 || b_length > 31)
		return 64;
	for (size_t j = 0; j <= b_length; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_length; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b_length; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[b_length];
}

/* Close enough to be a slip: a third of the word, or the word with its unit
 * left out ("window_ns", "frequency"). */
static size_t slip(const char *written, const char *known)
{
	size_t n = strlen(written), m = strlen(known), apart = distance(written, known);

	if (!strncmp(written, known, n < m ? n : m) && n >= 3 && m >= 3)
		return apart < 3 ? apart : 3;
	return apart <= (n < 6 ? 2 : n / 3) ? apart : SIZE_MAX;
}

const struct config_key *config_key_find(const char *section, const char *name)
{
	for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
		if (!strcmp(config_keys[i].section, section) && !strcmp(config_keys[i].name, name))
			return &config_keys[i];
	}
	return NULL;
}

const char *config_section_find(const char *name)
{
	for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
		if (!strcmp(config_keys[i].section, name))
			return config_keys[i].section;
	}
	return NULL;
}

int config_key_unknown(const char *section, const char *name, struct error *error)
{
	const struct config_key *best = NULL;
	size_t best_slip = SIZE_MAX;

	for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
		bool here = !strcmp(config_keys[i].section, section);
		size_t far = slip(name, config_keys[i].name);

		if (far == SIZE_MAX)
			continue;
		far = 2 * far + !here; /* a key of this section wins a tie */
		if (far < best_slip) {
			best_slip = far;
			best = &config_keys[i];
		}
	}
	if (!best)
		return error_set(error, -EINVAL, "unknown key \"%.80s\" in [%s]", name, section);
	if (strcmp(best->section, section))
		return error_set(error, -EINVAL,
				 "unknown key \"%.80s\" in [%s]; did you mean \"%s\" in [%s]?",
				 name, section, best->name, best->section);
	return error_set(error, -EINVAL, "unknown key \"%.80s\" in [%s]; did you mean \"%s\"?",
			 name, section, best->name);
}

/* A name without its section. */
static int parse_bare(const char *name, struct error *error, const struct config_key **ret)
{
	const struct config_key *found = NULL, *best = NULL;
	size_t best_slip = SIZE_MAX;

	for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
		const struct config_key *key = &config_keys[i];
		size_t far = slip(name, key->name);

		if (!strcmp(key->name, name) && found)
			return error_set(error, -EINVAL,
					 "\"%.80s\" is in [%s] and in [%s]: name one "
					 "of them, as %s.%s",
					 name, found->section, key->section, found->section, name);
		if (!strcmp(key->name, name))
			found = key;
		if (far < best_slip) {
			best_slip = far;
			best = key;
		}
	}
	if (!found && best)
		return error_set(error, -EINVAL, "unknown key \"%.80s\"; did you mean \"%s.%s\"?",
				 name, best->section, best->name);
	if (!found)
		return error_set(error, -EINVAL,
				 "unknown key \"%.80s\" (see `perfctl config show`)", name);
	*ret = found;
	return 0;
}

int config_key_parse(const char *text, struct error *error, const struct config_key **ret)
{
	const char *dot = strchr(text, '.'), *known;
	const struct config_key *key;
	char section[32];

	if (!dot)
		return parse_bare(text, error, ret);
	snprintf(section, sizeof(section), "%.*s", (int)(dot - text), text);
	known = config_section_find(section);
	if (!known)
		return config_section_unknown(section, error);
	key = config_key_find(known, dot + 1);
	if (!key)
		return config_key_unknown(known, dot + 1, error);
	*ret = key;
	return 0;
}

/* "[daemon], [cpu] or [limits]", in the order of the table. */
static const char *sections(char *list, size_t size)
{
	const char *last = config_keys[CONFIG_KEY_COUNT - 1].section, *before = NULL;
	size_t n = 0;

	for (size_t i = 0; i < CONFIG_KEY_COUNT && n < size; i++) {
		const char *section = config_keys[i].section;

		if (before && !strcmp(before, section))
			continue;
		n += (size_t)snprintf(list + n, size - n, "%s[%s]",
				      !before                 ? ""
				      : strcmp(section, last) ? ", "
							      : " or ",
				      section);
		before = section;
	}
	return list;
}

int config_section_unknown(const char *name, struct error *error)
{
	char list[256];
	const char *best = NULL;
	size_t best_slip = SIZE_MAX;

	for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
		size_t far = slip(name, config_keys[i].section);

		if (far < best_slip) {
			best_slip = far;
			best = config_keys[i].section;
		}
	}
	if (best)
		return error_set(error, -EINVAL, "unknown section [%.80s]; did you mean [%s]?",
				 name, best);
	return error_set(error, -EINVAL, "unknown section [%.80s]: expected %s", name,
			 sections(list, sizeof(list)));
}
