/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * perfd, from its options to its end.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <event2/event.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/log.h"
#include "daemon/config.h"
#include "daemon/config_path.h"
#include "daemon/engine.h"
#include "daemon/inject.h"
#include "daemon/listener.h"
#include "daemon/metrics.h"
#include "daemon/metrics_server.h"
#include "daemon/notify.h"
#include "daemon/peer.h"
#include "daemon/privileges.h"
#include "daemon/reload.h"
#include "daemon/server.h"
#include "daemon/settings.h"
#include "daemon/watchdog.h"
#include "symbolizer/client.h"
#include "symbolizer/fetcher.h"
#include "symbolizer/openers.h"

#define FILES_WANTED 65536
#define LARGE_BYTES (1 << 20)
#define WORKER_FD 3

enum { EXIT_USAGE = 2, GO_ON = -1 };

enum option_id {
	OPT_SET = 256,
	OPT_BTF,
	OPT_CHECK,
	OPT_PRINT,
	OPT_EXPLAIN,
	OPT_REPLAY,
	OPT_CAPTURE,
	OPT_PRIVATE
};

static const struct option long_options[] = {
	{"config", required_argument, NULL, 'c'},
	{"socket", required_argument, NULL, 's'},
	{"btf", required_argument, NULL, OPT_BTF},
	{"set", required_argument, NULL, OPT_SET},
	{"log-level", required_argument, NULL, 'l'},
	{"check-config", no_argument, NULL, OPT_CHECK},
	{"print-config", no_argument, NULL, OPT_PRINT},
	{"help-config", no_argument, NULL, OPT_EXPLAIN},
	{"replay", required_argument, NULL, OPT_REPLAY},
	{"capture", required_argument, NULL, OPT_CAPTURE},
	{"private-fd", required_argument, NULL, OPT_PRIVATE},
	{"foreground", no_argument, NULL, 'f'},
	{"version", no_argument, NULL, 'V'},
	{"help", no_argument, NULL, 'h'},
	{0},
};

static const char help[] =
	"usage: perfd [options]\n"
	"Profiles this machine all the time; ask it with perfctl.\n\n"
	"  -c, --config FILE      settings (default: " CONFIG_DEFAULT_PATH ", if it is there)\n"
	"  -s, --socket PATH      control socket, same as --set daemon.socket=PATH\n"
	"      --btf FILE         the kernel's BTF, same as --set daemon.btf=FILE\n"
	"      --set KEY=VALUE    one setting, as section.key=value; wins over the file;\n"
	"                         may be given several times\n"
	"  -l, --log-level LEVEL  error, warning, info or debug (default: daemon.log_level)\n"
	"      --check-config     read the settings, say what is wrong with them, and end\n"
	"      --print-config     print a commented file of all settings, and end\n"
	"      --help-config      print all settings as they are now, and end\n"
	"      --replay FILE      take a recording's records instead of the kernel's\n"
	"      --capture FILE     also write all records to FILE, for --replay\n"
	"      --private-fd N     serve only the client on the open socket N, and end when\n"
	"                         it leaves (perfctl record does this)\n"
	"  -f, --foreground       accepted and without effect: perfd never detaches itself\n"
	"      --version          print the version, and end\n"
	"  -h, --help             print this, and end\n\n"
	"Ends cleanly on SIGTERM and SIGINT, reads its settings again on SIGHUP. Exit codes: 0, 1 "
	"failure, 2 usage.\n";

struct perfd {
	struct settings_source source;
	struct settings settings;
	const char *replay, *capture;
	int private_fd; /* -1: listen on the socket */
	bool check, explain;

	struct event_base *base;
	struct engine *engine;
	struct server *server;
	struct metrics *metrics; /* NULL: none are served */
	struct listener listener;
	struct event *signals[3];
	struct watchdog watchdog;
	struct reload reload;
};

/* Signals and what they do. */
static const int signal_numbers[] = {SIGTERM, SIGINT, SIGHUP};

static int usage(const char *what)
{
	fprintf(stderr, "perfd: %s\nperfd: see perfd --help\n", what);
	return EXIT_USAGE;
}

static int parse_fd(const char *text, int *ret)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (*end || end == text || value < 3 || value > FILES_WANTED ||
	    fcntl((int)value, F_GETFD) < 0)
		return -EINVAL;
	*ret = (int)value;
	return 0;
}

/* A setting: they are read all together, the file first, wherever --config stands. */
static int add_setting(struct perfd *perfd, const char *option, const char *key)
{
	struct setting_option setting = {.option = option, .key = key, .value = optarg};

	if (!vec_push(&perfd->source.options, setting))
		return GO_ON;
	log_error("%s: no memory", option);
	return EXIT_FAILURE;
}

/* One option; GO_ON or an exit code. */
static int apply_option(struct perfd *perfd, int option)
{
	struct strbuf text = {0};

	switch (option) {
	case 'c':
		perfd->source.file = optarg;
		return GO_ON;
	case 's':
		return add_setting(perfd, "--socket", "daemon.socket");
	case 'l':
		return add_setting(perfd, "--log-level", "daemon.log_level");
	case OPT_BTF:
		return add_setting(perfd, "--btf", "daemon.btf");
	case OPT_SET:
		return add_setting(perfd, "--set", NULL);
	case OPT_CHECK:
		perfd->check = true;
		return GO_ON;
	case OPT_EXPLAIN:
		perfd->explain = true;
		return GO_ON;
	case OPT_REPLAY:
		perfd->replay = optarg;
		return GO_ON;
	case OPT_CAPTURE:
		perfd->capture = optarg;
		return GO_ON;
	case OPT_PRIVATE:
		return parse_fd(optarg, &perfd->private_fd) < 0
			       ? usage("--private-fd takes the number of an open descriptor, from "
				       "3 on")
			       : GO_ON;
	case OPT_PRINT:
		config_write_template(&text);
		fputs(strbuf_text(&text), stdout);
		strbuf_deinit(&text);
		return EXIT_SUCCESS;
	case 'V':
		puts("perfd " PERFD_VERSION);
		return EXIT_SUCCESS;
	case 'h':
		fputs(help, stdout);
		return EXIT_SUCCESS;
	default:
		return GO_ON;
	}
}

static int parse_options(struct perfd *perfd, int argc, char **argv)
{
	enum log_level level;
	struct error error;
	int option, code;

	while ((option = getopt_long(argc, argv, "c:s:l:fh", long_options, NULL)) != -1) {
		if (option == '?') /* getopt has said why */
			return EXIT_USAGE;
		code = apply_option(perfd, option);
		if (code != GO_ON)
			return code;
	}
	if (optind < argc)
		return usage("it takes options only");
	if (perfd->replay && perfd->capture)
		return usage("--replay and --capture exclude each other");
	if (settings_read(&perfd->source, &error, &perfd->settings) < 0) {
		log_error("%s", error.text);
		return EXIT_FAILURE;
	}
	if (log_level_parse(perfd->settings.config.log_level, &level) == 0)
		log_init("perfd", level);
	return GO_ON;
}

static int reload(void *context, struct error *error, json_t **ret)
{
	return reload_settings(&((struct perfd *)context)->reload, error, ret);
}

static void on_signal(evutil_socket_t number, short what, void *context)
{
	struct perfd *perfd = context;
	struct error error;
	json_t *changes;

	(void)what;
	/* Of a perfd that serves one perfctl: the terminal is gone. */
	if (number == SIGHUP && perfd->private_fd < 0) {
		if (!reload(perfd, &error, &changes)) /* the log has it */
			json_decref(changes);
		return;
	}
	log_info("ending on %s", strsignal((int)number));
	event_base_loopbreak(perfd->base);
}

static void on_gone(void *context)
{
	struct perfd *perfd = context;

	event_base_loopbreak(perfd->base);
}

static int watch_signals(struct perfd *perfd)
{
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(signal_numbers) / sizeof(signal_numbers[0]); i++) {
		perfd->signals[i] = evsignal_new(perfd->base, signal_numbers[i], on_signal, perfd);
		if (!perfd->signals[i] || event_add(perfd->signals[i], NULL) < 0)
			return log_error_errno(-ENOMEM, "cannot watch for signals");
	}
	return 0;
}

/* Probes, side-band buffers and images take a descriptor each, more than the
 * usual soft limit. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= FILES_WANTED)
		return;
	limit.rlim_cur = limit.rlim_max < FILES_WANTED ? limit.rlim_max : FILES_WANTED;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warning_errno(-errno, "cannot raise the number of open files (RLIMIT_NOFILE)");
}

/* By itself the C library comes to keep arrays of megabytes in its heap, where what is freed of
 * them stays in pieces: twice as much memory as is used. Mapped, they go when they are freed. */
static void return_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
	mallopt(M_TRIM_THRESHOLD, LARGE_BYTES);
}

/* Exact to the microsecond: by the kernel's coarse clock it would wake a moment too early, find
 * nothing due, and wait again. */
static struct event_base *make_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base;

	if (!config)
		return NULL;
	event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

static int start(struct perfd *perfd)
{
	struct engine_options engine_options = {
		.config = &perfd->settings.config,
		.replay = perfd->replay,
		.capture = perfd->capture,
		.program = "/proc/self/exe",
		.tell_accounts = perfd->private_fd < 0,
		.drop_privileges = true,
	};
	struct server_options server_options = {.config = &perfd->settings.config,
						.settings = &perfd->settings,
						.reload_context = perfd};
	struct error error = {0};
	int r;

	/* Before any probe runs: a second perfd must find out at once. */
	if (perfd->private_fd < 0 &&
	    listener_open(perfd->settings.config.socket, &error, &perfd->listener) < 0)
		return log_error("%s", error.text), error.code;
	perfd->base = make_base();
	if (!perfd->base)
		return log_error_errno(-ENOMEM, "cannot create the event loop");
	r = watch_signals(perfd);
	if (r < 0)
		return r;
	if (perfd->private_fd < 0)
		privileges_join(peer_group(perfd->settings.config.socket_group));
	r = engine_create(&engine_options, perfd->base, &error, &perfd->engine);
	if (r < 0)
		return log_error("%s", error.text), r;
	server_options.engine = perfd->engine;
	server_options.base = perfd->base;
	server_options.reload = perfd->private_fd < 0 ? reload : NULL;
	r = server_create(&server_options, &perfd->server);
	perfd->reload = (struct reload){.source = &perfd->source,
					.settings = &perfd->settings,
					.engine = perfd->engine,
					.server = perfd->server};
	if (!r && perfd->private_fd >= 0)
		r = server_serve(perfd->server, perfd->private_fd, on_gone, perfd);
	else if (!r)
		r = server_listen(perfd->server, &perfd->listener);
	if (r < 0)
		return log_error_errno(r, "cannot serve clients");
	if (perfd->private_fd < 0 &&
	    metrics_create(&perfd->settings.config, perfd->server, perfd->base,
			   engine_options.program, &error, &perfd->metrics) < 0)
		return log_error("%s", error.text), error.code;
	return 0;
}

static uint64_t progress(void *context)
{
	const struct perfd *perfd = context;

	return engine_drains(perfd->engine);
}

/* A perfd that somebody's command started is no service, whatever variables it inherited. */
static void tell_manager(struct perfd *perfd)
{
	int r;

	if (perfd->private_fd >= 0)
		return;
	r = notify_manager("READY=1");
	if (r < 0)
		log_warning_errno(r, "cannot tell the service manager ($NOTIFY_SOCKET)");
	r = watchdog_start(&perfd->watchdog, perfd->base, progress, perfd);
	if (r < 0)
		log_warning_errno(r, "no signs of life for the service manager ($WATCHDOG_USEC)");
}

static void stop(struct perfd *perfd)
{
	watchdog_stop(&perfd->watchdog);
	metrics_destroy(perfd->metrics);
	server_destroy(perfd->server);
	engine_destroy(perfd->engine);
	listener_close(&perfd->listener);
	for (size_t i = 0; i < sizeof(perfd->signals) / sizeof(perfd->signals[0]); i++) {
		if (perfd->signals[i])
			event_free(perfd->signals[i]);
	}
	if (perfd->base)
		event_base_free(perfd->base);
}

static int run(struct perfd *perfd)
{
	int r = start(perfd);

	if (!r) {
		if (perfd->private_fd < 0)
			log_info("perfd " PERFD_VERSION " serves %s", perfd->listener.path);
		tell_manager(perfd);
		r = event_base_dispatch(perfd->base) < 0 ? -EIO : 0;
		if (perfd->private_fd < 0)
			notify_manager("STOPPING=1");
	}
	stop(perfd);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct perfd perfd = {.private_fd = -1, .listener = {.fd = -1}};
	struct strbuf text = {0};
	int code;

	log_init("perfd", LOG_LEVEL_INFO);
	/* "--worker [BYTES]": the symbolizer's child, which is this program again. */
	if (argc >= 2 && !strcmp(argv[1], "--worker"))
		return symbolizer_worker_main(WORKER_FD,
					      argc > 2 ? strtoull(argv[2], NULL, 10) : 0);
	/* "--fetcher": likewise, for files of debuginfod. */
	if (argc >= 2 && !strcmp(argv[1], "--fetcher"))
		return fetcher_main(FETCHER_FD);
	/* "--opener": likewise, for the files of targets. */
	if (argc >= 2 && !strcmp(argv[1], "--opener"))
		return openers_opener_main(OPENERS_FD);
	/* "--inject": likewise, for a library in a target. */
	if (argc >= 2 && !strcmp(argv[1], "--inject"))
		return inject_main(INJECT_FD);
	/* "--metrics": likewise, for HTTP. */
	if (argc >= 2 && !strcmp(argv[1], "--metrics"))
		return metrics_server_main(METRICS_SERVER_FD);
	code = parse_options(&perfd, argc, argv);
	if (code != GO_ON)
		return code;
	if (perfd.check) {
		fputs("perfd: the settings are good\n", stderr);
		return EXIT_SUCCESS;
	}
	if (perfd.explain) {
		config_explain(&perfd.settings.config, &text);
		fputs(strbuf_text(&text), stdout);
		strbuf_deinit(&text);
		return EXIT_SUCCESS;
	}
	if (perfd.private_fd >= 0)
		fcntl(perfd.private_fd, F_SETFD, FD_CLOEXEC); /* the worker must not have it */
	raise_file_limit();
	return_memory();
	return run(&perfd);
}
