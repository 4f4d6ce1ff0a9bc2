/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Writes a function into its own memory, says so as just-in-time compilers do, in
 * /tmp/perf-PID.map, and spends its time there. With an argument it does it
 * another way:
 *
 *	silent	it does not say so
 *	late	it says so at its end, as compilers with large buffers do
 *	dump	in a dump, perf's binary form, with lines, below the folder of the second
 *		argument; the code moves to another place halfway
 */
#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SECONDS 2
#define PLACES 2048 /* bytes between the code's first place and its second */

/* push %rbp; mov %rsp,%rbp; 1: dec %rdi; jnz 1b; pop %rbp; ret */
static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0xff,
				     0xcf, 0x75, 0xfb, 0x5d, 0xc3};

static FILE *list_of_lines(const char *path, const void *memory)
{
	FILE *map = fopen(path, "w");

	if (!map)
		exit(1);
	fprintf(map, "%lx %zx hot code /app.js:1\n", (unsigned long)memory, sizeof(code));
	return map; /* still in its buffer */
}

/* ---- a dump ---- */

static void put(FILE *out, uint64_t value, size_t bytes)
{
	fwrite(&value, bytes, 1, out);
}

static void put_head(FILE *out, uint32_t id, size_t size)
{
	put(out, id, 4);
	put(out, 16 + size, 4);
	put(out, 1, 8);
}

static FILE *dump_begin(const char *folder, const void *memory)
{
	static const char name[] = "dumped code", file[] = "/app.src";
	uint64_t address = (uint64_t)(uintptr_t)memory;
	char path[512];
	FILE *out;

	snprintf(path, sizeof(path), "%s/jit-%d.dump", folder, getpid());
	out = fopen(path, "w+");
	if (!out)
		exit(1);
	put(out, 0x4a695444, 4);
	put(out, 1, 4);
	put(out, 40, 4);
	put(out, EM_X86_64, 4);
	put(out, 0, 4);
	put(out, (uint64_t)getpid(), 4);
	put(out, 1, 8);
	put(out, 0, 8);
	put_head(out, 2, 16 + 16 + sizeof(file)); /* lines */
	put(out, address, 8);
	put(out, 1, 8);
	put(out, address, 8);
	put(out, 77, 4);
	put(out, 0, 4);
	fwrite(file, sizeof(file), 1, out);
	put_head(out, 0, 40 + sizeof(name) + sizeof(code)); /* code */
	put(out, (uint64_t)getpid() << 32 | (uint32_t)getpid(), 8);
	put(out, address, 8);
	put(out, address, 8);
	put(out, sizeof(code), 8);
	put(out, 1, 8);
	fwrite(name, sizeof(name), 1, out);
	fwrite(code, sizeof(code), 1, out);
	fflush(out);
	/* This is how it is found. */
	if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fileno(out), 0) == MAP_FAILED)
		exit(1);
	return out;
}

static void dump_move(FILE *out, const void *from, const void *to)
{
	put_head(out, 1, 48);
	put(out, (uint64_t)getpid() << 32 | (uint32_t)getpid(), 8);
	put(out, (uint64_t)(uintptr_t)to, 8);
	put(out, (uint64_t)(uintptr_t)from, 8);
	put(out, (uint64_t)(uintptr_t)to, 8);
	put(out, sizeof(code), 8);
	put(out, 1, 8);
	fflush(out);
}

/* ---- */

static void spin(const void *memory, time_t end)
{
	void (*run)(unsigned long turns);

	memcpy(&run, &memory, sizeof(run));
	while (time(NULL) < end)
		run(1000000);
}

int main(int argc, char **argv)
{
	char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const char *way = argc > 1 ? argv[1] : "";
	time_t end = time(NULL) + SECONDS;
	FILE *dump = NULL, *list = NULL;
	char path[64];

	if (memory == MAP_FAILED)
		return 1;
	memcpy(memory, code, sizeof(code));
	memcpy(memory + PLACES, code, sizeof(code));
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	if (!strcmp(way, "dump"))
		dump = dump_begin(argc > 2 ? argv[2] : "/tmp", memory);
	else if (strcmp(way, "silent") != 0)
		list = list_of_lines(path, memory);
	if (list && strcmp(way, "late") != 0)
		fflush(list);
	spin(memory, dump ? end - SECONDS / 2 : end);
	if (dump) {
		dump_move(dump, memory, memory + PLACES);
		spin(memory + PLACES, end);
		put_head(dump, 3, 0);
		fclose(dump);
	}
	if (list)
		fclose(list);
	unlink(path);
	return 0;
}
