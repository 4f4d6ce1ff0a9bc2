/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/config.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "bpf/abi.h"
#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"

#define FILE_MAX (1u << 20) /* bytes of a config file; ours has some 4 KiB */
#define LINE_LENGTH_MAX 512
#define SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

#define KIB (1ULL << 10)
#define MIB (1ULL << 20)
#define GIB (1ULL << 30)

enum kind {
	KIND_PATH, /* absolute; max is its length in bytes */
	KIND_TEXT, /* may be empty; max is its length in bytes */
	KIND_CHOICE, /* one of the words in unit */
	KIND_NUMBER,
	KIND_SIZE, /* bytes */
	KIND_SIZE_POWER, /* bytes, a power of two */
	KIND_TIME, /* nanoseconds */
};

/*
 * All settings, in the order of struct config:
 * X(section, key, field, kind, unit, default, min, max, help)
 * For a choice, unit lists the words. A line of help has at most 76 bytes.
 */
/* clang-format off */
#define CONFIG_KEYS(X)                                                                             \
	X("daemon", "socket", socket, KIND_PATH, "path", "/run/perfd/perfd.sock",                  \
	  1, SOCKET_PATH_MAX, "Control socket. perfctl looks for it there.")                       \
	X("daemon", "group", socket_group, KIND_TEXT, "group", "perfd", 0, 63,                     \
	  "Members see every process; others see their own. Empty: root only.")                    \
	X("daemon", "log", log_level, KIND_CHOICE, "error warning info debug", "info", 0, 15,      \
	  "Messages below this level are left out of the log.")                                    \
	X("daemon", "clients_max", clients_max, KIND_NUMBER, "connections", "64", 1, 4096,         \
	  "Connections to the socket at once.")                                                    \
	X("cpu", "event", event, KIND_CHOICE, "cpu-clock cycles", "cpu-clock", 0, 15,              \
	  "What takes samples: a timer, or the cycle counter where there is one.")                 \
	X("cpu", "frequency_hz", frequency_hz, KIND_NUMBER, "Hz", "99", 0, 100000,                 \
	  "System-wide samples a second and CPU. 0: only sessions sample.")                        \
	X("cpu", "session_frequency_hz", session_frequency_hz, KIND_NUMBER, "Hz", "99", 1, 100000, \
	  "Rate of a session that asks for none (perfctl -F).")                                    \
	X("cpu", "frequency_max_hz", frequency_max_hz, KIND_NUMBER, "Hz", "10000", 1, 100000,      \
	  "A session that asks for more is refused.")                                              \
	X("history", "window", window_ns, KIND_TIME, "time", "10s",                                \
	  100 * NSEC_PER_MSEC, 3600 * NSEC_PER_SEC,                                                \
	  "Width of a window of the system-wide view: its resolution in time.")                    \
	X("history", "keep", keep_ns, KIND_TIME, "time", "5m",                                     \
	  NSEC_PER_SEC, 24 * 3600 * NSEC_PER_SEC,                                                  \
	  "How much of the system-wide view stays in memory.")                                     \
	X("limits", "sessions_max", sessions_max, KIND_NUMBER, "sessions", "31",                   \
	  1, ABI_SLOTS_MAX - 1, "Sessions (perfctl attach, record) at once.")                      \
	X("limits", "processes_max", processes_max, KIND_NUMBER, "processes", "65536",             \
	  64, 4194304, "Processes known, those that ended a moment ago included.")                 \
	X("limits", "mappings_max", mappings_max, KIND_NUMBER, "mappings", "2097152",              \
	  1024, 67108864, "Executable mappings known, of all processes together.")                 \
	X("limits", "ring_bytes", ring_bytes, KIND_SIZE_POWER, "size", "1M",                       \
	  64 * KIB, GIB, "Each ring buffer between the kernel side and the daemon.")               \
	X("limits", "sideband_bytes", sideband_bytes, KIND_SIZE_POWER, "size", "1M",               \
	  64 * KIB, 64 * MIB, "Buffer a CPU for process and mapping events.")                      \
	X("limits", "stacks_max", stacks_max, KIND_NUMBER, "stacks", "65536", 1024, 16777216,      \
	  "Distinct stacks kept, in the kernel and in the daemon.")                                \
	X("limits", "samples_max", samples_max, KIND_NUMBER, "samples", "2097152",                 \
	  1024, 1ULL << 32, "Distinct aggregated samples of one session.")                         \
	X("limits", "exited_grace", exited_grace_ns, KIND_TIME, "time", "10s",                     \
	  0, 3600 * NSEC_PER_SEC, "A process that ended stays known this long.")                   \
	X("limits", "worker_memory", worker_memory_bytes, KIND_SIZE, "size", "1G",                 \
	  64 * MIB, 64 * GIB, "Address space of the symbolizer worker.")                           \
	X("limits", "worker_deadline", worker_deadline_ns, KIND_TIME, "time", "5s",                \
	  100 * NSEC_PER_MSEC, 600 * NSEC_PER_SEC,                                                 \
	  "A worker that is longer at one request is replaced.")                                   \
	X("limits", "worker_images_max", worker_images_max, KIND_NUMBER, "files", "256",           \
	  4, 65536, "Program files the worker keeps open and parsed.")
/* clang-format on */

struct key {
	const char *section;
	const char *name;
	enum kind kind;
	const char *unit;
	const char *initial;
	uint64_t min, max;
	const char *help;
	size_t offset, size; /* of the field in struct config */
};

static const struct key keys[] = {
#define X(s, n, field, k, u, d, low, high, h)                                                      \
	{.section = s,                                                                             \
	 .name = n,                                                                                \
	 .kind = k,                                                                                \
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
#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))

/* A struct made of the table's fields alone must look like struct config: a
 * field without a row, or a row out of order, does not compile. */
struct config_mirror {
#define X(s, n, field, k, u, d, low, high, h) __typeof__(((struct config *)0)->field) field;
	CONFIG_KEYS(X)
#undef X
};
_Static_assert(sizeof(struct config_mirror) == sizeof(struct config), "a field has no row");
#define X(s, n, field, k, u, d, low, high, h)                                                      \
	_Static_assert(offsetof(struct config_mirror, field) == offsetof(struct config, field),    \
		       "the row of " #field " is out of order, or a field before it has no row");
CONFIG_KEYS(X)
#undef X

/* Pairs that must not cross. */
static const struct {
	const char *lower, *upper;
} orders[] = {
	{"frequency_hz", "frequency_max_hz"},
	{"session_frequency_hz", "frequency_max_hz"},
	{"window", "keep"},
};

struct unit {
	const char *name;
	uint64_t factor;
};

/* Largest first: the first that divides a value is used to print it. */
static const struct unit time_units[] = {
	{"h", 3600 * NSEC_PER_SEC},
	{"m", 60 * NSEC_PER_SEC},
	{"s", NSEC_PER_SEC},
	{"ms", NSEC_PER_MSEC},
	{"us", 1000},
	{"ns", 1},
};
static const struct unit size_units[] = {{"G", GIB}, {"M", MIB}, {"K", KIB}, {"", 1}};

static const struct unit *units_of(enum kind kind, size_t *ret_count)
{
	static const struct unit plain[] = {{"", 1}};

	switch (kind) {
	case KIND_TIME:
		*ret_count = sizeof(time_units) / sizeof(time_units[0]);
		return time_units;
	case KIND_SIZE:
	case KIND_SIZE_POWER:
		*ret_count = sizeof(size_units) / sizeof(size_units[0]);
		return size_units;
	default:
		*ret_count = 1;
		return plain;
	}
}

static bool is_text(const struct key *key)
{
	return key->kind == KIND_PATH || key->kind == KIND_TEXT || key->kind == KIND_CHOICE;
}

/* --- numbers ------------------------------------------------------------- */

static void put_number(struct strbuf *out, const struct key *key, uint64_t value)
{
	size_t count;
	const struct unit *units = units_of(key->kind, &count);

	for (size_t i = 0; i < count; i++) {
		bool whole = value ? value % units[i].factor == 0 : units[i].factor <= NSEC_PER_SEC;

		if (whole) {
			strbuf_put_u64(out, value / units[i].factor);
			strbuf_puts(out, value || key->kind == KIND_TIME ? units[i].name : "");
			return;
		}
	}
}

static uint64_t load_number(const struct config *config, const struct key *key)
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

static void store_number(struct config *config, const struct key *key, uint64_t value)
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
static bool parse_number(const struct key *key, const char *text, uint64_t *ret)
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
static void put_expected(struct strbuf *out, const struct key *key)
{
	static const char *const nouns[] = {
		[KIND_NUMBER] = "a number",
		[KIND_SIZE] = "a size",
		[KIND_SIZE_POWER] = "a size that is a power of two,",
		[KIND_TIME] = "a time",
	};

	switch (key->kind) {
	case KIND_PATH:
		strbuf_printf(out, "an absolute path of at most %u bytes", (unsigned)key->max);
		return;
	case KIND_TEXT:
		strbuf_printf(out, "at most %u bytes", (unsigned)key->max);
		return;
	case KIND_CHOICE:
		strbuf_printf(out, "one of: %s", key->unit);
		return;
	default:
		break;
	}
	strbuf_puts(out, nouns[key->kind]);
	strbuf_puts(out, " from ");
	put_number(out, key, key->min);
	strbuf_puts(out, " to ");
	put_number(out, key, key->max);
	if (key->kind == KIND_TIME)
		strbuf_puts(out, " (units: ns, us, ms, s, m, h)");
	else if (key->kind != KIND_NUMBER)
		strbuf_puts(out, " (units: K, M, G)");
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

static bool text_allowed(const struct key *key, const char *value)
{
	size_t n = strlen(value);

	if (n > key->max || n >= key->size)
		return false;
	switch (key->kind) {
	case KIND_PATH:
		return value[0] == '/';
	case KIND_CHOICE:
		return is_choice(key->unit, value);
	default:
		return true;
	}
}

static bool number_allowed(const struct key *key, uint64_t value)
{
	if (value < key->min || value > key->max)
		return false;
	return key->kind != KIND_SIZE_POWER || (value & (value - 1)) == 0;
}

static int set_value(struct config *config, const struct key *key, const char *value,
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
	put_expected(&expected, key);
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

static const struct key *find_key(const char *section, const char *name)
{
	for (size_t i = 0; i < KEY_COUNT; i++) {
		if (!strcmp(keys[i].section, section) && !strcmp(keys[i].name, name))
			return &keys[i];
	}
	return NULL;
}

static const char *find_section(const char *name)
{
	for (size_t i = 0; i < KEY_COUNT; i++) {
		if (!strcmp(keys[i].section, name))
			return keys[i].section;
	}
	return NULL;
}

static int unknown_key(const char *section, const char *name, struct error *error)
{
	const struct key *best = NULL;
	size_t best_slip = SIZE_MAX;

	for (size_t i = 0; i < KEY_COUNT; i++) {
		bool here = !strcmp(keys[i].section, section);
		size_t far = slip(name, keys[i].name);

		if (far == SIZE_MAX)
			continue;
		far = 2 * far + !here; /* a key of this section wins a tie */
		if (far < best_slip) {
			best_slip = far;
			best = &keys[i];
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

static int unknown_section(const char *name, struct error *error)
{
	const char *best = NULL;
	size_t best_slip = SIZE_MAX;

	for (size_t i = 0; i < KEY_COUNT; i++) {
		size_t far = slip(name, keys[i].section);

		if (far < best_slip) {
			best_slip = far;
			best = keys[i].section;
		}
	}
	if (best)
		return error_set(error, -EINVAL, "unknown section [%.80s]; did you mean [%s]?",
				 name, best);
	return error_set(error, -EINVAL,
			 "unknown section [%.80s]: expected [daemon], [cpu], [history] or [limits]",
			 name);
}

/* --- the file ------------------------------------------------------------ */

struct parser {
	struct config config; /* the result in the making */
	const char *section; /* NULL before the first header */
	unsigned line;
	unsigned lines[KEY_COUNT]; /* where each key was set; 0: not in this file */
};

/* Cuts blanks from both ends, in place. */
static char *trim(char *text)
{
	char *end;

	while (isspace((unsigned char)*text))
		text++;
	end = text + strlen(text);
	while (end > text && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return text;
}

/* A comment begins with a # at the line's beginning or after a blank. */
static void cut_comment(char *line)
{
	for (char *at = line; *at; at++) {
		if (*at == '#' && (at == line || isspace((unsigned char)at[-1]))) {
			*at = '\0';
			return;
		}
	}
}

static int parse_header(struct parser *parser, char *text, struct error *error)
{
	char *end = strchr(text, ']');
	const char *name;

	if (!end || end[1])
		return error_set(error, -EINVAL, "\"%.80s\": expected \"[section]\"", text);
	*end = '\0';
	name = trim(text + 1);
	parser->section = find_section(name);
	return parser->section ? 0 : unknown_section(name, error);
}

static int parse_setting(struct parser *parser, char *text, struct error *error)
{
	char *equals = strchr(text, '=');
	const struct key *key;
	const char *name;
	unsigned *line;

	if (!equals)
		return error_set(error, -EINVAL, "\"%.80s\": expected \"key = value\"", text);
	*equals = '\0';
	name = trim(text);
	if (!parser->section)
		return error_set(error, -EINVAL, "key \"%.80s\" stands before the first [section]",
				 name);
	key = find_key(parser->section, name);
	if (!key)
		return unknown_key(parser->section, name, error);
	line = &parser->lines[key - keys];
	if (*line)
		return error_set(error, -EINVAL, "\"%s\" was set already in line %u", key->name,
				 *line);
	*line = parser->line;
	return set_value(&parser->config, key, trim(equals + 1), error);
}

static int parse_line(struct parser *parser, const char *bytes, size_t n, struct error *error)
{
	char buffer[LINE_LENGTH_MAX + 1];
	char *text;

	if (n > LINE_LENGTH_MAX)
		return error_set(error, -EINVAL, "line of %zu bytes: expected at most %d", n,
				 LINE_LENGTH_MAX);
	if (memchr(bytes, '\0', n))
		return error_set(error, -EINVAL, "a NUL byte: this is no text file");
	memcpy(buffer, bytes, n);
	buffer[n] = '\0';
	cut_comment(buffer);
	text = trim(buffer);
	if (!*text)
		return 0;
	return *text == '[' ? parse_header(parser, text, error)
			    : parse_setting(parser, text, error);
}

static int check_orders(const struct config *config, const unsigned *lines, unsigned *ret_line,
			struct error *error)
{
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		_cleanup_(strbuf_deinit) struct strbuf values = {0};
		const struct key *lower = NULL, *upper = NULL;

		for (size_t k = 0; k < KEY_COUNT; k++) {
			if (!strcmp(keys[k].name, orders[i].lower))
				lower = &keys[k];
			else if (!strcmp(keys[k].name, orders[i].upper))
				upper = &keys[k];
		}
		if (load_number(config, lower) <= load_number(config, upper))
			continue;
		if (lines) {
			unsigned a = lines[lower - keys], b = lines[upper - keys];

			*ret_line = a > b ? a : b;
		}
		strbuf_printf(&values, "%s = ", lower->name);
		put_number(&values, lower, load_number(config, lower));
		strbuf_printf(&values, ": expected at most %s = ", upper->name);
		put_number(&values, upper, load_number(config, upper));
		return error_set(error, -EINVAL, "%s", strbuf_text(&values));
	}
	return 0;
}

int config_check(const struct config *config, struct error *error)
{
	return check_orders(config, NULL, NULL, error);
}

int config_parse(struct config *config, const char *name, const char *text, size_t n,
		 struct error *error)
{
	struct parser parser = {.config = *config};
	int r = 0;

	for (size_t at = 0; at < n && !r;) {
		const char *end = memchr(text + at, '\n', n - at);
		size_t length = end ? (size_t)(end - text) - at : n - at;

		parser.line++;
		r = parse_line(&parser, text + at, length, error);
		at += length + 1;
	}
	if (!r)
		r = check_orders(&parser.config, parser.lines, &parser.line, error);
	if (r) {
		error_prefix(error, "%s:%u", name, parser.line);
		return r;
	}
	*config = parser.config;
	return 0;
}

int config_load(struct config *config, const char *path, struct error *error)
{
	_cleanup_free_ char *text = malloc(FILE_MAX + 1);
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	size_t n;

	if (!text)
		return error_set(error, -ENOMEM, "%s: out of memory", path);
	if (!file)
		return error_set(error, -errno, "%s: %s", path, strerror(errno));
	errno = 0;
	n = fread(text, 1, FILE_MAX + 1, file);
	if (ferror(file))
		return error_set(error, errno ? -errno : -EIO, "%s: %s", path,
				 strerror(errno ? errno : EIO));
	if (n > FILE_MAX)
		return error_set(error, -EFBIG, "%s: expected at most 1M bytes of settings", path);
	return config_parse(config, path, text, n, error);
}

void config_init(struct config *config)
{
	memset(config, 0, sizeof(*config));
	for (size_t i = 0; i < KEY_COUNT; i++) {
		int r = set_value(config, &keys[i], keys[i].initial, NULL);

		/* The unit tests load every default, so this does not happen. */
		if (r)
			log_error("default of %s.%s is out of bounds", keys[i].section,
				  keys[i].name);
	}
}

int config_set(struct config *config, const char *key, const char *value, struct error *error)
{
	char section[32];
	const char *dot = strchr(key, '.');
	const char *known;
	const struct key *row;

	if (!dot || (size_t)(dot - key) >= sizeof(section))
		return error_set(error, -EINVAL, "\"%.80s\": expected \"section.key\"", key);
	memcpy(section, key, (size_t)(dot - key));
	section[dot - key] = '\0';
	known = find_section(section);
	if (!known)
		return unknown_section(section, error);
	row = find_key(known, dot + 1);
	if (!row)
		return unknown_key(known, dot + 1, error);
	return set_value(config, row, value, error);
}

/* --- texts made from the table -------------------------------------------- */

void config_write_template(struct strbuf *out)
{
	const char *section = "";

	strbuf_puts(out,
		    "# Settings of perfd. Every key stands here with its default; take the #\n"
		    "# from those you change. \"perfd --help-config\" shows what is in force.\n"
		    "# Sizes take K, M, G (binary); times ns, us, ms, s, m, h.\n");
	for (size_t i = 0; i < KEY_COUNT; i++) {
		const struct key *key = &keys[i];

		if (strcmp(section, key->section)) {
			section = key->section;
			strbuf_printf(out, "\n[%s]\n", section);
		} else {
			strbuf_putc(out, '\n');
		}
		strbuf_printf(out, "# %s\n# Expected: ", key->help);
		put_expected(out, key);
		if (key->kind == KIND_NUMBER)
			strbuf_printf(out, " (%s)", key->unit);
		strbuf_printf(out, "\n#%s = %s\n", key->name, key->initial);
	}
}

void config_explain(const struct config *config, struct strbuf *out)
{
	for (size_t i = 0; i < KEY_COUNT; i++) {
		const struct key *key = &keys[i];

		strbuf_printf(out, "%s.%s = ", key->section, key->name);
		if (is_text(key))
			strbuf_puts(out, (const char *)config + key->offset);
		else
			put_number(out, key, load_number(config, key));
		strbuf_printf(out, "\n    %s\n    Expected: ", key->help);
		put_expected(out, key);
		if (key->kind == KIND_NUMBER)
			strbuf_printf(out, " (%s)", key->unit);
		strbuf_printf(out, ". Default: %s\n", key->initial);
	}
}
