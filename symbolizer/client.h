/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The daemon's handle on the symbolizer worker: the child process, without
 * privileges, that alone parses foreign bytes (ELF files, /proc text). Requests
 * go over a socket, files as descriptors; answers come back as callbacks from
 * symbolizer_dispatch(). A worker that dies, or does not answer before the
 * deadline, is killed and replaced; the request it worked on fails with
 * -EFAULT, its image is quarantined, and all the others are sent again.
 *
 * A file that takes long does not hold up the others: when one request has been at the
 * worker for SYMBOLIZER_LATE_NS and others wait, that worker goes on with it, and with
 * that file's later ones, beside a new worker for all others. So there are two workers
 * at most; slow files wait for each other.
 *
 * Ownership: the client owns its child and descriptors; descriptors handed in
 * are the client's from then on, on error too. What a callback is shown lives
 * until it returns. Callbacks run inside symbolizer_dispatch() or
 * symbolizer_tick(), never inside the call that asks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/clock.h"
#include "daemon/base/error.h"
#include "symbolizer/quarantine.h"

struct jvm_layout;
struct libc_functions;
struct probe_points;
struct symbolizer;

/* At most so many requests wait at a time; one more is refused with -EAGAIN. */
#define SYMBOLIZER_PENDING_MAX 16384
/* Others do not wait longer than this for one request. */
#define SYMBOLIZER_LATE_NS (500 * NSEC_PER_MSEC)
/* Requests that go before a table which came before them. */
#define SYMBOLIZER_OVERTAKEN_MAX 64
/* Addresses in one request; more are refused with -E2BIG. */
#define SYMBOLIZER_ADDRESSES_MAX (1u << 20)

/* How names of files are to be told. */
enum symbolizer_flag {
	SYMBOLIZER_ELF_ADDRESSES = 1 << 0, /* what is asked for are those, not file offsets */
	SYMBOLIZER_NO_INLINES = 1 << 1, /* only the function around all inlined ones */
	SYMBOLIZER_DEMANGLE_SHORT = 1 << 2, /* as demangle.h has it; as the linker knows */
	SYMBOLIZER_DEMANGLE_FULL = 1 << 3, /* them without either */
};

/* A further file that an image's debug information is in: its name is foreign, and
 * whoever opens it must hand over nothing that the image's owner could not have
 * read himself (debug_part.h does that). */
enum symbolizer_part_kind {
	SYMBOLIZER_PART_SUPPLEMENT, /* that dwz made: by build id, or name (from the file's folder)
				     */
	SYMBOLIZER_PART_PACKAGE, /* of split units: by the image's path, or build id */
	SYMBOLIZER_PART_UNIT, /* a .dwo: by its name, in its folder if that is relative */
	SYMBOLIZER_PART_KINDS,
};
#define SYMBOLIZER_PART_PATH_MAX 2048u
struct symbolizer_part {
	uint32_t number; /* for symbolizer_add_part() */
	enum symbolizer_part_kind kind;
	uint8_t build_id[20];
	uint8_t build_id_size; /* 0: none */
	uint32_t owner; /* user id of the image's file; UINT32_MAX: it came in a parcel */
	const char *name, *folder; /* "": none; good until the call returns */
};
/* Asks for one; to be answered with symbolizer_add_part(), at once or within
 * SYMBOLIZER_PART_SECONDS: the names of that image wait for it. */
typedef void symbolizer_part_fn(void *context, uint32_t image, const struct symbolizer_part *part);
#define SYMBOLIZER_PART_SECONDS 10

struct symbolizer_config {
	symbolizer_part_fn *find_part; /* NULL: no such file is to be had */
	/* An image's debug file was refused: symbolizer_add_debug(). NULL: nobody cares. */
	void (*debug_refused)(void *context, uint32_t image);
	/* Something of an image's file, or of the list of names with this number, is damaged:
	 * in words, the first time only. NULL: nobody cares. */
	void (*damaged)(void *context, uint32_t image, const char *text);
	void *part_context; /* of all three */
	uint64_t memory_bytes; /* the worker's RLIMIT_AS */
	uint64_t deadline_ns; /* for one request */
	/* Parsed files the worker keeps; the least used goes, and is handed over
	 * again when it is asked for. The client keeps descriptors of four times
	 * as many; one that goes from there is asked for in vain (-ESTALE), until
	 * it is dropped and added again. */
	uint32_t images_max;
	uint32_t flags; /* enum symbolizer_flag */
	/* To exec for the worker: "/proc/self/exe", and its arguments, e.g.
	 * {"perfd", "--worker", NULL}. Kept, not copied. */
	const char *program;
	const char *const *argv;
};

/* One function that covers an address; several for one address where it is
 * inlined (outermost last). */
struct symbolizer_frame {
	const char *name; /* NUL-terminated, never empty */
	const char *module; /* "" for the kernel itself; "ext4", "bpf" */
	const char *file; /* source file, "" if unknown */
	uint32_t line;
	bool inlined;
};

struct symbolizer_name {
	const struct symbolizer_frame *frames; /* leaf first; NULL if there is none */
	uint32_t frame_count; /* 0: no name for this address */
	/* The file offset at which the function begins that covers the address: where there is no
	 * name by the file's unwind tables, else the range of the symbol; 0: not known. */
	uint64_t start;
	/* So many bytes of the file from there on have the very same answer; 0: not known. */
	uint32_t size;
};

/* error: 0 or -errno with a sentence. names: one for each address asked for. */
typedef void symbolizer_names_fn(void *context, int error, const char *text,
				 const struct symbolizer_name *names, size_t count);

/* What /proc/PID/maps says of one mapping. */
struct symbolizer_mapping {
	uint64_t start, length, offset; /* process address, bytes, file offset */
	uint64_t inode;
	uint32_t dev_major, dev_minor;
	bool executable;
	const char *path; /* without " (deleted)", octal escapes undone */
	bool deleted;
};
typedef void symbolizer_maps_fn(void *context, int error, const char *text,
				const struct symbolizer_mapping *mappings, size_t count);

/* What an ELF file said of itself when it was opened. */
struct symbolizer_image {
	uint8_t build_id[20];
	uint8_t build_id_size; /* 0: none */
	uint32_t symbols;
	char debug_name[256]; /* of its debug file, without a folder; "": it names none */
	bool debug_info; /* it has DWARF of its own */
	bool has_parts; /* its debug information is in further files: the client's own business */
};
typedef void symbolizer_image_fn(void *context, int error, const char *text,
				 const struct symbolizer_image *image);

struct symbolizer_stats {
	uint32_t restarts; /* workers that had to be replaced */
	uint32_t quarantined; /* images */
	uint32_t images; /* open now */
	uint32_t debug_files; /* kept now */
	uint32_t debug_refused; /* of another build, damaged, or the worker died of it */
	uint32_t parts; /* further files of debug information that were handed over */
	uint32_t parts_absent; /* those that were not to be had */
	uint32_t parts_refused; /* as debug_refused */
	uint32_t damaged; /* places in files that were found damaged */
	uint64_t requests, answers, failures;
	uint64_t addresses, named;
	int pid; /* the worker's; 0: none now */
	int slow_pid; /* of the one for slow files; 0: none */
	uint32_t slow_images; /* files that it has */
	uint32_t abandoned; /* workers that were killed and do not end */
};

int symbolizer_create(const struct symbolizer_config *config, struct error *error,
		      struct symbolizer **ret);
/* Ends the worker. Requests under way are forgotten, their callbacks not called.
 * Not to be called from inside a callback. */
void symbolizer_destroy(struct symbolizer *symbolizer);
/* Readable when symbolizer_dispatch() has something to do (an epoll descriptor,
 * which counts deadlines too). Should it ever change, `changed` (may be NULL) is
 * called. */
int symbolizer_fd(const struct symbolizer *symbolizer);
void symbolizer_on_fd_change(struct symbolizer *symbolizer, void (*changed)(void *context, int fd),
			     void *context);
/* Handles what has come. Never blocks. */
void symbolizer_dispatch(struct symbolizer *symbolizer);
/* Deadlines and restarts: to be called some four times a second. */
void symbolizer_tick(struct symbolizer *symbolizer);
/* Requests under way. */
size_t symbolizer_pending(const struct symbolizer *symbolizer);
/* What workers did not survive; the client's. Others may add to it. */
struct quarantine *symbolizer_quarantine(struct symbolizer *symbolizer);
/* What was found damaged, in the same form: a file's first place that was. The client's. */
const struct quarantine *symbolizer_damaged(const struct symbolizer *symbolizer);
void symbolizer_get_stats(const struct symbolizer *symbolizer, struct symbolizer_stats *ret);

/* Hands a file over under an id of the caller's choice (nonzero, not reused for
 * another file; -EEXIST while it is in use). fd is a regular ELF file, open for reading. The client
 * keeps a descriptor so that a new worker can have it again. */
int symbolizer_add_image(struct symbolizer *symbolizer, uint32_t image, int fd,
			 symbolizer_image_fn *done, void *context);
void symbolizer_drop_image(struct symbolizer *symbolizer, uint32_t image);
/* Hands over the separate debug file of an image (debug_file.h finds it): its
 * symbols go before the image's own from the next symbolizer_names() on, which
 * is also when it is read. One of another build, that cannot be
 * read or that kills the worker is closed, counted and logged; the image then
 * keeps the names it had. The client keeps the descriptor beside the image's:
 * there may be twice as many as images. -ENOENT: no such image; -EEXIST: it has
 * one; or what its names fail with. */
int symbolizer_add_debug(struct symbolizer *symbolizer, uint32_t image, int fd);
/* Answers a symbolizer_part_fn: fd is open for reading; -1: there is no such file.
 * -ENOENT: nobody waits for it (any more). */
int symbolizer_add_part(struct symbolizer *symbolizer, uint32_t id, uint32_t number, int fd);
/* All of symbolizer_names(), _kernel_names() and _maps() give 0 when the answer
 * will come by callback, or -errno at once and no callback: -ENOENT (no such
 * image), -EAGAIN, -E2BIG, -ENOMEM. */
/* Names for offsets in an image's file (bytes from its beginning, as a mapping
 * gives them: address - start + offset): the worker turns them into ELF
 * addresses by the program headers, so PIE, non-PIE and prelinked are alike. */
int symbolizer_names(struct symbolizer *symbolizer, uint32_t image, const uint64_t *offsets,
		     size_t count, symbolizer_names_fn *done, void *context);
/* Names for process addresses out of a just-in-time compiler's own list (perf_map.h), a
 * regular file, open for reading, which is the client's from then on. `map`: the same
 * number for the same file, so that what was read before need not be read again; not
 * that of an image. */
int symbolizer_jit_names(struct symbolizer *symbolizer, uint32_t map, int fd,
			 const uint64_t *addresses, size_t count, symbolizer_names_fn *done,
			 void *context);
/* Names for kernel addresses (modules and BPF programs too). The client opens
 * /proc/kallsyms with the daemon's rights and hands it over, and again when an
 * address has no name and the list is older than some seconds. */
int symbolizer_kernel_names(struct symbolizer *symbolizer, const uint64_t *addresses, size_t count,
			    symbolizer_names_fn *done, void *context);
/* BPF programs came or went last at that boot time, ns. Who says so once is believed from then on
 * that nothing changed since, and the list is not read again for a name that it has. */
void symbolizer_kernel_changed(struct symbolizer *symbolizer, uint64_t time);
/* True once a kallsyms of zeros was seen (kptr_restrict): say so to the user. */
bool symbolizer_kernel_restricted(const struct symbolizer *symbolizer);
/* Parses the text of a /proc/PID/maps that the caller opened. */
int symbolizer_maps(struct symbolizer *symbolizer, int fd, symbolizer_maps_fn *done, void *context);

/* error: 0, or -errno with a sentence: -ENODATA where the file has no call frame
 * information, -ENOTSUP where it is not for x86-64, others where it is damaged.
 * table: encoded as symbolizer/unwind_table.h has it, and checked. */
typedef void symbolizer_unwind_fn(void *context, int error, const char *text, const void *table,
				  size_t size);
/* The unwind table of an image's file. As symbolizer_names(): 0 and a callback,
 * or -errno at once. Tables take longest, so all else that waits goes first (but
 * for one table after SYMBOLIZER_OVERTAKEN_MAX others, that none waits for ever),
 * and of tables the most urgent, of those the first that was asked for. A file that the worker does
 * not survive here keeps its names; its table is not asked for again (-EFAULT, by callback). */
int symbolizer_unwind(struct symbolizer *symbolizer, uint32_t image, uint32_t urgency,
		      symbolizer_unwind_fn *done, void *context);
/* Makes the image's table at least so urgent, if it still waits. */
void symbolizer_hurry(struct symbolizer *symbolizer, uint32_t image, uint32_t urgency);

/* error: 0, or -errno with a sentence, as hotspot_read() has it. */
typedef void symbolizer_jvm_fn(void *context, int error, const char *text,
			       const struct jvm_layout *layout);
/* The layout of a Java machine's code. `memory` is /proc/PID/mem, open for reading, and
 * the client's from then on; code and offset: where libjvm.so's code is mapped.
 * Goes before all that waits. */
int symbolizer_jvm(struct symbolizer *symbolizer, int memory, uint64_t code, uint64_t offset,
		   symbolizer_jvm_fn *done, void *context);

/* error: 0, or -errno with a sentence, as libc_functions_read() has it. */
typedef void symbolizer_libc_fn(void *context, int error, const char *text,
				const struct libc_functions *functions);
/* Where functions of a process's C library are, likewise. */
int symbolizer_libc(struct symbolizer *symbolizer, int memory, uint64_t code, uint64_t offset,
		    symbolizer_libc_fn *done, void *context);
/* error: 0, or -errno with a sentence. */
typedef void symbolizer_probes_fn(void *context, int error, const char *text,
				  const struct probe_points *points);
/* Where probes can see the allocations of an image's file (probe_points.h). As
 * symbolizer_names(): 0 and a callback, or -errno at once. */
int symbolizer_probes(struct symbolizer *symbolizer, uint32_t image, symbolizer_probes_fn *done,
		      void *context);

/* Has the worker read the kernel's symbols now, so that the first question for
 * them finds them there. */
int symbolizer_preload_kernel(struct symbolizer *symbolizer);

/* Where the worker finds its socket after exec. */
#define SYMBOLIZER_WORKER_FD 3

/* The worker's main: ends the process, never returns to the caller's world.
 * `fd` is the socket it inherited (SYMBOLIZER_WORKER_FD). memory_bytes: a limit
 * of the address space below the one that the client has set already; 0: none. */
int symbolizer_worker_main(int fd, uint64_t memory_bytes);
/* Its loop alone, in whose thread it may be, with no sandbox: for fuzzers. Until the
 * socket ends; what it holds is not freed. */
int symbolizer_worker_serve(int fd);
