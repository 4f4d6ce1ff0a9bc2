/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/metrics_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORT_MAX 65535
#define LOOPBACK_NET 127u /* 127.0.0.0/8 */

static int refuse(const char *text, const char *why, struct error *error)
{
	return error_set(
		error, -EINVAL,
		"listen = \"%.80s\": %s; expected the path of a Unix socket, or a loopback "
		"address with a port (127.0.0.1:9903, [::1]:9903): what perfd knows of the "
		"machine is not for the network, where a proxy in front could ask who it is",
		text, why);
}

static int parse_port(const char *text, in_port_t *ret)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || !value || value > PORT_MAX)
		return -EINVAL;
	*ret = htons((in_port_t)value);
	return 0;
}

/* "host:port" and "[host]:port" into their parts. */
static int split(const char *text, char host[64], const char **ret_port)
{
	const char *colon = strrchr(text, ':');
	size_t n = colon ? (size_t)(colon - text) : 0;

	if (!colon || !n)
		return -EINVAL;
	if (text[0] == '[') {
		if (text[n - 1] != ']')
			return -EINVAL;
		text++;
		n -= 2;
	}
	if (n >= 64)
		return -EINVAL;
	memcpy(host, text, n);
	host[n] = 0;
	*ret_port = colon + 1;
	return 0;
}

int metrics_address_parse(const char *text, struct metrics_address *ret, struct error *error)
{
	struct metrics_address address = {0};
	const char *port;
	char host[64];
	in_port_t number;

	if (text[0] == '/') {
		if (strlen(text) >= sizeof(address.at.path.sun_path))
			return refuse(text, "the path is too long", error);
		address.at.path.sun_family = AF_UNIX;
		snprintf(address.at.path.sun_path, sizeof(address.at.path.sun_path), "%s", text);
		address.size = sizeof(address.at.path);
		*ret = address;
		return 0;
	}
	if (split(text, host, &port) || parse_port(port, &number))
		return refuse(text, "this is no path and no address with a port", error);
	if (!strcmp(host, "localhost"))
		snprintf(host, sizeof(host), "127.0.0.1");
	if (text[0] != '[' && inet_pton(AF_INET, host, &address.at.v4.sin_addr) == 1) {
		if (ntohl(address.at.v4.sin_addr.s_addr) >> 24 != LOOPBACK_NET)
			return refuse(text, "the address is not of this machine alone", error);
		address.at.v4.sin_family = AF_INET;
		address.at.v4.sin_port = number;
		address.size = sizeof(address.at.v4);
	} else if (text[0] == '[' && inet_pton(AF_INET6, host, &address.at.v6.sin6_addr) == 1) {
		if (!IN6_IS_ADDR_LOOPBACK(&address.at.v6.sin6_addr))
			return refuse(text, "the address is not of this machine alone", error);
		address.at.v6.sin6_family = AF_INET6;
		address.at.v6.sin6_port = number;
		address.size = sizeof(address.at.v6);
	} else {
		return refuse(text, "this is no path and no address with a port", error);
	}
	*ret = address;
	return 0;
}
