/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/heap_library.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* From the folder of the program; and anywhere. */
static const char *const places[] = {"%s/%s", "%s/../lib/perfd/%s", "%.0s/usr/lib/perfd/%s"};

int heap_library_find(bool late, char *path, size_t size, struct error *error)
{
	const char *name = late ? "libperfd-heap-late.so" : "libperfd-heap.so";
	char folder[PATH_MAX] = "", looked[1024] = "";
	ssize_t n = readlink("/proc/self/exe", folder, sizeof(folder) - 1);
	char *slash;

	folder[n > 0 ? n : 0] = 0;
	slash = strrchr(folder, '/');
	if (slash)
		*slash = 0;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		char candidate[PATH_MAX + 64];
		size_t used = strlen(looked);

		snprintf(candidate, sizeof(candidate), places[i], folder, name);
		if (!access(candidate, R_OK) && strlen(candidate) < size) {
			memcpy(path, candidate, strlen(candidate) + 1);
			return 0;
		}
		snprintf(looked + used, sizeof(looked) - used, "%s%s", used ? ", " : "", candidate);
	}
	return error_set(error, -ENOENT, "%s is not installed (looked at %s)", name, looked);
}
