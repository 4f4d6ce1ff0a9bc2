/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The files that code is mapped from, each under one small id whoever maps it.
 * A file is known by its build id, or by device and inode where it has none.
 *
 * A build id is what a file says of itself, and a user's file may say that it is
 * the C library. So a build id is believed of files that only root can have
 * written; of others each mapping is looked at, and another file with the same
 * build id is another image. One of root's takes the build id over. (Not seen is
 * a file of which the process is gone, or that a container's root made.)
 *
 * A file is opened as soon as a living process maps it (it may be deleted, or
 * gone with its container, a moment later), but handed to the symbolizer only
 * when a sample falls into it. Held descriptors are bounded: the oldest that
 * nobody needed is closed first, and can be opened again.
 *
 * What nobody names any more is released (engine_images.c judges that), and the oldest
 * such ids are used again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "bpf/unwind.h"
#include "daemon/base/hashmap.h"
#include "daemon/base/vec.h"
#include "symbolizer/opener_request.h"

#define IMAGE_NONE 0u
#define IMAGE_JIT_MAX 256u /* lists of just-in-time compilers that are held open */
#define IMAGE_REST 256u /* so many released ids are not used again yet */
#define IMAGE_KERNEL UINT32_MAX /* the kernel and its modules: never in the table */

enum image_state {
	IMAGE_KNOWN, /* named by a mapping; nothing opened */
	IMAGE_OPENING, /* an opener has been asked for it */
	IMAGE_OPENED, /* fd held */
	IMAGE_HANDED, /* with the symbolizer, which has not said yet what it is */
	IMAGE_DEBUG, /* likewise, and it has; its debug file is being opened */
	IMAGE_READY, /* there is no more to come */
	IMAGE_FAILED, /* could not be opened or parsed: `why` */
};

/* How a process maps an image: where its file may be reached. */
struct image_use {
	uint32_t pid;
	uint64_t start, end; /* process addresses of the mapping */
};

struct image {
	uint32_t id;
	enum image_state state;
	int fd; /* -1: none; of a file in a parcel (symbolizer/parcel.h) */
	uint32_t dev_major, dev_minor;
	uint64_t inode; /* 0: unknown */
	uint8_t build_id[ABI_BUILD_ID_MAX];
	uint8_t build_id_size;
	bool vdso;
	bool anonymous; /* "//anon", "[heap]", …: memory, no file */
	uint32_t attempts; /* at opening it */
	bool counted; /* as failed */
	uint32_t file_device; /* of the opened file, as the kernel numbers devices; 0: vDSO */
	uint64_t file_inode;
	uint64_t file_changed; /* st_ctime, ns */
	uint32_t file_uid; /* its owner */
	bool sure; /* the opened file is the mapped one: what is known of it can be told of others
		    */
	bool roots; /* only root can have written the opened file */
	struct file_identity identity; /* of the opened file, if `identified` */
	bool identified;
	uint64_t debug_awaited; /* boot time ns until which names wait for its debug file; 0 */
	bool debug_fetched; /* it has one of debuginfod's */
	bool jit; /* one process's code made at run time (jit_code.h), in no mapping */
	bool jit_due; /* jit_code.h's */
	uint64_t jit_over; /* likewise: boot time ns from which on an answer is the last; 0 */
	uint64_t jit_look; /* likewise: its list is being looked for; 0: it is not */
	uint32_t jit_in_frames; /* likewise: generation of the stack table in which it was in some
				 */
	uint32_t jit_dump; /* the image of its compiler's dump; IMAGE_NONE: none */
	uint64_t jit_looked, jit_next, jit_wait; /* ns, likewise */
	bool announced; /* to the kernel side, as the opened file */
	bool told; /* and as `found`: a walk met it (ABI_FOUND) */
	struct unwind_inode found; /* if its inode is not 0, only this file may be opened for it */
	uint8_t idle; /* looks in a row at which nothing named it */
	uint64_t next_use; /* boot time, ns: then a use may be tried though three failed */
	struct image_use use; /* the newest */
	char *path; /* as the process that mapped it first sees it */
	char why[120];
};

struct image_table {
	VEC(struct image *) images; /* images.items[id - 1]; NULL: released */
	VEC(uint32_t) rest; /* released ids, the oldest first, from `next_rest` on */
	size_t next_rest;
	uint64_t released;
	struct hashmap index; /* hash of the identity -> id */
	uint32_t max;
	uint32_t held; /* descriptors */
	uint32_t held_max;
	uint32_t next_close; /* where the search for one to close goes on */
	uint64_t refused; /* images above the limit */
	uint64_t failed;
	uint32_t jit[IMAGE_JIT_MAX]; /* ids; 0: none */
	uint32_t next_jit;
	uint64_t jit_made;
};

void image_table_init(struct image_table *table, uint32_t max, uint32_t held_max);
void image_table_deinit(struct image_table *table);
/* The image of that mapping, added if it is new. IMAGE_NONE above the limit. */
uint32_t image_table_add(struct image_table *table, const struct abi_mmap *mmap);
/* The same for a mapping that a process has now: one of another file that says it
 * has the build id of a user's is told apart from it. */
uint32_t image_table_map(struct image_table *table, const struct abi_mmap *mmap);
/* The same for a file that a walk met: of that device, inode and time of its last change, and of
 * no other. `mmap` has its path, if it was told; without one IMAGE_NONE where it is new. */
uint32_t image_table_find(struct image_table *table, const struct abi_mmap *mmap,
			  const struct unwind_inode *file);
/* How the kernel side knows the opened file. */
struct unwind_inode image_opened(const struct image *image);
/* For the code that a process makes at run time. IMAGE_NONE above the limit of images. */
uint32_t image_table_add_jit(struct image_table *table, uint32_t pid);
/* The same image for another process. */
void image_table_jit_again(struct image_table *table, struct image *image, uint32_t pid);
/* Forgets the images of which gone[id - 1] is true (table->images.count entries): nothing is to
 * name them any more. */
void image_table_release(struct image_table *table, const bool *gone);
/* How many there are now. */
size_t image_table_count(const struct image_table *table);
/* The list of names for it (perf_map_file.h), open for reading and the table's from then
 * on, in place of the one it had. Of more than IMAGE_JIT_MAX the oldest is closed. */
void image_table_jit_file(struct image_table *table, struct image *image, int fd);
struct image *image_table_get(const struct image_table *table, uint32_t id);
/* Is there a file that is to be opened by image->use? (A failed one is tried again, three
 * times in all.) */
bool image_table_wants_file(const struct image *image);
/* The same for a use that is new: now and then more than three are tried. */
bool image_table_wants_use(struct image *image, uint64_t now);
/* It is the vDSO, and has been copied (or not, and has failed): nobody is to be asked. */
bool image_table_open_vdso(struct image_table *table, struct image *image);
/* What an opener is to be asked for, valid as long as the image stays as it is. The
 * image is IMAGE_OPENING from then on. */
void image_table_opening(struct image *image, struct opener_request *ret);
/* And its answer: the file, whose descriptor is the table's from then on, or why not. */
void image_table_opened(struct image_table *table, struct image *image, struct opener_file *file);
void image_table_not_opened(struct image_table *table, struct image *image, const char *why);
/* The descriptor, now the caller's; the image counts as handed over. -1: none. */
int image_table_hand_over(struct image_table *table, struct image *image);
/* What the symbolizer says of the file it was given. -EINVAL: it is not the one
 * that was mapped (another build id), and fails. */
int image_table_ready(struct image_table *table, struct image *image, const uint8_t *build_id,
		      uint8_t build_id_size);
void image_table_fail(struct image_table *table, struct image *image, const char *why);
/* Last part of the path: "libc.so.6"; "[anon]" for memory. */
const char *image_module(const struct image *image);
