/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * deleted [CPU_MS]: copies its own file, executes the copy, deletes it, and then
 * burns CPU_MS in deleted_work: the code has no name in the file system any more.
 */
#include "tests/programs/burn.h"

#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

static void deleted_work(uint64_t ns)
{
	BURN(ns);
}

static int copy_self(char *path)
{
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to = mkostemp(path, O_CLOEXEC);
	struct stat info;
	off_t at = 0;

	if (from < 0 || to < 0 || fstat(from, &info) || fchmod(to, 0700))
		return -1;
	while (at < info.st_size) {
		if (sendfile(to, from, &at, (size_t)(info.st_size - at)) <= 0)
			return -1;
	}
	/* Busy text otherwise: nobody may have it open for writing at exec. */
	return close(from) | close(to);
}

int main(int argc, char **argv)
{
	char path[] = "/tmp/perfd-deleted-XXXXXX";

	if (argc > 2 && !strcmp(argv[1], "--copy")) {
		unlink(argv[0]);
		deleted_work(number(argc, argv, 2, 500) * MS);
		return 0;
	}
	if (copy_self(path))
		return 1;
	execl(path, path, "--copy", argc > 1 ? argv[1] : "500", (char *)NULL);
	unlink(path);
	return 127;
}
