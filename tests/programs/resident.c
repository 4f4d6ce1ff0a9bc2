/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * resident FILE [ANON_KIB [SHMEM_KIB]]: has so much memory of each kind, maps FILE and
 * touches all of it, says "ready", and waits for the end of its standard input.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static size_t kib(const char *text)
{
	return strtoul(text, NULL, 10) << 10;
}

static int touch(int flags, size_t bytes)
{
	char *memory;

	if (!bytes)
		return 0;
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return -1;
	madvise(memory, bytes, MADV_NOHUGEPAGE);
	memset(memory, 1, bytes);
	return 0;
}

static int read_mapped(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	volatile const char *memory;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || !st.st_size)
		return -1;
	memory = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return -1;
	for (off_t at = 0; at < st.st_size; at += 4096)
		(void)memory[at];
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	char byte;

	if (argc < 2 || read_mapped(argv[1]) || touch(MAP_PRIVATE, argc > 2 ? kib(argv[2]) : 0) ||
	    touch(MAP_SHARED, argc > 3 ? kib(argv[3]) : 0)) {
		perror("resident");
		return 1;
	}
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}
