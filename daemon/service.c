/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/service.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define ID_DIGITS 64u
#define ID_SHOWN 12
#define LXC "lxc.payload."

/* A part of the path: not terminated. */
struct part {
	const char *text;
	size_t length;
};

static bool ends_with(const struct part *part, const char *suffix)
{
	size_t n = strlen(suffix);

	return part->length > n && !memcmp(part->text + part->length - n, suffix, n);
}

static void keep(char to[SERVICE_NAME_MAX], const char *text, size_t length)
{
	snprintf(to, SERVICE_NAME_MAX, "%.*s", (int)(length < SERVICE_NAME_MAX ? length : 255),
		 text);
}

static size_t hex_digits(const char *text, size_t length)
{
	size_t n = strspn(text, "0123456789abcdef");

	return n < length ? n : length;
}

/* "docker-ID.scope", "cri-containerd-ID.scope", "libpod-ID", "ID". */
static bool find_id(const struct part *part, char to[SERVICE_NAME_MAX])
{
	for (size_t at = 0; at + ID_DIGITS <= part->length; at++) {
		size_t digits;

		if (at && part->text[at - 1] != '-')
			continue;
		digits = hex_digits(part->text + at, part->length - at);
		if (digits != ID_DIGITS)
			continue;
		keep(to, part->text + at, ID_SHOWN);
		return true;
	}
	return false;
}

static bool find_lxc(const struct part *part, char to[SERVICE_NAME_MAX])
{
	size_t n = sizeof(LXC) - 1;

	if (part->length <= n || memcmp(part->text, LXC, n))
		return false;
	keep(to, part->text + n, part->length - n);
	return true;
}

static void take_part(const struct part *part, struct service *service)
{
	char found[SERVICE_NAME_MAX];

	if (find_id(part, found) || find_lxc(part, found)) {
		/* Units outside of a container are its engine's, not the process's. */
		memcpy(service->container, found, sizeof(found));
		service->unit[0] = '\0';
	}
	if (ends_with(part, ".service") || ends_with(part, ".scope"))
		keep(service->unit, part->text, part->length);
}

void service_of_cgroup(const char *path, struct service *ret)
{
	*ret = (struct service){0};
	while (*path) {
		struct part part = {.text = path, .length = strcspn(path, "/")};

		take_part(&part, ret);
		path += part.length + strspn(path + part.length, "/");
	}
}
