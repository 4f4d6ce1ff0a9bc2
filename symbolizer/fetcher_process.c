/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The fetcher itself: takes its request, lets go of what it does not need, fetches, and
 * answers.
 */
#include <ctype.h>
#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/reader.h"
#include "daemon/base/strbuf.h"
#include "symbolizer/fetcher.h"
#include "symbolizer/sandbox.h"

#define NOBODY 65534
#define EXIT_OSERR 71
#define CONNECT_MS 10000L
#define SLOW_BYTES 1024L /* a second, for so many seconds: given up */
#define SLOW_SECONDS 20L
#define REDIRECTS_MAX 5L
#define LIBRARY "libcurl.so.4"

/* What is used of libcurl, found when it is loaded. */
struct curl {
	CURL *(*init)(void);
	CURLcode (*setopt)(CURL *curl, CURLoption option, ...);
	CURLcode (*perform)(CURL *curl);
	CURLcode (*getinfo)(CURL *curl, CURLINFO info, ...);
	const char *(*strerror)(CURLcode code);
};

struct fetch {
	uint64_t until; /* boot time, ns */
	uint64_t size_max;
	char build_id[256], urls[FETCHER_REQUEST_MAX];
	int out;
	uint64_t bytes; /* written */
	bool too_large, not_written;
};

/* ---- the request ---- */

static bool is_hex(const char *text)
{
	size_t n = strspn(text, "0123456789abcdef");

	return n >= 4 && !text[n];
}

static int take_request(int socket, struct fetch *fetch)
{
	uint8_t packet[FETCHER_REQUEST_MAX];
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = {packet, sizeof(packet)};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control.space)};
	ssize_t n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	struct cmsghdr *header = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	const char *id, *urls;
	struct reader reader;
	size_t id_size, urls_size;

	if (!header || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof(int)))
		return -EPROTO;
	memcpy(&fetch->out, CMSG_DATA(header), sizeof(int));
	reader_init(&reader, packet, (size_t)n);
	fetch->until = clock_boot_ns() + reader_u64(&reader);
	fetch->size_max = reader_u64(&reader);
	id = reader_bytes(&reader, sizeof(fetch->build_id) - 1, &id_size);
	urls = reader_bytes(&reader, sizeof(fetch->urls) - 1, &urls_size);
	if (!reader_ok(&reader))
		return -EPROTO;
	memcpy(fetch->build_id, id, id_size);
	memcpy(fetch->urls, urls, urls_size);
	return is_hex(fetch->build_id) ? 0 : -EINVAL;
}

static void answer(int socket, int error, uint64_t bytes, const char *text)
{
	struct strbuf packet = {0};

	strbuf_u32(&packet, (uint32_t)error);
	strbuf_u64(&packet, bytes);
	strbuf_bytes(&packet, text, (uint32_t)strnlen(text, 255));
	if (send(socket, packet.data, packet.length, MSG_NOSIGNAL) < 0)
		log_debug("fetcher: nobody takes its answer");
	strbuf_deinit(&packet);
}

/* ---- what it lets go of ---- */

static void drop_capabilities(void)
{
	cap_t none = cap_init(), now;

	sandbox_drop_bounding_set();
	if (!getuid() || !geteuid()) {
		if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
		    setresuid(NOBODY, NOBODY, NOBODY) < 0)
			log_warning_errno(-errno, "fetcher: it cannot become uid %d", NOBODY);
	}
	if (!none || cap_set_proc(none) < 0 || !(now = cap_get_proc()) || cap_compare(now, none)) {
		log_error("fetcher: it keeps capabilities: it must not talk to anybody");
		_exit(EXIT_OSERR);
	}
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	cap_free(none);
	cap_free(now);
}

/* Its files for reading (certificates, resolv.conf and what resolves names), nothing to
 * execute, write or make. The numbers are <linux/landlock.h>'s: all rights of version 1
 * but those to read a file and a folder. */
static void enter_landlock(void)
{
	uint64_t rights = ((1ULL << 13) - 1) & ~(1ULL << 2) & ~(1ULL << 3);
	long abi = syscall(444, NULL, 0, 1U);
	int fd = abi < 1 ? -1 : (int)syscall(444, &rights, sizeof(rights), 0U);

	if (fd >= 0) {
		if (syscall(446, fd, 0U) < 0)
			log_warning_errno(-errno, "fetcher: Landlock is refused");
		close(fd);
	}
}

/* A resolver and a TLS library come with system calls that nobody can list; what a taken
 * over one would want is known. */
static void enter_seccomp(void)
{
	static const int calls[] = {
		SCMP_SYS(execve),
		SCMP_SYS(execveat),
		SCMP_SYS(ptrace),
		SCMP_SYS(bpf),
		SCMP_SYS(perf_event_open),
		SCMP_SYS(mount),
		SCMP_SYS(umount2),
		SCMP_SYS(pivot_root),
		SCMP_SYS(chroot),
		SCMP_SYS(setns),
		SCMP_SYS(unshare),
		SCMP_SYS(init_module),
		SCMP_SYS(finit_module),
		SCMP_SYS(delete_module),
		SCMP_SYS(kexec_load),
		SCMP_SYS(reboot),
		SCMP_SYS(swapon),
		SCMP_SYS(swapoff),
		SCMP_SYS(keyctl),
		SCMP_SYS(add_key),
		SCMP_SYS(request_key),
		SCMP_SYS(userfaultfd),
		SCMP_SYS(open_by_handle_at),
		SCMP_SYS(process_vm_readv),
		SCMP_SYS(acct),
		SCMP_SYS(process_vm_writev),
		SCMP_SYS(pidfd_getfd),
		SCMP_SYS(io_uring_setup),
		SCMP_SYS(bind),
		SCMP_SYS(listen),
		SCMP_SYS(kill),
		SCMP_SYS(tkill),
		SCMP_SYS(fork),
		SCMP_SYS(vfork),
		SCMP_SYS(personality),
		SCMP_SYS(syslog),
	};
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int r = filter ? 0 : -ENOMEM;

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]) && !r; i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), calls[i], 0);
	/* Threads, which resolve names, but no processes; clone3()'s flags lie in memory. */
	if (!r)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
				     SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
	if (!r)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (!r)
		r = seccomp_load(filter);
	if (filter)
		seccomp_release(filter);
	if (r < 0)
		log_warning_errno(r, "fetcher: seccomp is refused");
}

static void let_go(uint64_t size_max)
{
	struct rlimit none = {0, 0}, size = {size_max, size_max};

	setrlimit(RLIMIT_CORE, &none);
	setrlimit(RLIMIT_FSIZE, &size);
	signal(SIGXFSZ, SIG_IGN);
	drop_capabilities();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		log_warning_errno(-errno, "fetcher: no_new_privs is refused");
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	enter_landlock();
	enter_seccomp();
}

/* ---- fetching ---- */

static void *find(void *library, const char *name)
{
	void *found = dlsym(library, name);

	if (!found)
		log_error("fetcher: %s has no %s", LIBRARY, name);
	return found;
}

static int load(struct curl *ret)
{
	void *library = dlopen(LIBRARY, RTLD_NOW);
	CURLcode (*global_init)(long flags);

	if (!library)
		return -ENOSYS;
	*(void **)&global_init = find(library, "curl_global_init");
	*(void **)&ret->init = find(library, "curl_easy_init");
	*(void **)&ret->setopt = find(library, "curl_easy_setopt");
	*(void **)&ret->perform = find(library, "curl_easy_perform");
	*(void **)&ret->getinfo = find(library, "curl_easy_getinfo");
	*(void **)&ret->strerror = find(library, "curl_easy_strerror");
	if (!global_init || !ret->init || !ret->setopt || !ret->perform || !ret->getinfo ||
	    !ret->strerror || global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return -ENOSYS;
	return 0;
}

static size_t on_bytes(char *bytes, size_t size, size_t count, void *context)
{
	struct fetch *fetch = context;
	size_t n = size * count;

	fetch->too_large |= n > fetch->size_max - fetch->bytes;
	if (fetch->too_large)
		return 0;
	for (size_t done = 0; done < n;) {
		ssize_t written =
			pwrite(fetch->out, bytes + done, n - done, (off_t)(fetch->bytes + done));

		if (written <= 0) {
			fetch->not_written = true;
			return 0;
		}
		done += (size_t)written;
	}
	fetch->bytes += n;
	return n;
}

static long left_ms(const struct fetch *fetch)
{
	uint64_t now = clock_boot_ns();

	return now < fetch->until ? (long)((fetch->until - now) / NSEC_PER_MSEC) + 1 : 0;
}

static void set_up(const struct curl *curl, CURL *easy, struct fetch *fetch, const char *url)
{
	curl->setopt(easy, CURLOPT_URL, url);
#if LIBCURL_VERSION_NUM >= 0x075500
	curl->setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl->setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
	curl->setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
	curl->setopt(easy, CURLOPT_REDIR_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	curl->setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
	curl->setopt(easy, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
	curl->setopt(easy, CURLOPT_FAILONERROR, 1L);
	curl->setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl->setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl->setopt(easy, CURLOPT_LOW_SPEED_LIMIT, SLOW_BYTES);
	curl->setopt(easy, CURLOPT_LOW_SPEED_TIME, SLOW_SECONDS);
	curl->setopt(easy, CURLOPT_TIMEOUT_MS, left_ms(fetch));
	curl->setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)fetch->size_max);
	curl->setopt(easy, CURLOPT_USERAGENT, "perfd/" PERFD_VERSION);
	curl->setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes);
	curl->setopt(easy, CURLOPT_WRITEDATA, fetch);
}

/* What an attempt means: 0, or -errno. */
static int judge(const struct curl *curl, CURL *easy, const struct fetch *fetch, CURLcode code)
{
	long status = 0;

	curl->getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	if (code == CURLE_OK)
		return fetch->bytes ? 0 : -ENOENT;
	if (code == CURLE_HTTP_RETURNED_ERROR && (status == 404 || status == 410))
		return -ENOENT;
	if (code == CURLE_FILESIZE_EXCEEDED || fetch->too_large)
		return -EFBIG;
	return code == CURLE_OPERATION_TIMEDOUT ? -ETIMEDOUT : -EIO;
}

static int try_url(const struct curl *curl, struct fetch *fetch, const char *base, char text[256])
{
	size_t length = strlen(base);
	char url[1024];
	CURL *easy = curl->init();
	CURLcode code;
	int r;

	while (length && base[length - 1] == '/')
		length--;
	if (!easy || snprintf(url, sizeof(url), "%.*s/buildid/%s/debuginfo", (int)length, base,
			      fetch->build_id) >= (int)sizeof(url)) {
		snprintf(text, 256, "%.100s: too long for a URL", base);
		return -EIO;
	}
	fetch->bytes = 0;
	fetch->too_large = false;
	set_up(curl, easy, fetch, url);
	code = ftruncate(fetch->out, 0) < 0 ? CURLE_WRITE_ERROR : curl->perform(easy);
	r = judge(curl, easy, fetch, code);
	if (r)
		snprintf(text, 256, "%.120s: %s", base,
			 fetch->too_large     ? "the file is larger than half of the cache"
			 : fetch->not_written ? "the cache's disk cannot be written"
					      : curl->strerror(code));
	return r;
}

/* Each server in turn; the worst of what they say, if none has it: that one is down is
 * another thing than that none has it. */
static int fetch_all(const struct curl *curl, struct fetch *fetch, char text[256])
{
	int r = -ENOENT;
	char *rest = NULL;

	snprintf(text, 256, "no server has it");
	for (char *url = strtok_r(fetch->urls, " \t", &rest); url;
	     url = strtok_r(NULL, " \t", &rest)) {
		char why[256] = "";
		int once = try_url(curl, fetch, url, why);

		if (!once)
			return 0;
		if (once != -ENOENT) {
			r = once;
			memcpy(text, why, sizeof(why));
		}
		if (!left_ms(fetch))
			return r == -ENOENT ? -ETIMEDOUT : r;
	}
	return r;
}

int fetcher_main(int fd)
{
	struct fetch *fetch = calloc(1, sizeof(*fetch));
	struct curl curl = {0};
	char text[256] = "";
	int r;

	sandbox_close_others(fd);
	signal(SIGPIPE, SIG_IGN);
	r = fetch ? take_request(fd, fetch) : -ENOMEM;
	if (r < 0)
		_exit(EXIT_FAILURE);
	r = load(&curl); /* before nothing may be executed any more */
	let_go(fetch->size_max);
	if (r < 0)
		snprintf(text, sizeof(text), "there is no %s (Debian: libcurl4)", LIBRARY);
	else
		r = fetch_all(&curl, fetch, text);
	answer(fd, r, r ? 0 : fetch->bytes, text);
	_exit(EXIT_SUCCESS);
}
