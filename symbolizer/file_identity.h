/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * By what an open file is known again later, as the very same bytes, without
 * reading it: device, inode, size, modification and change time, owner.
 *
 * Why not by build id: that is what a file says of itself. Anybody may give a
 * file of their own the build id and the size of the C library, have it mapped
 * once, and all that is remembered under that build id would be theirs. The
 * change time cannot be chosen: the kernel sets it, by its own clock, with every
 * change of the file. So what is remembered under an identity came from these
 * bytes, whoever owns them, and nobody can dress another file as this one. The
 * price: copies of a file are each remembered for themselves.
 *
 * What could pretend has no identity: files whose times or numbers are a user's
 * or another machine's to say (FUSE, network file systems); and files that were
 * changed a moment ago, for a second change within the same tick of the clock
 * would not be seen. (So programs that are compiled, run once and thrown away
 * leave nothing behind either.) An overlay has another device number with each
 * mount of the same layers; it is left out there, that containers of one image
 * be alike: inode and times are those of the layer's file.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A change so young might not be the last one with that change time. */
#define FILE_IDENTITY_YOUNG_NS 2000000000ULL

struct file_identity { /* without padding: compared and hashed as bytes */
	uint64_t device; /* 0: an overlay's */
	uint64_t inode;
	uint64_t size;
	uint64_t mtime_ns, ctime_ns;
	uint64_t uid;
};

/* False if the file has none. */
bool file_identity_take(int fd, struct file_identity *ret);
/* The same at another time of CLOCK_REALTIME, ns. */
bool file_identity_take_at(int fd, uint64_t now, struct file_identity *ret);
