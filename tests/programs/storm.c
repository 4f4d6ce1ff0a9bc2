/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Load of one kind at a wished rate, for as long as it is let live:
 *
 *	storm forks N		N children a second, which end at once
 *	storm execs N		likewise, each executes this program anew
 *	storm switches N	two threads that wake each other, N times a second
 *	storm mallocs N		N pairs of malloc() and free() a second, in bursts of a millisecond
 *
 * With a rate of 0: as fast as it goes. A line a second on stdout: how many there were. With a
 * third argument, a line each so many milliseconds: the time (CLOCK_MONOTONIC, ns) and how
 * many there have been by then.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NSEC 1000000000ULL
#define SLICE (NSEC / 1000)

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC + (uint64_t)ts.tv_nsec;
}

static void one_child(const char *program)
{
	/* As shells and build tools start theirs. */
	pid_t pid = vfork(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork) */

	if (!pid) {
		if (program)
			execl(program, "storm", "end", (char *)NULL);
		_exit(0);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

static int pipes[2][2];

static void *echo(void *context)
{
	char byte;

	(void)context;
	while (read(pipes[0][0], &byte, 1) == 1 && write(pipes[1][1], &byte, 1) == 1)
		;
	return NULL;
}

static void one_switch(void)
{
	char byte = 0;

	if (write(pipes[0][1], &byte, 1) == 1 && read(pipes[1][0], &byte, 1) == 1)
		return;
	exit(EXIT_FAILURE);
}

static void one_pair(unsigned int *random)
{
	void *volatile pointer;

	*random = *random * 1664525u + 1013904223u;
	pointer = malloc((*random >> 20) + 1);
	free(pointer);
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "";
	uint64_t rate = argc > 2 ? strtoull(argv[2], NULL, 10) : 0, done = 0, told = 0;
	uint64_t began = now(), second = began;
	uint64_t every = argc > 3 ? strtoull(argv[3], NULL, 10) * SLICE : NSEC;
	uint64_t turn = !strcmp(kind, "mallocs") ? 1000 : every < NSEC ? 4 : 20;
	unsigned int random = 1;
	pthread_t thread;

	if (!strcmp(kind, "end"))
		return 0;
	if (!strcmp(kind, "switches") &&
	    (pipe(pipes[0]) || pipe(pipes[1]) || pthread_create(&thread, NULL, echo, NULL)))
		return EXIT_FAILURE;
	for (;;) {
		uint64_t time = now();
		uint64_t due = rate ? (time - began) * rate / NSEC : done + turn;

		for (; done < due; done++) {
			if (!strcmp(kind, "forks"))
				one_child(NULL);
			else if (!strcmp(kind, "execs"))
				one_child("/proc/self/exe");
			else if (!strcmp(kind, "switches"))
				one_switch(), done++;
			else
				one_pair(&random);
		}
		if (time - second >= every) {
			if (argc > 3)
				printf("%llu %llu\n", (unsigned long long)now(),
				       (unsigned long long)done);
			else
				printf("%llu\n", (unsigned long long)(done - told));
			fflush(stdout);
			told = done;
			second = time;
		}
		if (rate) {
			struct timespec rest = {.tv_nsec = (long)SLICE};

			nanosleep(&rest, NULL);
		}
	}
}
