/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "daemon/config_path.h"

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
	if (!r && options->socket)
		r = config_set(config, "daemon.socket", options->socket, error);
	return r;
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
