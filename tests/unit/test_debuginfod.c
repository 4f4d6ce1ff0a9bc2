/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * debuginfod: the folder of what came, and fetching from a small server of the suite's own
 * that can do all that a server may: answer, have nothing, send too much, stop half-way,
 * say nothing at all, send elsewhere.
 */
#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "symbolizer/debuginfod.h"
#include "symbolizer/debuginfod_cache.h"
#include "symbolizer/fetcher.h"
#include "tests/unit/workshop.h"

#define LIMIT (1u << 20)
#define PATIENCE_NS (20 * NSEC_PER_SEC)

static const uint8_t ids[][4] = {
	{0xab, 1, 2, 3}, {0xab, 1, 2, 4}, {0xab, 1, 2, 5}, {0xab, 1, 2, 6}};
#define ID(i) ids[i], sizeof(ids[i])

static struct workshop shop;
static char folder[256];
static int port;
static bool with_curl;

/* ---- the folder ---- */

static void cache_open(struct debuginfod_cache *cache, uint64_t limit)
{
	struct error error = {0};

	workshop_path(&shop, "cache", folder);
	ck_assert_msg(!debuginfod_cache_open(cache, folder, limit, &error), "%s", error.text);
}

static void put(struct debuginfod_cache *cache, int i, size_t size)
{
	char *bytes = calloc(1, size);
	int fd = -1, kept = -1;

	ck_assert_int_eq(debuginfod_cache_begin(cache, ID(i), &fd), 0);
	ck_assert_int_eq(write(fd, bytes, size), size);
	close(fd);
	ck_assert_int_eq(debuginfod_cache_keep(cache, ID(i), &kept), 0);
	close(kept);
	free(bytes);
}

static int get(struct debuginfod_cache *cache, int i)
{
	int fd = -1, r = debuginfod_cache_get(cache, ID(i), &fd);

	if (!r)
		close(fd);
	return r;
}

/* As if it had been used so many seconds ago. */
static void age(struct debuginfod_cache *cache, const char *name, time_t seconds)
{
	struct timespec times[2] = {{.tv_sec = time(NULL) - seconds},
				    {.tv_sec = time(NULL) - seconds}};

	ck_assert_int_eq(utimensat(cache->folder, name, times, 0), 0);
}

static void empty_folder(void)
{
	DIR *dir;
	struct dirent *entry;

	workshop_path(&shop, "cache", folder);
	dir = opendir(folder);
	while (dir && (entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
	rmdir(folder);
}

START_TEST(what_is_kept)
{
	struct debuginfod_cache cache;
	int fd, twice;

	cache_open(&cache, LIMIT);
	ck_assert_int_eq(get(&cache, 0), -ENOENT);
	ck_assert_int_eq(debuginfod_cache_get(&cache, ids[0], 1, &fd), -EINVAL);
	ck_assert_int_eq(debuginfod_cache_begin(&cache, ID(0), &fd), 0);
	ck_assert_int_eq(debuginfod_cache_begin(&cache, ID(0), &twice), -EEXIST);
	ck_assert_int_eq(get(&cache, 0), -ENOENT); /* not before it is whole */
	debuginfod_cache_drop(&cache, ID(0));
	close(fd);
	put(&cache, 0, 100);
	ck_assert_int_eq(get(&cache, 0), 0);
	ck_assert_uint_gt(debuginfod_cache_bytes(&cache), 0);
	debuginfod_cache_missing(&cache, ID(0));
	ck_assert_int_eq(get(&cache, 0), -ENODATA);
	age(&cache, "ab010203.debug", DEBUGINFOD_MISSING_SECONDS + 1);
	ck_assert_int_eq(get(&cache, 0), -ENOENT); /* to be asked for again */
	put(&cache, 0, 100);
	ck_assert_int_eq(get(&cache, 0), 0);
	/* One that was left by a process that died. */
	ck_assert_int_eq(debuginfod_cache_begin(&cache, ID(1), &fd), 0);
	close(fd);
	age(&cache, "ab010204.new", 3601);
	put(&cache, 1, 10);
	debuginfod_cache_close(&cache);
	empty_folder();
}
END_TEST

START_TEST(the_least_used_goes)
{
	struct debuginfod_cache cache;

	cache_open(&cache, 3 * 65536 + 100);
	put(&cache, 0, 65536);
	put(&cache, 1, 65536);
	put(&cache, 2, 65536);
	age(&cache, "ab010203.debug", 300);
	age(&cache, "ab010204.debug", 200);
	age(&cache, "ab010205.debug", 100);
	ck_assert_int_eq(get(&cache, 0), 0); /* used now */
	put(&cache, 3, 65536);
	ck_assert_int_eq(get(&cache, 1), -ENOENT);
	ck_assert_int_eq(get(&cache, 0), 0);
	ck_assert_int_eq(get(&cache, 2), 0);
	ck_assert_int_eq(get(&cache, 3), 0);
	ck_assert_uint_eq(cache.evicted, 1);
	debuginfod_cache_close(&cache);
	empty_folder();
}
END_TEST

START_TEST(whose_folder)
{
	struct debuginfod_cache cache;
	struct error error = {0};

	workshop_path(&shop, "cache", folder);
	ck_assert_int_eq(mkdir(folder, 0700), 0);
	ck_assert_int_eq(chmod(folder, 0777), 0);
	ck_assert_int_eq(debuginfod_cache_open(&cache, folder, LIMIT, &error), -EPERM);
	ck_assert_ptr_nonnull(strstr(error.text, "others may write"));
	ck_assert_int_eq(debuginfod_cache_open(&cache, "/nowhere/at/all", LIMIT, &error), -ENOENT);
	empty_folder();
}
END_TEST

/* ---- a server ---- */

static void say(int fd, const char *text)
{
	if (write(fd, text, strlen(text)) < 0)
		_exit(1);
}

static void send_bytes(int fd, size_t size)
{
	static char bytes[65536];

	while (size) {
		ssize_t n = write(fd, bytes, size < sizeof(bytes) ? size : sizeof(bytes));

		if (n <= 0)
			return;
		size -= (size_t)n;
	}
}

static void serve_one(int fd)
{
	char request[2048], text[256];
	ssize_t n = read(fd, request, sizeof(request) - 1);

	request[n > 0 ? n : 0] = '\0';
	if (strstr(request, "GET /ok/buildid/ab010203/debuginfo "))
		say(fd, "HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nsome file");
	else if (strstr(request, "GET /large/"))
		say(fd, "HTTP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\nx");
	else if (strstr(request, "GET /endless/")) { /* and does not say so before */
		say(fd, "HTTP/1.0 200 OK\r\n\r\n");
		send_bytes(fd, 2 * LIMIT);
	} else if (strstr(request, "GET /half/"))
		say(fd, "HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
	else if (strstr(request, "GET /empty/"))
		say(fd, "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n");
	else if (strstr(request, "GET /broken/"))
		say(fd, "HTTP/1.0 500 Oh no\r\nContent-Length: 0\r\n\r\n");
	else if (strstr(request, "GET /silent/"))
		poll(NULL, 0, 30000);
	else if (strstr(request, "GET /elsewhere/"))
		say(fd, "HTTP/1.0 302 There\r\nLocation: file:///etc/hostname\r\n"
			"Content-Length: 0\r\n\r\n");
	else if (strstr(request, "GET /moved/")) {
		snprintf(text, sizeof(text),
			 "HTTP/1.0 302 There\r\nLocation: "
			 "http://127.0.0.1:%d/ok/buildid/ab010203/debuginfo\r\n"
			 "Content-Length: 0\r\n\r\n",
			 port);
		say(fd, text);
	} else
		say(fd, "HTTP/1.0 404 Not here\r\nContent-Length: 0\r\n\r\n");
}

static pid_t start_server(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pid_t pid;

	if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 16) ||
	    getsockname(listener, (struct sockaddr *)&address, &size))
		exit(1);
	port = ntohs(address.sin_port);
	pid = fork();
	if (pid) {
		close(listener);
		return pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (!fork()) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			serve_one(fd);
			_exit(0);
		}
		close(fd);
	}
}

/* ---- fetching ---- */

static const char *const argv[] = {"test", "--fetcher", NULL};

struct answer {
	int count, error;
	char text[256], content[64];
};

static void on_file(void *context, int error, const char *text, int fd)
{
	struct answer *answer = context;

	answer->count++;
	answer->error = error;
	snprintf(answer->text, sizeof(answer->text), "%s", text);
	if (fd >= 0) {
		ssize_t n = pread(fd, answer->content, sizeof(answer->content) - 1, 0);

		answer->content[n > 0 ? n : 0] = '\0';
		close(fd);
	}
}

static struct debuginfod *servers_of(const char *paths, uint64_t timeout_ns)
{
	static char urls[512];
	struct debuginfod_config config = {.urls = urls,
					   .folder = folder,
					   .program = "/proc/self/exe",
					   .argv = argv,
					   .cache_bytes = LIMIT,
					   .timeout_ns = timeout_ns};
	struct debuginfod *servers;
	struct error error = {0};
	char words[256], *rest = NULL;
	size_t at = 0;

	workshop_path(&shop, "cache", folder);
	snprintf(words, sizeof(words), "%s", paths);
	for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		at += (size_t)snprintf(urls + at, sizeof(urls) - at, "http://127.0.0.1:%d/%s ",
				       port, word);
	ck_assert_msg(!debuginfod_create(&config, &error, &servers), "%s", error.text);
	return servers;
}

static void wait_for(struct debuginfod *servers, const struct answer *answer, int count)
{
	uint64_t until = clock_boot_ns() + PATIENCE_NS;

	while (answer->count < count) {
		struct pollfd ready = {.fd = debuginfod_fd(servers), .events = POLLIN};

		ck_assert_msg(clock_boot_ns() < until, "%d of %d answers", answer->count, count);
		poll(&ready, 1, 1000);
		debuginfod_dispatch(servers);
	}
}

static struct answer ask(struct debuginfod *servers, int i)
{
	struct answer answer = {0};

	ck_assert_int_eq(debuginfod_ask(servers, ID(i), on_file, &answer), 0);
	ck_assert_int_eq(answer.count, 0); /* never inside the call */
	wait_for(servers, &answer, 1);
	return answer;
}

static struct debuginfod_stats stats_of(const struct debuginfod *servers)
{
	struct debuginfod_stats stats;

	debuginfod_get_stats(servers, &stats);
	return stats;
}

START_TEST(it_comes_and_is_kept)
{
	struct debuginfod *servers = servers_of("ok", NSEC_PER_SEC * 10);
	struct answer answer = ask(servers, 0), both = {0};

	ck_assert_int_eq(answer.error, 0);
	ck_assert_str_eq(answer.content, "some file");
	answer = ask(servers, 0);
	ck_assert_str_eq(answer.content, "some file");
	ck_assert_uint_eq(stats_of(servers).fetched, 1);
	ck_assert_uint_eq(stats_of(servers).bytes, 9);
	ck_assert_uint_eq(stats_of(servers).cached, 1);
	/* Not this build's: thrown away, and not asked for again so soon. */
	debuginfod_wrong(servers, ID(0));
	answer = ask(servers, 0);
	ck_assert_int_eq(answer.error, -ENOENT);
	ck_assert_uint_eq(stats_of(servers).wrong, 1);
	/* Two that want one file. */
	ck_assert_int_eq(debuginfod_ask(servers, ID(1), on_file, &both), 0);
	ck_assert_int_eq(debuginfod_ask(servers, ID(1), on_file, &both), 0);
	wait_for(servers, &both, 2);
	ck_assert_int_eq(both.error, -ENOENT);
	ck_assert_int_eq(debuginfod_ask(servers, ids[0], 1, on_file, &both), -EINVAL);
	ck_assert_uint_eq(stats_of(servers).pending, 0);
	debuginfod_destroy(servers);
	empty_folder();
}
END_TEST

static const struct {
	const char *paths;
	int error;
	const char *content;
} cases[] = {
	{"none", -ENOENT, ""},
	{"none ok", 0, "some file"},
	{"broken ok", 0, "some file"},
	{"half/ ok", 0, "some file"}, /* nothing of the half is left */
	{"moved", 0, "some file"},
	{"large", -EFBIG, ""},
	{"endless", -EFBIG, ""},
	{"half", -EIO, ""},
	{"empty", -ENOENT, ""},
	{"broken none", -EIO, ""}, /* one is down: nobody knows */
	{"elsewhere", -EIO, ""}, /* never into this machine's files */
};

START_TEST(what_servers_do)
{
	struct debuginfod *servers = servers_of(cases[_i].paths, NSEC_PER_SEC * 10);
	struct answer answer = ask(servers, 0);

	ck_assert_msg(answer.error == cases[_i].error, "%s: %d: %s", cases[_i].paths, answer.error,
		      answer.text);
	ck_assert_str_eq(answer.content, cases[_i].content);
	if (answer.error == -EIO) { /* left alone */
		answer = ask(servers, 1);
		ck_assert_int_eq(answer.error, -EHOSTDOWN);
		ck_assert_uint_eq(stats_of(servers).left_alone, 1);
	}
	debuginfod_destroy(servers);
	empty_folder();
}
END_TEST

START_TEST(a_server_that_is_silent)
{
	struct debuginfod *servers = servers_of("silent", NSEC_PER_SEC);
	uint64_t begun = clock_boot_ns();
	struct answer answer = ask(servers, 0);

	ck_assert_int_eq(answer.error, -ETIMEDOUT);
	ck_assert_uint_ge(clock_boot_ns() - begun, NSEC_PER_SEC / 2);
	ck_assert_uint_eq(stats_of(servers).timeouts, 1);
	debuginfod_destroy(servers);
	/* One that is under way is ended. */
	servers = servers_of("silent", NSEC_PER_SEC * 60);
	answer = (struct answer){0};
	ck_assert_int_eq(debuginfod_ask(servers, ID(1), on_file, &answer), 0);
	debuginfod_dispatch(servers);
	debuginfod_destroy(servers);
	ck_assert_int_eq(answer.count, 0);
	empty_folder();
}
END_TEST

int main(int argc, char **argv_)
{
	Suite *suite = suite_create("debuginfod");
	TCase *tcase = tcase_create("debuginfod");
	SRunner *runner;
	pid_t server;
	int failed;

	if (argc > 1 && !strcmp(argv_[1], "--fetcher"))
		return fetcher_main(FETCHER_FD);
	log_init("test_debuginfod", LOG_LEVEL_ERROR);
	workshop_open(&shop);
	server = start_server();
	with_curl = !access("/usr/lib/x86_64-linux-gnu/libcurl.so.4", R_OK) ||
		    !system("ldconfig -p 2>/dev/null | grep -q libcurl.so.4");
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, what_is_kept);
	tcase_add_test(tcase, the_least_used_goes);
	tcase_add_test(tcase, whose_folder);
	if (with_curl) {
		tcase_add_test(tcase, it_comes_and_is_kept);
		tcase_add_loop_test(tcase, what_servers_do, 0, sizeof(cases) / sizeof(cases[0]));
		tcase_add_test(tcase, a_server_that_is_silent);
	} else {
		workshop_skip("what_servers_do", "libcurl.so.4 is not installed");
	}
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	workshop_close(&shop);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
