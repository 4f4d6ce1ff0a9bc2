/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * names FILE ROUNDS [socket]: what names of addresses (hexadecimal ELF addresses on
 * standard input) cost, as a line of JSON. Cold: the file is read and all of them are
 * answered once, in this process as the worker does it. Warm: all of them again,
 * ROUNDS times, in answers of their own, ready to be sent. Others: addresses that were
 * not asked for before, a byte further each round, in units that have been read as a
 * whole; what is measured begins when they are. Through the socket: the
 * same with a real worker, as the daemon asks it, from the question to decoded
 * frames; its CPU time is that of both processes.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "symbolizer/client.h"
#include "symbolizer/named_file.h"

#define MEMORY_MAX (512ULL << 20)

struct question {
	VEC(uint64_t) addresses;
	unsigned rounds;
	enum demangle_form form;
};

struct cost {
	double wall, cpu; /* seconds */
};

struct figures {
	struct cost cold, warm, others, socket_cold, socket;
	uint64_t frames; /* of one round */
	size_t answer; /* bytes of one round */
	size_t memory; /* bytes of the index */
};

static double seconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct cost cost_now(void)
{
	return (struct cost){seconds(CLOCK_MONOTONIC), seconds(CLOCK_PROCESS_CPUTIME_ID)};
}

static struct cost cost_since(struct cost start)
{
	struct cost now = cost_now();

	return (struct cost){now.wall - start.wall, now.cpu - start.cpu};
}

static int read_addresses(struct question *question)
{
	unsigned long long address;

	while (scanf("%llx", &address) == 1) {
		if (vec_push(&question->addresses, address) < 0)
			return -ENOMEM;
	}
	return question->addresses.count ? 0 : -ENODATA;
}

/* One answer to all addresses. */
static int answer(const struct question *question, struct named_file *file,
		  struct demangler *demangler, struct wire_out *out, struct strbuf *ret)
{
	struct named_file_style style = {.addresses = true, .form = question->form};
	int r = named_file_put(file, question->addresses.items, question->addresses.count, &style,
			       demangler, MEMORY_MAX / 4, out);

	strbuf_clear(ret);
	if (!r)
		r = wire_out_finish(out, ret);
	wire_out_clear(out);
	return r;
}

#define OTHERS_FIRST 4u /* rounds until all units are read as a whole */
#define OTHERS_ROUNDS 10u

struct reader_of_names {
	struct named_file file;
	struct demangler demangler;
	struct wire_out out;
	struct strbuf bytes;
};

static int ask_others(struct question *question, struct reader_of_names *reader, struct cost *ret)
{
	struct cost start = {0};
	int r = 0;

	for (unsigned round = 0; round < OTHERS_FIRST + OTHERS_ROUNDS && !r; round++) {
		for (size_t i = 0; i < question->addresses.count; i++)
			question->addresses.items[i]++;
		if (round == OTHERS_FIRST)
			start = cost_now();
		r = answer(question, &reader->file, &reader->demangler, &reader->out,
			   &reader->bytes);
	}
	*ret = cost_since(start);
	for (size_t i = 0; i < question->addresses.count; i++)
		question->addresses.items[i] -= OTHERS_FIRST + OTHERS_ROUNDS;
	return r;
}

static int inside(struct question *question, const char *path, struct figures *ret,
		  struct error *error)
{
	struct cost start = cost_now();
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;
	struct reader_of_names reader = {0};

	if (fd < 0)
		return error_set(error, -errno, "%s", strerror(errno));
	r = named_file_init(&reader.file, fd, error);
	if (r < 0 || !named_file_take_dwarf(&reader.file, fd, MEMORY_MAX))
		close(fd);
	if (r < 0)
		return r;
	r = answer(question, &reader.file, &reader.demangler, &reader.out, &reader.bytes);
	ret->cold = cost_since(start);
	ret->answer = reader.bytes.length;
	ret->memory = named_file_memory(&reader.file);
	start = cost_now();
	for (unsigned i = 0; i < question->rounds && !r; i++)
		r = answer(question, &reader.file, &reader.demangler, &reader.out, &reader.bytes);
	ret->warm = cost_since(start);
	if (!r && question->rounds)
		r = ask_others(question, &reader, &ret->others);
	strbuf_deinit(&reader.bytes);
	wire_out_deinit(&reader.out);
	named_file_deinit(&reader.file);
	demangler_deinit(&reader.demangler);
	return r < 0 ? error_set(error, r, "out of memory") : 0;
}

struct reply {
	bool done;
	int error;
	uint64_t frames;
};

static void on_names(void *context, int error, const char *text,
		     const struct symbolizer_name *names, size_t count)
{
	struct reply *reply = context;

	(void)text;
	reply->done = true;
	reply->error = error;
	reply->frames = 0;
	for (size_t i = 0; i < count; i++)
		reply->frames += names[i].frame_count;
}

static int ask(struct symbolizer *symbolizer, const struct question *question, struct reply *reply)
{
	int r;

	reply->done = false;
	r = symbolizer_names(symbolizer, 1, question->addresses.items, question->addresses.count,
			     on_names, reply);
	while (!r && !reply->done) {
		struct pollfd ready = {.fd = symbolizer_fd(symbolizer), .events = POLLIN};

		poll(&ready, 1, 250);
		symbolizer_dispatch(symbolizer);
	}
	return r ? r : reply->error;
}

static struct cost children(struct cost own)
{
	struct rusage usage;

	getrusage(RUSAGE_CHILDREN, &usage);
	own.cpu += (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		   (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	return own;
}

static int by_socket(const struct question *question, const char *path, unsigned rounds,
		     struct cost *ret, uint64_t *ret_frames, struct error *error)
{
	static const char *const argv[] = {"names", "--worker", NULL};
	struct symbolizer_config config = {
		.memory_bytes = 2 * MEMORY_MAX,
		.deadline_ns = 60 * NSEC_PER_SEC,
		.images_max = 8,
		.flags = SYMBOLIZER_ELF_ADDRESSES |
			 (question->form == DEMANGLE_FULL ? SYMBOLIZER_DEMANGLE_FULL : 0),
		.program = "/proc/self/exe",
		.argv = argv,
	};
	struct cost before = children(cost_now());
	struct symbolizer *symbolizer;
	struct reply reply = {0};
	struct cost after;
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;

	if (fd < 0)
		return error_set(error, -errno, "%s", strerror(errno));
	r = symbolizer_create(&config, error, &symbolizer);
	if (r < 0) {
		close(fd);
		return r;
	}
	r = symbolizer_add_image(symbolizer, 1, fd, NULL, NULL);
	for (unsigned i = 0; i < rounds && !r; i++)
		r = ask(symbolizer, question, &reply);
	symbolizer_destroy(symbolizer);
	after = children(cost_now());
	*ret = (struct cost){after.wall - before.wall, after.cpu - before.cpu};
	*ret_frames = reply.frames;
	return r < 0 ? error_set(error, r, "the worker: %s", strerror(-r)) : 0;
}

/* The worker's CPU time is known when it has ended: what the warm rounds took is the
 * difference between many rounds and one. */
static int through_socket(const struct question *question, const char *path, struct figures *ret,
			  struct error *error)
{
	int r = by_socket(question, path, 1, &ret->socket_cold, &ret->frames, error);

	if (!r)
		r = by_socket(question, path, 1 + question->rounds, &ret->socket, &ret->frames,
			      error);
	ret->socket.wall -= ret->socket_cold.wall;
	ret->socket.cpu -= ret->socket_cold.cpu;
	return r;
}

static void put_cost(const char *name, struct cost cost)
{
	printf("\"%s\": {\"wall\": %.6f, \"cpu\": %.6f}, ", name, cost.wall, cost.cpu);
}

static void print(const struct question *question, const struct figures *figures)
{
	printf("{");
	put_cost("cold", figures->cold);
	put_cost("warm", figures->warm);
	put_cost("others", figures->others);
	put_cost("socket_cold", figures->socket_cold);
	put_cost("socket", figures->socket);
	printf("\"addresses\": %zu, \"rounds\": %u, \"others_rounds\": %u, \"frames\": %llu, "
	       "\"answer_bytes\": %zu, "
	       "\"kept_bytes\": %zu}\n",
	       question->addresses.count, question->rounds, OTHERS_ROUNDS,
	       (unsigned long long)figures->frames, figures->answer, figures->memory);
}

int main(int argc, char **argv)
{
	struct question question = {.form = DEMANGLE_NONE};
	struct figures figures = {0};
	struct error error = {0};
	int r;

	if (argc == 2 && !strcmp(argv[1], "--worker"))
		return symbolizer_worker_main(SYMBOLIZER_WORKER_FD, 0);
	if (argc < 3) {
		fprintf(stderr, "usage: names FILE ROUNDS [socket] < ADDRESSES\n");
		return 2;
	}
	question.rounds = (unsigned)atoi(argv[2]);
	r = read_addresses(&question);
	if (r < 0)
		error_set(&error, r, "no addresses on standard input");
	if (!r)
		r = inside(&question, argv[1], &figures, &error);
	if (!r && argc > 3)
		r = through_socket(&question, argv[1], &figures, &error);
	if (r < 0)
		fprintf(stderr, "names: %s: %s\n", argv[1], error.text);
	else
		print(&question, &figures);
	vec_free(&question.addresses);
	return r < 0;
}
