/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * crowd processes N		N children that do nothing
 * crowd files N FOLDER FILE	N copies of FILE in FOLDER, each with a page mapped as code
 * crowd rare N			N children that use a thousandth of a CPU each
 *
 * Says "ready" and waits for the end of its input; then it and its
 * children are gone.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NSEC 1000000000ULL
#define TURN_NS 100000000ULL /* a hundred microseconds of each */

static uint64_t clock_now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * NSEC + (uint64_t)ts.tv_nsec;
}

/* Its turns begin at times of its own, not with everybody's. */
static void be_rare(unsigned int seed)
{
	struct timespec rest;

	for (;;) {
		uint64_t before = clock_now(CLOCK_PROCESS_CPUTIME_ID);

		seed = seed * 1664525u + 1013904223u;
		rest = (struct timespec){.tv_nsec = (long)(TURN_NS / 2 + seed % TURN_NS)};
		nanosleep(&rest, NULL);
		while (clock_now(CLOCK_PROCESS_CPUTIME_ID) - before < (uint64_t)rest.tv_nsec / 1000)
			;
	}
}

/* Their pids, in memory that stays. */
static pid_t *processes(long count, int rare)
{
	pid_t *pids = calloc((size_t)count + 1, sizeof(*pids)), parent = getpid();

	for (long i = 0; i < count; i++) {
		pid_t pid = fork();

		if (!pids || pid < 0) {
			perror("crowd: fork");
			exit(EXIT_FAILURE);
		}
		if (pid) {
			pids[i] = pid;
			continue;
		}
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(0);
		if (rare)
			be_rare((unsigned int)i + 1);
		for (;;)
			pause();
	}
	return pids;
}

/* The note that holds the build id of a GNU file: two files of one id are one to perfd. */
static void number_it(char *bytes, size_t size, long number)
{
	static const char note[] = "\4\0\0\0\24\0\0\0\3\0\0\0GNU";
	char *found = memmem(bytes, size, note, sizeof(note));

	if (found && found + sizeof(note) + sizeof(number) < bytes + size)
		memcpy(found + sizeof(note), &number, sizeof(number));
}

static void map_copy(const char *folder, long number, const char *bytes, size_t size)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/lib%ld.so", folder, number);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	if (fd < 0 || write(fd, bytes, size) != (ssize_t)size ||
	    mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED) {
		perror(path);
		exit(EXIT_FAILURE);
	}
	close(fd);
}

static void files(long count, const char *folder, const char *like)
{
	static char bytes[1 << 20];
	FILE *file = fopen(like, "re");
	size_t size = file ? fread(bytes, 1, sizeof(bytes), file) : 0;

	if (!size) {
		perror(like);
		exit(EXIT_FAILURE);
	}
	fclose(file);
	for (long i = 0; i < count; i++) {
		number_it(bytes, size, i);
		map_copy(folder, i, bytes, size);
	}
}

int main(int argc, char **argv)
{
	long count = argc > 2 ? atol(argv[2]) : 0;
	pid_t *pids = NULL;

	if (argc > 4 && !strcmp(argv[1], "files"))
		files(count, argv[3], argv[4]);
	else if (argc > 2)
		pids = processes(count, !strcmp(argv[1], "rare"));
	else
		return 2;
	puts("ready");
	fflush(stdout);
	while (getchar() != EOF)
		;
	for (pid_t *pid = pids; pid && *pid; pid++)
		kill(*pid, SIGKILL);
	while (wait(NULL) > 0)
		;
	free(pids);
	return 0;
}
