/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any bytes as a file that the worker is handed, in each way there is, or as a request:
 * the worker's own loop in a thread, so that coverage guides what comes next. The first
 * byte picks the way. Each REAL_EACH-th file of a program also goes to a real worker, a
 * process in its sandbox: one that ends over it is counted, told at the end, and its file
 * kept in the folder $FUZZ_DEATHS.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "symbolizer/channel.h"
#include "symbolizer/client.h"
#include "symbolizer/wire.h"

#define REAL_EACH 256u
#define ADDRESSES 24u
#define ANSWER_NS (20 * NSEC_PER_SEC)

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	int socket; /* to the thread */
	struct channel_in in;
	uint32_t id;
	struct symbolizer *real;
	uint32_t image, restarts;
	uint64_t inputs;
} fuzz;

static const char *const worker_argv[] = {"fuzz_worker", "--worker", NULL};

/* ---- the loop in a thread ---- */

static void *serve(void *context)
{
	int fd = (int)(intptr_t)context;

	symbolizer_worker_serve(fd);
	abort(); /* no request may end it */
}

/* Sends a request and waits for its answer, which must be one to it. */
static int request(uint16_t kind, const struct strbuf *payload, int fd)
{
	struct channel_out out = {.header = {.id = ++fuzz.id, .kind = kind},
				  .payload = payload->data,
				  .size = payload->length,
				  .fd = fd};
	int error;

	if (channel_send(fuzz.socket, &out) || channel_receive(fuzz.socket, &fuzz.in, true) != 1 ||
	    fuzz.in.header.id != fuzz.id || fuzz.in.header.kind != kind)
		abort();
	error = fuzz.in.header.error;
	if (error > 0 || (error && !fuzz.in.payload.length))
		abort();
	channel_in_clear(&fuzz.in);
	return error;
}

static int simple(uint16_t kind, uint32_t image, int fd)
{
	struct strbuf payload = {0};
	int r;

	strbuf_u32(&payload, image);
	r = request(kind, &payload, fd);
	strbuf_deinit(&payload);
	return r;
}

static void ask_names(uint16_t kind, uint32_t image, uint32_t flags, uint64_t first, uint64_t step)
{
	struct strbuf payload = {0};

	strbuf_u32(&payload, image);
	strbuf_u32(&payload, flags);
	for (uint64_t i = 0; i < ADDRESSES; i++)
		strbuf_u64(&payload, first + i * step);
	request(kind, &payload, -1);
	strbuf_deinit(&payload);
}

static void ask_all(uint32_t image, size_t size)
{
	ask_names(WIRE_IMAGE_WANTED, image, SYMBOLIZER_ELF_ADDRESSES, 0x401000, 7);
	ask_names(WIRE_IMAGE_NAMES, image, SYMBOLIZER_ELF_ADDRESSES | SYMBOLIZER_DEMANGLE_SHORT,
		  0x401000, 7);
	ask_names(WIRE_IMAGE_NAMES, image, SYMBOLIZER_DEMANGLE_FULL, 0, size / ADDRESSES + 1);
}

static void as_program(int fd, size_t size)
{
	if (!simple(WIRE_IMAGE_OPEN, 1, fd)) {
		ask_all(1, size);
		simple(WIRE_IMAGE_DEBUG, 1, fd); /* it may say that it is its own debug file */
		ask_all(1, size);
		simple(WIRE_IMAGE_DROP, 1, -1);
	}
	simple(WIRE_UNWIND, 1, fd);
}

static void as_list(int fd)
{
	struct strbuf payload = {0};

	strbuf_u32(&payload, fuzz.id | 1);
	for (uint64_t i = 0; i < ADDRESSES; i++)
		strbuf_u64(&payload, 0x1000 + i * 0x10);
	request(WIRE_JIT_NAMES, &payload, fd);
	strbuf_deinit(&payload);
}

static void as_text(uint16_t kind, int fd)
{
	struct strbuf payload = {0};

	request(kind, &payload, fd);
	for (uint64_t i = 0; kind == WIRE_KERNEL_LOAD && i < ADDRESSES; i++)
		strbuf_u64(&payload, 0xffffffff81000000 + i * 0x100);
	if (kind == WIRE_KERNEL_LOAD)
		request(WIRE_KERNEL_NAMES, &payload, -1);
	strbuf_deinit(&payload);
}

/* A request as it comes, within what the channel lets through. */
static void as_request(const uint8_t *data, size_t size, int fd)
{
	uint16_t kind = size ? data[0] % WIRE_KIND_COUNT : WIRE_MAPS;
	const struct wire_kind_info *info = wire_kind_info(kind);
	struct strbuf payload = {0};

	strbuf_append(&payload, data + !!size, size ? size - 1 : 0);
	if (payload.length <= info->request_max)
		request(kind, &payload, info->with_fd ? fd : -1);
	strbuf_deinit(&payload);
}

/* ---- a real worker ---- */

static void on_image(void *context, int error, const char *text,
		     const struct symbolizer_image *image)
{
	(void)error;
	(void)text;
	(void)image;
	*(bool *)context = true;
}

static void on_names(void *context, int error, const char *text,
		     const struct symbolizer_name *names, size_t count)
{
	(void)names;
	(void)count;
	on_image(context, error, text, NULL);
}

static void wait_for(const bool *done)
{
	uint64_t until = clock_boot_ns() + ANSWER_NS;

	while (!*done) {
		struct pollfd ready = {.fd = symbolizer_fd(fuzz.real), .events = POLLIN};

		if (clock_boot_ns() > until)
			abort(); /* the client has its own deadline, and keeps it */
		poll(&ready, 1, 250);
		symbolizer_dispatch(fuzz.real);
	}
}

static void keep(const uint8_t *data, size_t size)
{
	const char *folder = getenv("FUZZ_DEATHS");
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/worker-death-%d-%u", folder ? folder : ".", getpid(),
		 fuzz.restarts);
	file = folder ? fopen(path, "w") : NULL;
	if (!file)
		return;
	fwrite(data, 1, size, file);
	fclose(file);
}

static void to_real_worker(const uint8_t *data, size_t size, int fd)
{
	uint64_t places[ADDRESSES];
	struct symbolizer_stats stats;
	bool done = false;

	for (uint64_t i = 0; i < ADDRESSES; i++)
		places[i] = i * (size / ADDRESSES + 1);
	fuzz.image++;
	if (symbolizer_add_image(fuzz.real, fuzz.image, dup(fd), on_image, &done))
		abort();
	wait_for(&done);
	done = false;
	if (!symbolizer_names(fuzz.real, fuzz.image, places, ADDRESSES, on_names, &done))
		wait_for(&done);
	symbolizer_drop_image(fuzz.real, fuzz.image);
	symbolizer_get_stats(fuzz.real, &stats);
	if (stats.restarts == fuzz.restarts)
		return;
	fuzz.restarts = stats.restarts;
	keep(data, size);
}

static void tell(void)
{
	fprintf(stderr, "fuzz_worker: %" PRIu32 " workers ended over %" PRIu32 " files\n",
		fuzz.restarts, fuzz.image);
}

/* ---- */

static void start_thread(void)
{
	struct strbuf hello = {0};
	pthread_t thread;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) ||
	    pthread_create(&thread, NULL, serve, (void *)(intptr_t)pair[1]))
		abort();
	fuzz.socket = pair[0];
	channel_in_init(&fuzz.in);
	strbuf_u32(&hello, WIRE_VERSION);
	strbuf_u32(&hello, 4);
	if (request(WIRE_HELLO, &hello, -1))
		abort();
	strbuf_deinit(&hello);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	/* No limit of memory: the sanitizers' shadow takes terabytes of address space. */
	static const struct symbolizer_config config = {.deadline_ns = 5 * NSEC_PER_SEC,
							.images_max = 4,
							.program = "/proc/self/exe",
							.argv = worker_argv};
	struct error error = {0};

	log_init("fuzz_worker", LOG_LEVEL_ERROR);
	if (*argc > 1 && !strcmp((*argv)[1], "--worker"))
		exit(symbolizer_worker_main(SYMBOLIZER_WORKER_FD, 0));
	signal(SIGPIPE, SIG_IGN);
	start_thread();
	if (symbolizer_create(&config, &error, &fuzz.real))
		abort();
	atexit(tell);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t way = size ? data[0] % 8 : 0;
	size_t length = size ? size - 1 : 0;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data + !!size, length) != (ssize_t)length)
		abort();
	switch (way) {
	case 4:
		as_list(fd);
		break;
	case 5:
		as_text(WIRE_MAPS, fd);
		break;
	case 6:
		as_text(WIRE_KERNEL_LOAD, fd);
		break;
	case 7:
		as_request(data + !!size, length, fd);
		break;
	default: /* most of the code is behind these */
		as_program(fd, length);
		if (!(fuzz.inputs++ % REAL_EACH))
			to_real_worker(data + !!size, length, fd);
	}
	close(fd);
	return 0;
}
