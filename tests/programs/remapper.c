/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * remapper FILE [CPU_MS]: for each line "first" or "other" of its input it writes the library
 * libcall_first.so or libcall_other.so into FILE, the same inode each time, with the same time
 * of its last change as far as programs can set it; maps its code at the same place each time;
 * burns CPU_MS in burn(), called by call_first() or call_other(); unmaps it; and says "done".
 */
#include "tests/programs/burn.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096ULL

/* Without relocations, so that its bytes work anywhere. */
typedef void call_fn(void (*function)(uint64_t ns), uint64_t ns);

void burn(uint64_t ns);

void burn(uint64_t ns)
{
	BURN(ns);
}

static _Noreturn void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void write_anew(const char *from_path, const char *path)
{
	const struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
	int from = open(from_path, O_RDONLY | O_CLOEXEC);
	int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	struct stat info;
	off_t at = 0;

	if (from < 0 || to < 0 || fstat(from, &info))
		fail(path);
	while (at < info.st_size)
		if (sendfile(to, from, &at, (size_t)(info.st_size - at)) <= 0)
			fail(path);
	if (futimens(to, times) || close(from) || close(to))
		fail(path);
}

/* File offsets and addresses are the same in the code of these libraries. */
static uint64_t offset_of(const char *path, const char *function)
{
	void *library = dlopen(path, RTLD_NOW);
	struct link_map *map;

	if (!library || dlinfo(library, RTLD_DI_LINKMAP, &map) || !dlsym(library, function)) {
		fprintf(stderr, "%s: %s\n", path, dlerror());
		exit(1);
	}
	return (uint64_t)dlsym(library, function) - map->l_addr;
}

static void run(const char *path, char *place, uint64_t offset, uint64_t ns)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *code = mmap(place, 2 * PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd,
			  (off_t)(offset & ~(PAGE - 1)));

	if (fd < 0 || code == MAP_FAILED)
		fail(path);
	close(fd);
	((call_fn *)(code + (offset & (PAGE - 1))))(burn, ns);
	munmap(code, 2 * PAGE);
}

int main(int argc, char **argv)
{
	uint64_t ns = number(argc, argv, 2, 300) * MS;
	const char *slash = strrchr(argv[0], '/');
	char line[16], library[4096], function[32], *place;

	place = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (argc < 2 || place == MAP_FAILED)
		return 2;
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		snprintf(library, sizeof(library), "%.*s/libcall_%s.so",
			 slash ? (int)(slash - argv[0]) : 1, slash ? argv[0] : ".", line);
		snprintf(function, sizeof(function), "call_%s", line);
		write_anew(library, argv[1]);
		run(argv[1], place + PAGE, offset_of(library, function), ns);
		puts("done");
		fflush(stdout);
	}
	return 0;
}
