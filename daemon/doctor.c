/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/doctor.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MIB (1ULL << 20)
/* Less is as good as nothing: a day's database begins with some. */
#define ROOM_MIN (16 * MIB)
#define PARANOID_DEBIAN 3

#define CAPABILITY(name) (1ULL << CAP_##name)

const char *doctor_state_name(enum doctor_state state)
{
	static const char *const names[DOCTOR_STATES] = {"ok", "degraded", "missing", "unknown"};

	return names[state];
}

static void find(struct doctor_finding *finding, enum doctor_state state, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void mend(struct doctor_finding *finding, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void find(struct doctor_finding *finding, enum doctor_state state, const char *format, ...)
{
	va_list args;

	finding->state = state;
	va_start(args, format);
	vsnprintf(finding->found, sizeof(finding->found), format, args);
	va_end(args);
}

static void mend(struct doctor_finding *finding, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(finding->mend, sizeof(finding->mend), format, args);
	va_end(args);
}

/* One of them is enough. */
static bool has(const struct doctor_facts *facts, uint64_t any)
{
	return facts->capabilities & any;
}

static const char *whose(const struct doctor_facts *facts)
{
	return facts->daemon == DAEMON_RUNS ? "perfd" : "root";
}

/* --- the daemon ------------------------------------------------------------ */

static void decide_perfd(const struct doctor_facts *facts, struct doctor_finding *finding)
{
	switch (facts->daemon) {
	case DAEMON_NONE:
		find(finding, DOCTOR_MISSING, "not running: %s", facts->daemon_error);
		return;
	case DAEMON_DEAF:
		find(finding, DOCTOR_MISSING, "does not answer: %s", facts->daemon_error);
		mend(finding, "systemctl restart perfd");
		return;
	case DAEMON_CLOSED:
		find(finding, DOCTOR_UNKNOWN, "may not be asked by %s: %s", facts->user,
		     facts->daemon_error);
		mend(finding, "sudo perfctl doctor");
		return;
	default:
		break;
	}
	if (strcmp(facts->daemon_version, PERFD_VERSION)) {
		find(finding, DOCTOR_DEGRADED, "runs as version %s; perfctl is %s",
		     facts->daemon_version, PERFD_VERSION);
		mend(finding, "systemctl restart perfd");
		return;
	}
	find(finding, DOCTOR_OK, "runs, version %s", facts->daemon_version);
}

static void decide_group(const struct doctor_facts *facts, struct doctor_finding *finding)
{
	const char *group = facts->config->socket_group;

	if (!*group) {
		find(finding, DOCTOR_OK, "daemon.socket_group is empty: only root sees all");
	} else if (!facts->group_exists) {
		find(finding, DOCTOR_DEGRADED, "there is no group \"%s\" (daemon.socket_group)",
		     group);
		mend(finding, "groupadd --system %s && systemctl restart perfd", group);
	} else if (!facts->root && !facts->group_member) {
		find(finding, DOCTOR_DEGRADED,
		     "%s is not in the group \"%s\": sees own processes only", facts->user, group);
		mend(finding, "usermod -aG %s %s  # then log in anew", group, facts->user);
	} else {
		find(finding, DOCTOR_OK, "the group \"%s\" is there", group);
	}
}

static void decide_capabilities(const struct doctor_facts *facts, struct doctor_finding *finding)
{
	static const struct {
		const char *name;
		uint64_t any;
		bool vital;
	} needs[] = {
		{"CAP_BPF", CAPABILITY(BPF) | CAPABILITY(SYS_ADMIN), true},
		{"CAP_PERFMON", CAPABILITY(PERFMON) | CAPABILITY(SYS_ADMIN), true},
		{"CAP_SYS_PTRACE", CAPABILITY(SYS_PTRACE), false},
		{"CAP_DAC_READ_SEARCH", CAPABILITY(DAC_READ_SEARCH) | CAPABILITY(DAC_OVERRIDE),
		 false},
		{"CAP_CHECKPOINT_RESTORE", CAPABILITY(CHECKPOINT_RESTORE) | CAPABILITY(SYS_ADMIN),
		 false},
		{"CAP_KILL", CAPABILITY(KILL), false},
		{"CAP_SETUID", CAPABILITY(SETUID), false},
		{"CAP_SETGID", CAPABILITY(SETGID), false},
	};
	enum doctor_state state = DOCTOR_OK;
	char lacks[256] = "";
	size_t n = 0;

	if (!facts->capabilities_known) {
		find(finding, DOCTOR_UNKNOWN, "no perfd runs whose capabilities could be seen");
		mend(finding, "sudo perfctl doctor");
		return;
	}
	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++) {
		if (has(facts, needs[i].any))
			continue;
		n += (size_t)snprintf(lacks + n, sizeof(lacks) - n, " %s", needs[i].name);
		if (needs[i].vital)
			state = DOCTOR_MISSING;
		else if (state == DOCTOR_OK)
			state = DOCTOR_DEGRADED;
	}
	if (state == DOCTOR_OK)
		find(finding, state, "%s has all that are needed", whose(facts));
	else
		find(finding, state, "%s lacks%s", whose(facts), lacks);
}

/* --- the kernel ------------------------------------------------------------ */

static void decide_btf(const struct doctor_facts *facts, struct doctor_finding *finding)
{
	if (facts->btf_error)
		find(finding, facts->btf_error == EACCES ? DOCTOR_UNKNOWN : DOCTOR_MISSING,
		     "%s: %s", facts->btf, strerror(facts->btf_error));
	else
		find(finding, DOCTOR_OK, "%s is readable", facts->btf);
}

static void decide_feature(const struct doctor_facts *facts, bool there,
			   enum doctor_state otherwise, struct doctor_finding *finding)
{
	find(finding, there ? DOCTOR_OK : otherwise, "Linux %s %s it, by its %s", facts->release,
	     there ? "has" : "does not have", facts->features.by_btf ? "BTF" : "version");
}

static void decide_loop(const struct doctor_facts *facts, struct doctor_finding *finding)
{
	decide_feature(facts, facts->features.loop, DOCTOR_MISSING, finding);
}

static void decide_ring_buffer(const struct doctor_facts *facts, struct doctor_finding *finding)
{
	decide_feature(facts, facts->features.ring_buffer, DOCTOR_MISSING, finding);
}

static void decide_task_iterator(const struct doctor_facts *facts, struct doctor_finding *finding)
{
	decide_feature(facts, facts->features.task_iterator, DOCTOR_MISSING, finding);
}

static void decide_uprobe_multi(const struct doctor_facts *facts, struct doctor_finding *finding)
{
	decide_feature(facts, facts->features.uprobe_multi, DOCTOR_DEGRADED, finding);
}

static void decide_lockdown(const struct doctor_facts *facts, struct doctor_finding *finding)
{
	if (strstr(facts->lockdown, "[confidentiality]"))
		find(finding, DOCTOR_MISSING, "lockdown=confidentiality");
	else if (strstr(facts->lockdown, "[integrity]"))
		find(finding, DOCTOR_OK, "lockdown=integrity, which does no harm");
	else
		find(finding, DOCTOR_OK, "%s", *facts->lockdown ? "off" : "this kernel has none");
}

static bool unread(long number, struct doctor_finding *finding)
{
	if (number != DOCTOR_NUMBER_UNKNOWN)
		return false;
	find(finding, DOCTOR_UNKNOWN, "cannot be read here");
	return true;
}

static void decide_paranoid(const struct doctor_facts *facts, struct doctor_finding *finding)
{
	long level = facts->perf_event_paranoid;

	if (unread(level, finding))
		return;
	if (level < PARANOID_DEBIAN)
		find(finding, DOCTOR_OK, "%ld: CAP_PERFMON is enough", level);
	else if (!facts->capabilities_known)
		find(finding, DOCTOR_UNKNOWN, "%ld: perfd needs CAP_SYS_ADMIN then", level);
	else if (has(facts, CAPABILITY(SYS_ADMIN)))
		find(finding, DOCTOR_OK, "%ld, but %s has CAP_SYS_ADMIN", level, whose(facts));
	else
		find(finding, DOCTOR_MISSING, "%ld, and %s has no CAP_SYS_ADMIN", level,
		     whose(facts));
}

static void decide_kptr(const struct doctor_facts *facts, struct doctor_finding *finding)
{
	long level = facts->kptr_restrict;

	if (unread(level, finding))
		return;
	if (level <= 0)
		find(finding, DOCTOR_OK, "%ld", level);
	else if (level >= 2)
		find(finding, DOCTOR_DEGRADED, "%ld: addresses are hidden from everybody", level);
	else if (!facts->capabilities_known)
		find(finding, DOCTOR_UNKNOWN, "%ld: perfd needs CAP_SYSLOG then", level);
	else if (has(facts, CAPABILITY(SYSLOG)))
		find(finding, DOCTOR_OK, "%ld, and %s has CAP_SYSLOG", level, whose(facts));
	else
		find(finding, DOCTOR_DEGRADED, "%ld, and %s has no CAP_SYSLOG", level,
		     whose(facts));
}

static void decide_rate(const struct doctor_facts *facts, struct doctor_finding *finding)
{
	const struct config *config = facts->config;
	long rate = facts->max_sample_rate;
	uint32_t wanted = config->frequency_hz;

	if (unread(rate, finding))
		return;
	if (wanted < config->session_frequency_hz)
		wanted = config->session_frequency_hz;
	if (rate < (long)wanted)
		find(finding, DOCTOR_DEGRADED, "%ld Hz, and the settings want %u", rate, wanted);
	else if (rate < (long)config->frequency_max_hz)
		find(finding, DOCTOR_DEGRADED, "%ld Hz; sessions may ask for %u", rate,
		     config->frequency_max_hz);
	else
		find(finding, DOCTOR_OK, "%ld Hz", rate);
}

static void decide_bpf_stats(const struct doctor_facts *facts, struct doctor_finding *finding)
{
	if (unread(facts->bpf_stats, finding))
		return;
	if (facts->bpf_stats)
		find(finding, DOCTOR_OK, "on");
	else
		find(finding, DOCTOR_DEGRADED, "off, as is usual");
}

static void decide_tracefs(const struct doctor_facts *facts, struct doctor_finding *finding)
{
	if (facts->uprobe_events)
		find(finding, DOCTOR_OK, "%s; perf events of uprobes do without",
		     facts->tracefs ? "mounted" : "not seen");
	else if (facts->tracefs)
		find(finding, DOCTOR_OK, "mounted");
	else
		find(finding, DOCTOR_DEGRADED, "not seen, and no perf events of uprobes");
}

/* --- files ----------------------------------------------------------------- */

static void decide_debug_files(const struct doctor_facts *facts, struct doctor_finding *finding)
{
	if (facts->debug_folder)
		find(finding, DOCTOR_OK, "/usr/lib/debug/.build-id is there");
	else if (*facts->config->debuginfod_urls)
		find(finding, DOCTOR_OK, "asked of symbols.debuginfod_urls");
	else
		find(finding, DOCTOR_DEGRADED, "none are installed, and no server is asked");
}

/* Whether perfd may make files in the folder. */
static bool may_write(const struct doctor_facts *facts, const struct doctor_folder *folder)
{
	if (facts->capabilities_known && has(facts, CAPABILITY(DAC_OVERRIDE)))
		return true;
	if (folder->owner == facts->daemon_uid)
		return (folder->mode & 0300) == 0300;
	return (folder->mode & 0003) == 0003;
}

static void decide_folder(const struct doctor_facts *facts, const struct doctor_folder *folder,
			  struct doctor_finding *finding)
{
	unsigned long long room = folder->room / MIB, wanted = folder->wanted / MIB;

	if (!*folder->path || !folder->wanted) {
		find(finding, DOCTOR_OK, "off, by the settings");
		return;
	}
	mend(finding, "install -d -m 0700 -o %u %s", facts->daemon_uid, folder->path);
	if (folder->error == EACCES) {
		find(finding, DOCTOR_UNKNOWN, "%s: not to be seen by %s", folder->path,
		     facts->user);
		mend(finding, "sudo perfctl doctor");
	} else if (folder->error == ENOENT) {
		find(finding, facts->daemon == DAEMON_RUNS ? DOCTOR_MISSING : DOCTOR_DEGRADED,
		     "%s is not there (yet)", folder->path);
	} else if (folder->error) {
		find(finding, DOCTOR_MISSING, "%s: %s", folder->path, strerror(folder->error));
	} else if (!folder->is_folder) {
		find(finding, DOCTOR_MISSING, "%s is no folder", folder->path);
		mend(finding, "mv %s %s.old && install -d -m 0700 -o %u %s", folder->path,
		     folder->path, facts->daemon_uid, folder->path);
	} else if (folder->read_only) {
		find(finding, DOCTOR_MISSING, "%s is on a file system that is read-only",
		     folder->path);
		mend(finding, "mount -o remount,rw \"$(findmnt -no TARGET -T %s)\"", folder->path);
	} else if (!may_write(facts, folder)) {
		find(finding, DOCTOR_MISSING,
		     "%s belongs to user %u (mode %04o): perfd (user %u) may not "
		     "write",
		     folder->path, folder->owner, folder->mode, facts->daemon_uid);
	} else if (folder->room < ROOM_MIN || folder->room < folder->wanted) {
		find(finding, folder->room < ROOM_MIN ? DOCTOR_MISSING : DOCTOR_DEGRADED,
		     "%s: %llu MiB are free; up to %llu may be taken", folder->path, room, wanted);
		mend(finding,
		     "df -h %s  # make room there, or set another folder or a smaller size",
		     folder->path);
	} else {
		find(finding, DOCTOR_OK, "%s: %llu MiB are free; up to %llu may be taken",
		     folder->path, room, wanted);
	}
}

static void decide_history(const struct doctor_facts *facts, struct doctor_finding *finding)
{
	decide_folder(facts, &facts->history, finding);
}

static void decide_cache(const struct doctor_facts *facts, struct doctor_finding *finding)
{
	decide_folder(facts, &facts->cache, finding);
}

static void decide_socket(const struct doctor_facts *facts, struct doctor_finding *finding)
{
	const char *path = facts->config->socket;

	if (facts->daemon == DAEMON_RUNS)
		find(finding, DOCTOR_OK, "%s answers", path);
	else if (facts->daemon == DAEMON_CLOSED)
		find(finding, DOCTOR_DEGRADED, "%s is closed to %s", path, facts->user);
	else
		find(finding, DOCTOR_MISSING, "nobody answers at %s", path);
}

/* --- the table ------------------------------------------------------------- */

#define NEWER_KERNEL "apt-get install linux-image-amd64 && reboot  # 6.1 or later"

const struct doctor_check doctor_checks[DOCTOR_CHECK_COUNT] = {
	{"perfd", decide_perfd, "Only a perfd that runs can tell what the machine did before.",
	 "systemctl enable --now perfd"},
	{"socket", decide_socket, "perfctl asks perfd through its socket.",
	 "systemctl enable --now perfd"},
	{"group", decide_group, "Members of the group see all processes without being root.",
	 "groupadd --system perfd"},
	{"capabilities", decide_capabilities,
	 "Without CAP_BPF and CAP_PERFMON nothing is sampled; without the others, programs of "
	 "other "
	 "users have no names, or their files are read with more rights than need be.",
	 "systemctl revert perfd && systemctl restart perfd  # or run perfd as root"},
	{"kernel.btf", decide_btf, "By BTF one perfd fits every kernel.",
	 "apt-get install linux-image-amd64 && reboot  # or perfd --btf FILE"},
	{"kernel.bpf_loop", decide_loop, "Stacks are walked by bpf_loop (Linux 5.17).",
	 NEWER_KERNEL},
	{"kernel.ring_buffer", decide_ring_buffer,
	 "Samples come through a BPF ring buffer (Linux 5.8).", NEWER_KERNEL},
	{"kernel.task_iterator", decide_task_iterator,
	 "Processes that were there before perfd are listed by a BPF iterator (Linux 5.8).",
	 NEWER_KERNEL},
	{"kernel.uprobe_multi", decide_uprobe_multi,
	 "Without it (Linux 6.6) many probes in programs take long to attach and to undo.",
	 "apt-get install -t bookworm-backports linux-image-amd64 && reboot"},
	{"kernel.lockdown", decide_lockdown,
	 "In its strict form the kernel lets nobody read its memory, and stacks with it.",
	 "sed -i 's/lockdown=confidentiality/lockdown=integrity/' /etc/default/grub && update-grub "
	 "&& reboot"},
	{"kernel.perf_event_paranoid", decide_paranoid,
	 "At 3 and above Debian's kernels want CAP_SYS_ADMIN for perf events.",
	 "sysctl -w kernel.perf_event_paranoid=2"},
	{"kernel.kptr_restrict", decide_kptr, "Functions of the kernel have no names otherwise.",
	 "sysctl -w kernel.kptr_restrict=1"},
	{"kernel.perf_event_max_sample_rate", decide_rate,
	 "The kernel takes no more samples a second than this, and lowers it by itself.",
	 "sysctl -w kernel.perf_event_max_sample_rate=100000"},
	{"kernel.bpf_stats", decide_bpf_stats,
	 "Only with it does perfctl status show what perfd costs in the kernel; it costs a little "
	 "itself.",
	 "sysctl -w kernel.bpf_stats_enabled=1"},
	{"tracefs", decide_tracefs,
	 "Old kernels put probes into programs through it; perfd's own sampling needs none.",
	 "mount -t tracefs tracefs /sys/kernel/tracing"},
	{"debug_files", decide_debug_files,
	 "Static functions of the C library, and lines of code, are named by debug files.",
	 "apt-get install libc6-dbg"},
	{"history.dir", decide_history, "What the machine did yesterday is kept there.", ""},
	{"unwind.cache_dir", decide_cache, "Unwind tables need not be made anew after a start.",
	 ""},
};

void doctor_examine(const struct doctor_check *check, const struct doctor_facts *facts,
		    struct doctor_finding *ret)
{
	*ret = (struct doctor_finding){0};
	check->decide(facts, ret);
	if (ret->state == DOCTOR_OK)
		ret->mend[0] = '\0';
	else if (!ret->mend[0])
		mend(ret, "%s", check->mend);
}
