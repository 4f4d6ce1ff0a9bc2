/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Opens the file in which a process's just-in-time compiler writes its names,
 * /tmp/perf-PID.map as that process sees it: below its root, and with the process id
 * that it has in the innermost of its pid namespaces. For the worker to
 * read: not a byte of it is read here. A /tmp that hangs hangs the caller (opener.h).
 *
 * /tmp is everybody's: the file must be a regular one, reached without any symbolic
 * link, and belong to the user that the process runs as.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "symbolizer/opener.h"

/* *ret_fd: for reading, close-on-exec, the caller's. care: as opener.h has it; NULL.
 * -ENOENT: there is none; -EPERM: it is somebody else's; -ENOEXEC: no regular file;
 * -EHOSTDOWN: on a file system that is to be left alone; -ESRCH; others from where it
 * could not be reached. */
int perf_map_file_open(pid_t pid, const struct opener_care *care, int *ret_fd);
/* The two facts out of a /proc/PID/status, for tests. -EINVAL: they are not there. */
int perf_map_file_status(const char *status, pid_t *ret_pid, uid_t *ret_uid);
