/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Finds and opens the further files that a program's debug information is in
 * (client.h's symbolizer_part), with the daemon's privileges, for the worker to read. Like
 * debug_file.h it never reads a byte, and looks in the process's own root first.
 *
 * Names of them are foreign: a program may say any. So nothing is opened but a
 * regular file that is not empty, and that everybody may read, or that belongs to the user
 * whose the program's file is (and is no file of root's own, but for root's
 * split units by their names): what a name leads to is nothing that its
 * author could not have read himself. Whether it is what is meant, by its id, is
 * for the worker to check.
 *
 * Places, the first that is there:
 *  - what dwz made: .build-id/ab/cdef….debug below /usr/lib/debug; its name, if that is
 *    absolute; else from the program's folder, that folder below /usr/lib/debug,
 *    and the folder .build-id/ab there; and .dwz/… below /usr/lib/debug, for a name with that;
 *  - a package: PROGRAM.dwp, the same below /usr/lib/debug (and with .debug.dwp), and
 *    .build-id/ab/cdef….dwp there;
 *  - a .dwo (or .o: its name must end in one of these): its name, in the folder it was
 *    compiled in if it is relative; else from the program's folder, whole and its last part.
 */
#pragma once

#include <sys/types.h>

#include "symbolizer/client.h"
#include "symbolizer/debug_file.h"

/* path: the program's, absolute, as the process has it. *ret_fd is for reading,
 * close-on-exec, the caller's. -ENOENT: there is none; -EACCES: it is not for
 * this program's owner to read; -EINVAL; else as debug_file_open(). */
int debug_part_open(pid_t pid, const char *path, const struct symbolizer_part *part, int *ret_fd);
int debug_part_open_in(const struct debug_file_places *places, pid_t pid, const char *path,
		       const struct symbolizer_part *part, int *ret_fd);
