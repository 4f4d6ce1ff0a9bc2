/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The log: one line a message on stderr, with a level. When stderr is the
 * journal ($JOURNAL_STREAM names the device and inode of what stderr is, see
 * systemd.exec(5)) lines carry the "<N>" priority prefix that sd-daemon(3)
 * describes; otherwise, also where only the variable was inherited, "perfd:
 * warning: …". A line break inside a message becomes a blank: what it tells of
 * may be foreign, and must not look like a line of ours.
 *
 * log_error_errno(-errno, "…") logs and gives the code back, so that a failure
 * is said and returned in one statement.
 */
#pragma once

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* `program` is kept, not copied. Messages above `max` are dropped. */
void log_init(const char *program, enum log_level max);
enum log_level log_max_level(void);
/* Name to level ("error", "warning", "info", "debug"); -EINVAL if unknown. */
int log_level_parse(const char *name, enum log_level *ret);
const char *log_level_name(enum log_level level);

void log_message(enum log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Appends ": <strerror>" and returns `code` (negative errno). */
int log_errno(enum log_level level, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Whatever the level: who did what (daemon/audit.h). */
void log_notice(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define log_error(...) log_message(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_message(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_message(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_error_errno(code, ...) log_errno(LOG_LEVEL_ERROR, code, __VA_ARGS__)
#define log_warning_errno(code, ...) log_errno(LOG_LEVEL_WARNING, code, __VA_ARGS__)
