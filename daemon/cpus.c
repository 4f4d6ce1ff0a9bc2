/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/cpus.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"

/* "N" or "N-M"; moves *text behind it. */
static int parse_range(const char **text, struct cpus *cpus)
{
	unsigned long first, last;
	char *end;

	if (!isdigit((unsigned char)**text))
		return -EINVAL;
	first = last = strtoul(*text, &end, 10);
	if (*end == '-') {
		if (!isdigit((unsigned char)end[1]))
			return -EINVAL;
		last = strtoul(end + 1, &end, 10);
	}
	if (last < first || last >= CPUS_MAX)
		return -EINVAL;
	for (unsigned long cpu = first; cpu <= last; cpu++)
		cpus->bits[cpu / 64] |= 1ULL << (cpu % 64);
	*text = end;
	return 0;
}

int cpus_parse(const char *text, struct cpus *ret)
{
	struct cpus cpus = {0};

	while (*text && *text != '\n') {
		int r = parse_range(&text, &cpus);

		if (r)
			return r;
		if (*text == ',')
			text++;
		else if (*text && *text != '\n')
			return -EINVAL;
	}
	*ret = cpus;
	return 0;
}

int cpus_online_open(void)
{
	int fd = open("/sys/devices/system/cpu/online", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int cpus_online_read(int fd, struct cpus *ret)
{
	char text[4096];
	ssize_t n;

	if (fd < 0)
		return fd;
	n = pread(fd, text, sizeof(text) - 1, 0);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	return cpus_parse(text, ret);
}

int cpus_online(struct cpus *ret)
{
	_cleanup_close_ int fd = cpus_online_open();

	return cpus_online_read(fd, ret);
}
