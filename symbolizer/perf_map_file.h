/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Opens the file in which a process's just-in-time compiler writes its names,
 * /tmp/perf-PID.map as that process sees it: below its root, and with the process id
 * that it has in the innermost of its pid namespaces. With the daemon's privileges, for
 * the worker to read: not a byte of it is read here.
 *
 * /tmp is everybody's: the file must be a regular one, reached without any symbolic
 * link, and belong to the user that the process runs as.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* *ret_fd: for reading, close-on-exec, the caller's. -ENOENT: there is none; -EPERM: it
 * is somebody else's; -ENOEXEC: no regular file; -ESRCH; others from where it could not
 * be reached. */
int perf_map_file_open(pid_t pid, int *ret_fd);
/* The two facts out of a /proc/PID/status, for tests. -EINVAL: they are not there. */
int perf_map_file_status(const char *status, pid_t *ret_pid, uid_t *ret_uid);
