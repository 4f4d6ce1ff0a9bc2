/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Hard stacks, third part: threads, children, loaded libraries.
 */
#include "tests/programs/hard.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

KEEP static void thread_middle(uint64_t ns)
{
	bottom(ns);
	AFTER_CALL();
}

KEEP static void *thread_entry(void *ns)
{
	thread_middle(*(uint64_t *)ns);
	AFTER_CALL();
	return NULL;
}

KEEP static void run_thread(uint64_t ns)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, thread_entry, &ns) == 0)
		pthread_join(thread, NULL);
}

KEEP static void fork_child(uint64_t ns)
{
	bottom(ns);
	AFTER_CALL();
}

KEEP static void run_fork(uint64_t ns)
{
	pid_t pid = fork();

	if (pid == 0) {
		fork_child(ns);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

/* A hundred children of a few milliseconds, each of them unknown when it begins. */
KEEP static void run_forks(uint64_t ns)
{
	for (int i = 0; i < 100; i++)
		run_fork(ns / 100);
}

KEEP static void run_plain(uint64_t ns)
{
	bottom(ns);
	AFTER_CALL();
}

static char own_path[4096];

KEEP static void vfork_child(uint64_t ns)
{
	char ms[24];

	bottom(ns);
	snprintf(ms, sizeof(ms), "%llu", (unsigned long long)(ns / MS));
	execl(own_path, own_path, "plain", ms, NULL);
	_exit(1);
}

/* A third in the child before it executes, a third behind, a third in the parent. */
KEEP static void run_vfork(uint64_t ns)
{
	ssize_t size = readlink("/proc/self/exe", own_path, sizeof(own_path) - 1);
	volatile uint64_t part = ns / 3;
	pid_t pid;

	own_path[size > 0 ? size : 0] = 0;
	pid = vfork(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork): it is the case */
	if (pid == 0) {
		vfork_child(part); /* NOLINT(clang-analyzer-unix.Vfork): likewise */
		_exit(1);
	}
	bottom(part);
	waitpid(pid, NULL, 0);
}

#ifndef HARD_STATIC
KEEP static void from_plugin(uint64_t ns)
{
	bottom(ns);
	AFTER_CALL();
}

/* Loaded and unloaded ten times. */
KEEP static void run_dlopen(uint64_t ns)
{
	char own[4000], path[4096], *slash;
	ssize_t size = readlink("/proc/self/exe", own, sizeof(own) - 1);

	own[size > 0 ? size : 0] = 0;
	slash = strrchr(own, '/');
	snprintf(path, sizeof(path), "%.*s/libhard.so", slash ? (int)(slash - own) : 0, own);
	for (int i = 0; i < 10; i++) {
		void *plugin = dlopen(path, RTLD_NOW);
		void (*call)(uint64_t ns, void (*back)(uint64_t ns));

		if (!plugin) {
			fprintf(stderr, "%s\n", dlerror());
			exit(1);
		}
		*(void **)&call = dlsym(plugin, "plugin_call");
		call(ns / 10, from_plugin);
		dlclose(plugin);
	}
}
#endif

/* What it executes is the case "plain", and goes by that name. */
#define VFORKED "@main run_vfork vfork_child bottom / @main run_vfork bottom"

const struct hard_case hard_process[] = {
	{"plain", run_plain, "bottom", "@main run_plain bottom"},
	{"thread", run_thread, "bottom", "@thread thread_entry thread_middle bottom"},
	{"fork", run_fork, "bottom", "@main run_fork fork_child bottom"},
	{"forks", run_forks, "bottom", "@main run_forks run_fork fork_child bottom"},
	{"vfork", run_vfork, "bottom", VFORKED},
#ifndef HARD_STATIC
	{"dlopen", run_dlopen, "bottom", "@main run_dlopen plugin_call from_plugin bottom"},
#endif
	{0},
};
