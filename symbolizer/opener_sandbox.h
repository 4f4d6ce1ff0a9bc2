/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Takes from the calling process, for good, all that opening other processes' files
 * for reading does not need. It must have one thread only. What stays:
 *
 *  - CAP_SYS_PTRACE: /proc/PID/root, map_files and mem of other users' processes;
 *  - CAP_CHECKPOINT_RESTORE, or CAP_SYS_ADMIN where a kernel before 5.9 or the
 *    daemon's own rights lack that: to follow links in /proc/PID/map_files;
 *  - CAP_DAC_READ_SEARCH: files and folders that only their owner may read;
 *  - the system calls for looking up and opening, never for writing or creating, and
 *    for its socket.
 *
 * It becomes uid and gid 65534 if it was root and has CAP_DAC_READ_SEARCH, so that
 * root's files are not its own to write. Landlock is no layer here: it would forbid
 * looking at other processes.
 */
#pragma once

/* keep_fd: stays open beside stdin, stdout and stderr. What is not granted is said in
 * the log. Ends the process (exit code 71) if privilege is left that it could not drop. */
void opener_sandbox_enter(int keep_fd);
