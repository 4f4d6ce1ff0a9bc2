/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/debug_wait.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "symbolizer/debuginfod.h"

#define TICK_MS 250
#define FOLDER "perfd-debuginfod"

struct debug_wait {
	struct debuginfod *servers;
	char urls[sizeof(((struct config *)0)->debuginfod_urls)];
	char folder[CONFIG_PATH_MAX];
};

/* XDG Base Directory Specification: $XDG_CACHE_HOME, else ~/.cache. */
static void choose_folder(const struct config *config, char *ret, size_t size)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

	if (!geteuid() || ((!cache || !*cache) && (!home || !*home)))
		snprintf(ret, size, "%s", config->debuginfod_cache_dir);
	else if (cache && *cache)
		snprintf(ret, size, "%s/" FOLDER, cache);
	else
		snprintf(ret, size, "%s/.cache/" FOLDER, home);
}

int debug_wait_create(const struct config *config, struct error *error, struct debug_wait **ret)
{
	static const char *const argv[] = {"perfctl", "--fetcher", NULL};
	const char *urls = getenv("DEBUGINFOD_URLS");
	struct debug_wait *wait;
	struct debuginfod_config how;
	int r;

	if (!urls || !*urls)
		urls = config->debuginfod_urls;
	if (!*urls || strlen(urls) >= sizeof(wait->urls))
		return error_set(error, -EINVAL,
				 "%s: name debuginfod's servers in DEBUGINFOD_URLS or in "
				 "symbols.debuginfod_urls of the config",
				 *urls ? "too many servers" : "no server is named");
	wait = calloc(1, sizeof(*wait));
	if (!wait)
		return error_set(error, -ENOMEM, "out of memory");
	snprintf(wait->urls, sizeof(wait->urls), "%s", urls);
	choose_folder(config, wait->folder, sizeof(wait->folder));
	how = (struct debuginfod_config){.urls = wait->urls,
					 .folder = wait->folder,
					 .cache_bytes = config->debuginfod_cache_bytes,
					 .timeout_ns = config->debuginfod_timeout_ns,
					 .program = "/proc/self/exe",
					 .argv = argv};
	r = debuginfod_create(&how, error, &wait->servers);
	if (r < 0) {
		free(wait);
		return r;
	}
	*ret = wait;
	return 0;
}

void debug_wait_destroy(struct debug_wait *wait)
{
	if (!wait)
		return;
	debuginfod_destroy(wait->servers);
	free(wait);
}

struct answer {
	bool done;
	int fd;
	struct error *error;
};

static void on_file(void *context, int error, const char *text, int fd)
{
	struct answer *answer = context;

	answer->done = true;
	answer->fd = fd;
	if (error)
		error_set(answer->error, error, "debuginfod: %s", text);
}

int debug_wait_for(struct debug_wait *wait, const uint8_t *build_id, size_t size,
		   struct error *error, int *ret_fd)
{
	struct error why = {0};
	struct answer answer = {.fd = -1, .error = &why};
	int r = debuginfod_ask(wait->servers, build_id, size, on_file, &answer);

	if (r < 0)
		return error_set(error, r, "debuginfod: %s",
				 r == -EINVAL ? "the file has no build id" : strerror(-r));
	while (!answer.done) {
		struct pollfd ready = {.fd = debuginfod_fd(wait->servers), .events = POLLIN};

		poll(&ready, 1, TICK_MS);
		debuginfod_dispatch(wait->servers);
	}
	if (why.code) {
		*error = why;
		return why.code;
	}
	*ret_fd = answer.fd;
	return 0;
}
