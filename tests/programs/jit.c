/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Writes a function into its own memory, says so as just-in-time compilers do, in
 * /tmp/perf-PID.map, and spends its time there; with "silent" it does
 * not say so.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SECONDS 2

/* push %rbp; mov %rsp,%rbp; 1: dec %rdi; jnz 1b; pop %rbp; ret */
static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0xff,
				     0xcf, 0x75, 0xfb, 0x5d, 0xc3};

int main(int argc, char **argv)
{
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	time_t end = time(NULL) + SECONDS;
	void (*spin)(unsigned long turns);
	char path[64];
	FILE *map;

	if (memory == MAP_FAILED)
		return 1;
	memcpy(memory, code, sizeof(code));
	memcpy(&spin, &memory, sizeof(spin));
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	if (argc < 2 || strcmp(argv[1], "silent") != 0) {
		map = fopen(path, "w");
		if (!map)
			return 1;
		fprintf(map, "%lx %zx hot code /app.js:1\n", (unsigned long)memory, sizeof(code));
		fclose(map);
	}
	while (time(NULL) < end)
		spin(1000000);
	unlink(path);
	return 0;
}
