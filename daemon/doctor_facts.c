/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The doctor's eyes: reads what doctor.c decides by.
 */
#include "daemon/doctor.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <bpf/btf.h>
#include <jansson.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/client.h"

#define BTF_PATH "/sys/kernel/btf/vmlinux"
#define ANSWER_TIMEOUT_NS (5 * NSEC_PER_SEC)
#define GROUPS_MAX 1024

/* --- small files ----------------------------------------------------------- */

static long read_number(const char *path)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	long number;

	return file && fscanf(file, "%ld", &number) == 1 ? number : DOCTOR_NUMBER_UNKNOWN;
}

/* kernel.perf_event_paranoid may be -1, which means what 0 does here. */
static long read_level(const char *path)
{
	long number = read_number(path);

	return number < 0 && !access(path, R_OK) ? 0 : number;
}

static void read_line(const char *path, char *line, int size)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");

	if (!file || !fgets(line, size, file))
		*line = '\0';
	line[strcspn(line, "\n")] = '\0';
}

/* The effective user and capabilities of a process; both are for everybody to see. */
static bool read_rights(pid_t pid, uint32_t *ret_uid, uint64_t *ret_capabilities)
{
	_cleanup_fclose_ FILE *file = NULL;
	unsigned long long capabilities;
	char path[64], line[256];
	bool uid = false, all = false;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "Uid: %*u %u", ret_uid) == 1)
			uid = true;
		if (sscanf(line, "CapEff: %llx", &capabilities) == 1) {
			*ret_capabilities = capabilities;
			all = true;
		}
	}
	return uid && all;
}

/* --- the kernel ------------------------------------------------------------ */

static bool has_value(const struct btf *btf, const char *type, const char *value)
{
	int id = btf__find_by_name_kind(btf, type, BTF_KIND_ENUM);
	const struct btf_type *found;
	const struct btf_enum *values;

	if (id < 0)
		return false;
	found = btf__type_by_id(btf, (uint32_t)id);
	values = btf_enum(found);
	for (unsigned i = 0; i < btf_vlen(found); i++) {
		if (!strcmp(btf__name_by_offset(btf, values[i].name_off), value))
			return true;
	}
	return false;
}

static void read_features(struct doctor_facts *facts)
{
	struct doctor_features *features = &facts->features;
	struct btf *btf = facts->btf_error ? NULL : btf__parse(facts->btf, NULL);
	unsigned major = 0, minor = 0, version;

	if (btf) {
		features->by_btf = true;
		features->loop = has_value(btf, "bpf_func_id", "BPF_FUNC_loop");
		features->ring_buffer = has_value(btf, "bpf_map_type", "BPF_MAP_TYPE_RINGBUF");
		features->task_iterator =
			btf__find_by_name_kind(btf, "bpf_iter__task", BTF_KIND_STRUCT) >= 0;
		features->uprobe_multi =
			has_value(btf, "bpf_attach_type", "BPF_TRACE_UPROBE_MULTI");
		btf__free(btf);
		return;
	}
	sscanf(facts->release, "%u.%u", &major, &minor);
	version = major * 1000 + minor;
	features->loop = version >= 5017;
	features->ring_buffer = features->task_iterator = version >= 5008;
	features->uprobe_multi = version >= 6006;
}

static void read_kernel(struct doctor_facts *facts)
{
	const char *btf = facts->config->btf;
	struct utsname names;

	if (!uname(&names))
		snprintf(facts->release, sizeof(facts->release), "%.64s", names.release);
	snprintf(facts->btf, sizeof(facts->btf), "%s", *btf ? btf : BTF_PATH);
	facts->btf_error = access(facts->btf, R_OK) < 0 ? errno : 0;
	read_features(facts);
	facts->perf_event_paranoid = read_level("/proc/sys/kernel/perf_event_paranoid");
	facts->kptr_restrict = read_number("/proc/sys/kernel/kptr_restrict");
	facts->max_sample_rate = read_number("/proc/sys/kernel/perf_event_max_sample_rate");
	facts->bpf_stats = read_number("/proc/sys/kernel/bpf_stats_enabled");
	read_line("/sys/kernel/security/lockdown", facts->lockdown, sizeof(facts->lockdown));
	facts->uprobe_events = !access("/sys/bus/event_source/devices/uprobe/type", F_OK);
	/* Its inside is root's, the folder itself is not: another file system is mounted there. */
	facts->tracefs = !access("/sys/kernel/tracing/events", F_OK) ||
			 !access("/sys/kernel/debug/tracing/events", F_OK);
}

/* --- files and people ------------------------------------------------------ */

static void read_folder(const char *path, uint64_t wanted, struct doctor_folder *ret)
{
	struct statvfs room;
	struct stat st;

	*ret = (struct doctor_folder){.path = path, .wanted = wanted};
	if (!*path || !wanted)
		return;
	if (stat(path, &st) < 0 || statvfs(path, &room) < 0) {
		ret->error = errno;
		return;
	}
	ret->is_folder = S_ISDIR(st.st_mode);
	ret->owner = st.st_uid;
	ret->mode = st.st_mode & 07777;
	ret->read_only = room.f_flag & ST_RDONLY;
	ret->room = (uint64_t)room.f_bavail * room.f_frsize;
}

static void read_people(struct doctor_facts *facts)
{
	const struct passwd *user = getpwuid(geteuid());
	const struct group *group;
	gid_t groups[GROUPS_MAX];
	int n = getgroups(GROUPS_MAX, groups);
	gid_t id;

	facts->root = !geteuid();
	if (user)
		snprintf(facts->user, sizeof(facts->user), "%.63s", user->pw_name);
	else
		snprintf(facts->user, sizeof(facts->user), "%u", (unsigned)geteuid());
	group = *facts->config->socket_group ? getgrnam(facts->config->socket_group) : NULL;
	if (!group)
		return;
	id = group->gr_gid;
	facts->group_exists = true;
	facts->group_member = getegid() == id;
	for (int i = 0; i < n; i++)
		facts->group_member |= groups[i] == id;
}

/* --- the running perfd ----------------------------------------------------- */

static int ask_version(struct client *client, struct doctor_facts *facts, struct error *error)
{
	const char *text = "", *version;
	json_t *status;
	int r = client_hello(client, ANSWER_TIMEOUT_NS, error);

	if (!r)
		r = client_json(client, MESSAGE_STATUS, error, &text);
	if (r < 0)
		return r;
	status = json_loads(text, 0, NULL);
	version = json_string_value(json_object_get(status, "version"));
	snprintf(facts->daemon_version, sizeof(facts->daemon_version), "%.31s",
		 version ? version : "?");
	json_decref(status);
	return 0;
}

static void read_daemon(struct doctor_facts *facts)
{
	struct error error = {0};
	struct client client;
	struct ucred peer = {0};
	socklen_t size = sizeof(peer);
	pid_t pid = getpid();
	int r = client_connect(facts->config->socket, &error, &client);

	if (r < 0) {
		facts->daemon = r == -EACCES || r == -EPERM ? DAEMON_CLOSED : DAEMON_NONE;
	} else {
		if (!getsockopt(client.fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) && peer.pid > 0)
			pid = peer.pid;
		r = ask_version(&client, facts, &error);
		facts->daemon = r < 0 ? DAEMON_DEAF : DAEMON_RUNS;
		client_deinit(&client);
	}
	snprintf(facts->daemon_error, sizeof(facts->daemon_error), "%.255s", error.text);
	/* Where none runs, the next one would have what root has. */
	if (pid != getpid() || facts->root)
		facts->capabilities_known =
			read_rights(pid, &facts->daemon_uid, &facts->capabilities);
}

void doctor_read(const struct config *config, struct doctor_facts *ret)
{
	*ret = (struct doctor_facts){.config = config};
	read_people(ret);
	read_daemon(ret);
	read_kernel(ret);
	ret->debug_folder = !access("/usr/lib/debug/.build-id", F_OK);
	read_folder(config->history_dir, config->history_bytes, &ret->history);
	read_folder(config->unwind_cache_dir, config->unwind_cache_bytes, &ret->cache);
}
