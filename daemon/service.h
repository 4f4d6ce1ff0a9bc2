/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a process belongs to, read off its cgroup's path (v2, "/" the root):
 *
 *	unit       the systemd unit nearest to the process, "redis.service"
 *	           (systemd.unit(5); slices are no units of their own here)
 *	container  the id or name that a container engine put into the path: the first 12 of
 *	           64 hexadecimal digits (docker, podman, containerd, cri-o, Kubernetes), or
 *	           the name behind "lxc.payload."
 *
 * Pure: the path is all that is looked at. Whoever may make cgroups may call them so, so
 * a unit is a name to group by, not a proof.
 */
#pragma once

#define SERVICE_NAME_MAX 256 /* NAME_MAX and its NUL */

struct service {
	char unit[SERVICE_NAME_MAX]; /* "": none */
	char container[SERVICE_NAME_MAX]; /* likewise */
};

/* Any text gives some service; names too long for it are cut. */
void service_of_cgroup(const char *path, struct service *ret);
