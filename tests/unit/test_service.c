/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Units and containers by the paths that systemd and the container engines make.
 */
#include "daemon/service.h"
#include "tests/unit/suite.h"

#include <stdio.h>
#include <string.h>

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct {
	const char *path, *unit, *container;
} paths[] = {
	{"", "", ""},
	{"/", "", ""},
	{"/system.slice/redis.service", "redis.service", ""},
	{"/system.slice/system-postgresql.slice/postgresql@15-main.service",
	 "postgresql@15-main.service", ""},
	{"/user.slice/user-1000.slice/session-3.scope", "session-3.scope", ""},
	{"/user.slice/user-1000.slice/user@1000.service/app.slice/x.service", "x.service", ""},
	{"/system.slice/docker-" ID ".scope", "docker-" ID ".scope", "0123456789ab"},
	{"/docker/" ID, "", "0123456789ab"},
	{"/system.slice/docker.service/docker/" ID "/init", "", "0123456789ab"},
	{"/docker/" ID "/system.slice/nginx.service", "nginx.service", "0123456789ab"},
	{"/kubepods.slice/kubepods-pod1.slice/cri-containerd-" ID ".scope",
	 "cri-containerd-" ID ".scope", "0123456789ab"},
	{"/machine.slice/libpod-" ID ".scope/container", "libpod-" ID ".scope", "0123456789ab"},
	{"/lxc.payload.web/system.slice/a.service", "a.service", "web"},
	{"/docker/" ID "0", "", ""}, /* 65 digits are no id */
	{"/.service", "", ""},
	{"//a.service//", "a.service", ""},
};

START_TEST(paths_of_engines)
{
	struct service service;

	service_of_cgroup(paths[_i].path, &service);
	ck_assert_str_eq(service.unit, paths[_i].unit);
	ck_assert_str_eq(service.container, paths[_i].container);
}
END_TEST

START_TEST(long_names_are_cut)
{
	struct service service;
	char path[1024];

	memset(path, 'x', sizeof(path));
	snprintf(path + 1000, sizeof(path) - 1000, ".service");
	service_of_cgroup(path, &service);
	ck_assert_uint_eq(strlen(service.unit), SERVICE_NAME_MAX - 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("service");
	TCase *tc = tcase_create("service");

	tcase_add_loop_test(tc, paths_of_engines, 0, sizeof(paths) / sizeof(paths[0]));
	tcase_add_test(tc, long_names_are_cut);
	suite_add_tcase(suite, tc);
	return suite_main(suite);
}
