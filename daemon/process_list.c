/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/process_list.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"

struct lister {
	int proc;
	uint64_t boot_real_ns; /* CLOCK_REALTIME of the boot */
	uint64_t tick_ns, page_bytes;
	bool own_only;
};

static ssize_t read_text(int proc, const char *pid, const char *name, char *text, size_t size)
{
	char path[300];
	_cleanup_close_ int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/%s", pid, name);
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, size - 1);
	if (n >= 0)
		text[n] = 0;
	return n;
}

/* proc(5), stat: "pid (comm) state ppid …"; field 22 is the start in ticks since the boot,
 * field 24 the resident pages. A name may have blanks and parentheses in it. */
static bool read_stat(const struct lister *lister, const char *pid, struct top_fact *fact)
{
	char text[1024];
	const char *open, *close;
	unsigned long long start;
	long resident;

	if (read_text(lister->proc, pid, "stat", text, sizeof(text)) <= 0)
		return false;
	open = strchr(text, '(');
	close = strrchr(text, ')');
	if (!open || !close || close < open ||
	    sscanf(close + 1,
		   " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d "
		   "%llu %*u %ld",
		   &start, &resident) != 2 ||
	    resident <= 0)
		return false;
	snprintf(fact->comm, sizeof(fact->comm), "%.*s", (int)(close - open - 1), open + 1);
	fact->birth_ns = lister->boot_real_ns + start * lister->tick_ns;
	fact->rss_bytes = (uint64_t)resident * lister->page_bytes;
	return true;
}

static bool read_process(const struct lister *lister, const char *pid, struct top_fact *fact)
{
	struct stat st;

	if (lister->own_only && (fstatat(lister->proc, pid, &st, 0) < 0 || st.st_uid != geteuid()))
		return false;
	fact->pid = (uint32_t)strtoul(pid, NULL, 10);
	return read_stat(lister, pid, fact);
}

static void cleanup_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

int process_list(bool own_only, struct top_facts *facts)
{
	_cleanup_(cleanup_dir) DIR *dir = opendir("/proc");
	struct lister lister = {.own_only = own_only,
				.boot_real_ns = clock_real_ns() - clock_boot_ns(),
				.tick_ns = NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK),
				.page_bytes = (uint64_t)sysconf(_SC_PAGESIZE)};
	struct top_facts found = {.known = true};
	const struct dirent *entry;

	if (!dir)
		return -errno;
	lister.proc = dirfd(dir);
	while ((entry = readdir(dir))) {
		struct top_fact fact = {0};

		if (!isdigit((unsigned char)entry->d_name[0]) ||
		    !read_process(&lister, entry->d_name, &fact))
			continue;
		if (vec_push(&found, fact)) {
			free(found.items);
			return -ENOMEM;
		}
	}
	*facts = found;
	return 0;
}
