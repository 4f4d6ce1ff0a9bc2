/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A folder for one test suite, in which it compiles small programs whose truth
 * it knows, and finds its way in text files of its own making.
 *
 * What a suite cannot do here it says with workshop_skip(), as a TAP line.
 */
#pragma once

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct workshop {
	char folder[64];
};

/* Before the suite runs, so that all tests share it: Check cannot assert yet. */
static inline void workshop_open(struct workshop *shop)
{
	snprintf(shop->folder, sizeof(shop->folder), "/tmp/perfd-test-XXXXXX");
	/* Programs in it run as other users too. */
	if (!mkdtemp(shop->folder) || chmod(shop->folder, 0755) < 0) {
		perror(shop->folder);
		exit(EXIT_FAILURE);
	}
}

static inline void workshop_path(const struct workshop *shop, const char *name, char path[256])
{
	snprintf(path, 256, "%s/%s", shop->folder, name);
}

static inline void workshop_close(const struct workshop *shop)
{
	DIR *folder = opendir(shop->folder);
	struct dirent *entry;
	char path[256];

	while (folder && (entry = readdir(folder))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%.100s", shop->folder, entry->d_name);
		unlink(path);
	}
	if (folder)
		closedir(folder);
	rmdir(shop->folder);
}

static inline void workshop_write(const char *path, const void *bytes, size_t size)
{
	FILE *file = fopen(path, "w");

	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
	ck_assert_int_eq(fclose(file), 0);
}

/* The file's bytes, to be freed. */
static inline uint8_t *workshop_read(const char *path, size_t *ret_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *bytes;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	bytes = malloc((size_t)st.st_size + 1);
	ck_assert_ptr_nonnull(bytes);
	ck_assert_int_eq(read(fd, bytes, (size_t)st.st_size), st.st_size);
	close(fd);
	*ret_size = (size_t)st.st_size;
	return bytes;
}

/* What a shell says of a command: 0, it went well. */
static inline int workshop_command(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline int workshop_command(const char *format, ...)
{
	char command[2048];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	return system(command);
}

static inline bool workshop_has_compiler(void)
{
	return system("gcc --version >/dev/null 2>&1") == 0;
}

/* Compiles `source` (its language by the suffix of the name it gets) to
 * folder/name with the flags; fails the test if that does not work. */
static inline void workshop_build(const struct workshop *shop, const char *name, const char *suffix,
				  const char *source, const char *flags, char ret_path[256])
{
	char from[256], command[1024];

	snprintf(from, sizeof(from), "%s/%s%s", shop->folder, name, suffix);
	workshop_path(shop, name, ret_path);
	workshop_write(from, source, strlen(source));
	snprintf(command, sizeof(command), "gcc %s '%s' -o '%s'", flags, from, ret_path);
	ck_assert_msg(system(command) == 0, "cannot compile: %s", command);
}

/* A descriptor at the beginning of a text. */
static inline int workshop_text(const char *text, size_t size)
{
	int fd = memfd_create("text", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, text + done, size - done);

		ck_assert_int_gt(n, 0);
		done += (size_t)n;
	}
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* A test that cannot be had here: counted as skipped, by name. */
static inline void workshop_skip(const char *name, const char *why)
{
	printf("ok 0 - %s # SKIP %s\n", name, why);
}

/* Adds a test if it can be had, else skips it. */
#define workshop_add(tcase, can, why, test)                                                        \
	do {                                                                                       \
		if (can)                                                                           \
			tcase_add_test(tcase, test);                                               \
		else                                                                               \
			workshop_skip(#test, why);                                                 \
	} while (0)
