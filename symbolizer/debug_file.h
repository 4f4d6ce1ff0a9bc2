/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Finds and opens a separate debug file by its build id or name, with the daemon's
 * privileges, for the worker to read. Like the opener it never reads a byte:
 * whether the file is what its name says is for the worker to check.
 *
 * The place by build id is the one that gdb, elfutils and the distributions agree on (gdb
 * manual, "Separate Debug Files"): .build-id/ab/cdef….debug below
 * /usr/lib/debug, first in the process's own root, then in the daemon's.
 * The places by name (.gnu_debuglink) are the program's folder, .debug in that, and the
 * same folder below /usr/lib/debug, in both roots; the first that is there is it.
 * Symbolic links are followed, but never out of that root. Only regular files
 * that are not empty are opened, after a look at them with O_PATH, so FIFOs and
 * devices do not block.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct debug_file_places { /* folders, for tests to have their own */
	const char *proc; /* "/proc" */
	const char *host_root; /* "/" */
	const char *debug; /* below either root: "usr/lib/debug" */
	const char *folder; /* below either root: "usr/lib/debug/.build-id" */
};

const struct debug_file_places *debug_file_system_places(void);

/* For whom a file is opened whose name is foreign: it must be for everybody to read,
 * or belong to this user. */
struct debug_file_reader {
	uid_t user;
	bool not_roots_own; /* that root owns it is not enough, where root is the user */
};

/* pid 0: no process, the host's place only. *ret_fd is for reading,
 * close-on-exec, the caller's. -ENOENT: there is none; -EINVAL: a build id of
 * fewer than 2 or more than 64 bytes; -ENOEXEC: no regular file, or an empty
 * one; -EACCES and the like from where it could not be reached. */
int debug_file_open(pid_t pid, const uint8_t *build_id, size_t size, int *ret_fd);
int debug_file_open_in(const struct debug_file_places *places, pid_t pid, const uint8_t *build_id,
		       size_t size, int *ret_fd);
/* By the name that the program at `path` (as its process has it) gives; never that
 * program itself. -ENOENT: there is none; -EINVAL: the path is not absolute, or the name
 * has a folder; else as above. */
int debug_file_open_link(pid_t pid, const char *path, const char *name, int *ret_fd);
int debug_file_open_link_in(const struct debug_file_places *places, pid_t pid, const char *path,
			    const char *name, int *ret_fd);
/* By its path in either root. reader: NULL, or -EACCES for what is not his. */
int debug_file_open_path_in(const struct debug_file_places *places, pid_t pid, const char *path,
			    const struct debug_file_reader *reader, int *ret_fd);
