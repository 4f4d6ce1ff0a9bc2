/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/config_path.h"
#include "daemon/event_kind.h"

#define HEAP_EVENT "heap" /* of event_kind.c */

int command_fail(int code, const struct error *error)
{
	if (error->code != -EPIPE)
		fprintf(stderr, "perfctl: %s\n", error->text);
	return code;
}

int command_usage(const char *format, ...)
{
	va_list args;

	fputs("perfctl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs(" (see --help)\n", stderr);
	return EXIT_CODE_USAGE;
}

int command_config(const struct options *options, struct config *config, struct error *error)
{
	int r = 0;

	config_init(config);
	if (options->config)
		r = config_load(config, options->config, error);
	else if (!access(CONFIG_DEFAULT_PATH, R_OK))
		r = config_load(config, CONFIG_DEFAULT_PATH, error);
	if (r < 0 || !options->socket)
		return r;
	/* Not by config_set(): what perfd wants absolute may be relative here. */
	if (strlen(options->socket) >= sizeof(config->socket))
		return error_set(error, -ENAMETOOLONG, "--socket: a path of %zu bytes",
				 strlen(options->socket));
	snprintf(config->socket, sizeof(config->socket), "%s", options->socket);
	return 0;
}

int command_connect(const struct options *options, struct error *error, struct client *ret)
{
	struct config config;
	struct client client;
	int r = command_config(options, &config, error);

	if (!r)
		r = client_connect(config.socket, error, &client);
	if (r < 0)
		return r;
	r = client_hello(&client, CLIENT_TIMEOUT_NS, error);
	if (r < 0) {
		client_deinit(&client);
		return r;
	}
	*ret = client;
	return 0;
}

void command_name_process(pid_t pid, char *name, size_t size)
{
	char path[64], comm[32] = "";
	_cleanup_fclose_ FILE *file = NULL;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	file = fopen(path, "re");
	if (file && fgets(comm, sizeof(comm), file))
		comm[strcspn(comm, "\n")] = 0;
	snprintf(name, size, "%s%s%d", comm, *comm ? "-" : "", (int)pid);
}

const char *command_event(const struct options *options)
{
	bool heap = option_given(options, OPTION_HEAP) && !option_given(options, OPTION_EVENT);

	return heap && event_kind_find(HEAP_EVENT) ? HEAP_EVENT : options->event;
}
