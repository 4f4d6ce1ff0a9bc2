/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Opens the file behind a mapping of some process, from the outside: with the
 * daemon's privileges, for the worker to read. The opener itself never reads a
 * byte of it.
 *
 * In this order, the first that gives the right file wins:
 *  1. /proc/PID/map_files/START-END: the mapped file itself, deleted or in
 *     another mount namespace (needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN);
 *  2. the path below /proc/PID/root, with symbolic links kept inside it;
 *  3. /proc/PID/exe, if it is the same file;
 *  4. the path as it is here, if the process or its root cannot be reached.
 *
 * The right file: a regular one, not empty, whose inode number is the
 * mapping's where that is known. The device is not insisted on: overlayfs and
 * btrfs show one in a mapping and another in stat(2); where it differs the low
 * 32 bits of the inode number are compared, for overlayfs puts a layer's number
 * above them ("xino"). Where the kernel gave a build id instead of an inode the
 * caller compares it with symbolizer_image.build_id.
 *
 * It does not block on FIFOs and devices: the file is looked up with O_PATH,
 * examined without asking its file system (AT_STATX_DONT_SYNC), and only then
 * opened. A file system that hangs (NFS, FUSE) does hang the caller: so the daemon
 * has this done by a process that it can do without (openers.h). What opens files
 * directly is perfctl, for its own user, who can press Ctrl-C.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/base/error.h"

struct opener_identity { /* all 0: not known */
	uint32_t dev_major, dev_minor; /* of the file system, as the mapping has it */
	uint64_t inode;
};

/* What is to be left alone, and whom to tell before it may hang; for openers.h. */
struct opener_care {
	const uint64_t *avoid; /* file systems (their st_dev) that gave no answer lately */
	size_t avoid_count;
	bool local_only; /* only file systems on a device of this machine */
	void (*about)(void *context, uint64_t device); /* may be NULL */
	void *context;
};

/* Whether a file system may be asked, which is told to care->about then: NULL, or why
 * not. care may be NULL. dev_major, dev_minor: as statx(2) has them. */
const char *opener_care_forbids(const struct opener_care *care, uint32_t dev_major,
				uint32_t dev_minor);

/* pid 0: no process, only the path. map_start and map_end are process addresses
 * (0, 0: not known); path as the mapping has it, " (deleted)" and all; id may be
 * NULL. *ret_fd is for reading, close-on-exec, the caller's.
 * -ESTALE: another file is in its place; -ENOENT, -EACCES, -ESRCH, -ENOEXEC (no
 * regular file) ... with a sentence that says what was tried. */
int opener_open(pid_t pid, uint64_t map_start, uint64_t map_end, const char *path,
		const struct opener_identity *id, struct error *error, int *ret_fd);
/* The same with care; -EHOSTDOWN: on a file system that is to be left alone. *ret_sure: it is
 * the mapped file, by the mapping itself or by its inode; a path may be another's since, or,
 * of a process that is gone, lie below another root. */
int opener_open_carefully(pid_t pid, uint64_t map_start, uint64_t map_end, const char *path,
			  const struct opener_identity *id, const struct opener_care *care,
			  struct error *error, int *ret_fd, bool *ret_sure);
