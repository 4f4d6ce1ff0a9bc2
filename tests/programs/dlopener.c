/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * dlopener [CPU_MS] [TURNS]: loads libplugin.so from its own folder, burns CPU_MS in
 * its plugin_work, unloads it, and again, TURNS times.
 */
#include "tests/programs/burn.h"

#include <dlfcn.h>
#include <string.h>

int main(int argc, char **argv)
{
	uint64_t ns = number(argc, argv, 1, 100) * MS, turns = number(argc, argv, 2, 5);
	const char *slash = strrchr(argv[0], '/');
	char path[4096];

	snprintf(path, sizeof(path), "%.*s/libplugin.so", slash ? (int)(slash - argv[0]) : 1,
		 slash ? argv[0] : ".");
	for (; turns; turns--) {
		void *plugin = dlopen(path, RTLD_NOW);
		void (*work)(uint64_t ns);

		if (!plugin) {
			fprintf(stderr, "%s\n", dlerror());
			return 1;
		}
		*(void **)&work = dlsym(plugin, "plugin_work");
		work(ns);
		dlclose(plugin);
	}
	return 0;
}
