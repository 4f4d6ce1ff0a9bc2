/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The doctor's decisions, by facts of machines that are not this one.
 */
#include "daemon/doctor.h"
#include "tests/unit/suite.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>

#define CAPABILITY(name) (1ULL << CAP_##name)
#define ALL_CAPABILITIES ((1ULL << (CAP_LAST_CAP + 1)) - 1)
#define GIB (1ULL << 30)

static struct config config;
static struct doctor_facts facts;

/* A machine on which all is well. */
static void set_up(void)
{
	config_init(&config);
	facts = (struct doctor_facts){
		.config = &config,
		.root = true,
		.user = "root",
		.daemon = DAEMON_RUNS,
		.daemon_version = PERFD_VERSION,
		.capabilities_known = true,
		.capabilities = ALL_CAPABILITIES & ~CAPABILITY(DAC_OVERRIDE),
		.release = "6.12.1",
		.btf = "/sys/kernel/btf/vmlinux",
		.features = {true, true, true, true, true},
		.perf_event_paranoid = 2,
		.max_sample_rate = 100000,
		.bpf_stats = 1,
		.lockdown = "[none] integrity confidentiality",
		.uprobe_events = true,
		.tracefs = true,
		.debug_folder = true,
		.group_exists = true,
		.history = {config.history_dir, GIB, 0, true, false, 0, 0700, 2 * GIB},
		.cache = {config.unwind_cache_dir, GIB, 0, true, false, 0, 0700, 2 * GIB},
	};
}

static struct doctor_finding examine(const char *name)
{
	struct doctor_finding finding;

	for (size_t i = 0; i < DOCTOR_CHECK_COUNT; i++) {
		if (strcmp(doctor_checks[i].name, name))
			continue;
		doctor_examine(&doctor_checks[i], &facts, &finding);
		/* Whatever is not well has a command, and a reason. */
		ck_assert(*finding.found);
		ck_assert(*doctor_checks[i].why);
		ck_assert_int_eq(!*finding.mend, finding.state == DOCTOR_OK);
		return finding;
	}
	ck_abort_msg("no check \"%s\"", name);
}

#define EXPECT(name, wanted) ck_assert_int_eq(examine(name).state, wanted)
#define MENDS(name, part) ck_assert_ptr_nonnull(strstr(examine(name).mend, part))

START_TEST(all_is_well)
{
	for (size_t i = 0; i < DOCTOR_CHECK_COUNT; i++)
		ck_assert_msg(examine(doctor_checks[i].name).state == DOCTOR_OK, "%s: %s",
			      doctor_checks[i].name, examine(doctor_checks[i].name).found);
}
END_TEST

START_TEST(nothing_is_known)
{
	facts = (struct doctor_facts){.config = &config,
				      .perf_event_paranoid = DOCTOR_NUMBER_UNKNOWN,
				      .kptr_restrict = DOCTOR_NUMBER_UNKNOWN,
				      .max_sample_rate = DOCTOR_NUMBER_UNKNOWN,
				      .bpf_stats = DOCTOR_NUMBER_UNKNOWN,
				      .history = {"/a", 1, EACCES},
				      .cache = {"/a", 1, EACCES}};
	EXPECT("capabilities", DOCTOR_UNKNOWN);
	EXPECT("kernel.perf_event_paranoid", DOCTOR_UNKNOWN);
	EXPECT("kernel.kptr_restrict", DOCTOR_UNKNOWN);
	EXPECT("kernel.perf_event_max_sample_rate", DOCTOR_UNKNOWN);
	EXPECT("kernel.bpf_stats", DOCTOR_UNKNOWN);
	EXPECT("history.dir", DOCTOR_UNKNOWN);
	EXPECT("unwind.cache_dir", DOCTOR_UNKNOWN);
}
END_TEST

START_TEST(the_daemon)
{
	strcpy(facts.daemon_version, "0.0.1");
	EXPECT("perfd", DOCTOR_DEGRADED);
	MENDS("perfd", "restart");
	facts.daemon = DAEMON_NONE;
	EXPECT("perfd", DOCTOR_MISSING);
	EXPECT("socket", DOCTOR_MISSING);
	MENDS("perfd", "systemctl enable --now perfd");
	facts.daemon = DAEMON_DEAF;
	EXPECT("perfd", DOCTOR_MISSING);
	MENDS("perfd", "restart");
	facts.daemon = DAEMON_CLOSED;
	EXPECT("perfd", DOCTOR_UNKNOWN);
	EXPECT("socket", DOCTOR_DEGRADED);
}
END_TEST

START_TEST(people)
{
	facts.root = false;
	strcpy(facts.user, "ann");
	EXPECT("group", DOCTOR_DEGRADED);
	MENDS("group", "usermod -aG perfd ann");
	facts.group_member = true;
	EXPECT("group", DOCTOR_OK);
	facts.group_exists = false;
	EXPECT("group", DOCTOR_DEGRADED);
	MENDS("group", "groupadd --system perfd");
	config.socket_group[0] = '\0';
	EXPECT("group", DOCTOR_OK);
}
END_TEST

START_TEST(capabilities)
{
	facts.capabilities &= ~CAPABILITY(SYS_PTRACE);
	EXPECT("capabilities", DOCTOR_DEGRADED);
	ck_assert_str_eq(examine("capabilities").found, "perfd lacks CAP_SYS_PTRACE");
	facts.capabilities = CAPABILITY(SYS_ADMIN);
	EXPECT("capabilities", DOCTOR_DEGRADED);
	facts.capabilities = ALL_CAPABILITIES & ~CAPABILITY(BPF);
	EXPECT("capabilities", DOCTOR_OK); /* SYS_ADMIN has it */
	facts.capabilities &= ~CAPABILITY(SYS_ADMIN);
	EXPECT("capabilities", DOCTOR_MISSING);
	facts.capabilities = 0;
	EXPECT("capabilities", DOCTOR_MISSING);
}
END_TEST

START_TEST(kernels)
{
	facts.btf_error = ENOENT;
	EXPECT("kernel.btf", DOCTOR_MISSING);
	facts.features = (struct doctor_features){0};
	EXPECT("kernel.bpf_loop", DOCTOR_MISSING);
	EXPECT("kernel.ring_buffer", DOCTOR_MISSING);
	EXPECT("kernel.task_iterator", DOCTOR_MISSING);
	EXPECT("kernel.uprobe_multi", DOCTOR_DEGRADED);
	strcpy(facts.lockdown, "none [integrity] confidentiality");
	EXPECT("kernel.lockdown", DOCTOR_OK);
	strcpy(facts.lockdown, "none integrity [confidentiality]");
	EXPECT("kernel.lockdown", DOCTOR_MISSING);
	facts.lockdown[0] = '\0';
	EXPECT("kernel.lockdown", DOCTOR_OK);
	facts.tracefs = false;
	EXPECT("tracefs", DOCTOR_OK);
	facts.uprobe_events = false;
	EXPECT("tracefs", DOCTOR_DEGRADED);
	facts.tracefs = true;
	EXPECT("tracefs", DOCTOR_OK);
}
END_TEST

START_TEST(sysctls)
{
	facts.perf_event_paranoid = 3;
	EXPECT("kernel.perf_event_paranoid", DOCTOR_OK);
	facts.kptr_restrict = 1;
	EXPECT("kernel.kptr_restrict", DOCTOR_OK);
	facts.capabilities &= ~(CAPABILITY(SYS_ADMIN) | CAPABILITY(SYSLOG));
	EXPECT("kernel.perf_event_paranoid", DOCTOR_MISSING);
	EXPECT("kernel.kptr_restrict", DOCTOR_DEGRADED);
	facts.perf_event_paranoid = 2;
	EXPECT("kernel.perf_event_paranoid", DOCTOR_OK);
	facts.capabilities = ALL_CAPABILITIES;
	facts.kptr_restrict = 2;
	EXPECT("kernel.kptr_restrict", DOCTOR_DEGRADED);
	facts.bpf_stats = 0;
	EXPECT("kernel.bpf_stats", DOCTOR_DEGRADED);
	facts.max_sample_rate = config.frequency_max_hz;
	EXPECT("kernel.perf_event_max_sample_rate", DOCTOR_OK);
	facts.max_sample_rate--;
	EXPECT("kernel.perf_event_max_sample_rate", DOCTOR_DEGRADED);
	facts.max_sample_rate = config.frequency_hz - 1;
	EXPECT("kernel.perf_event_max_sample_rate", DOCTOR_DEGRADED);
	ck_assert_ptr_nonnull(
		strstr(examine("kernel.perf_event_max_sample_rate").found, "settings"));
}
END_TEST

START_TEST(folders)
{
	facts.history.room = GIB - 1;
	EXPECT("history.dir", DOCTOR_DEGRADED);
	facts.history.room = 1;
	EXPECT("history.dir", DOCTOR_MISSING);
	facts.history.wanted = 0;
	EXPECT("history.dir", DOCTOR_OK);
	facts.cache.owner = 1000;
	EXPECT("unwind.cache_dir", DOCTOR_MISSING);
	facts.cache.mode = 0777;
	EXPECT("unwind.cache_dir", DOCTOR_OK);
	facts.cache.mode = 0700;
	facts.capabilities |= CAPABILITY(DAC_OVERRIDE);
	EXPECT("unwind.cache_dir", DOCTOR_OK);
	facts.cache.read_only = true;
	EXPECT("unwind.cache_dir", DOCTOR_MISSING);
	MENDS("unwind.cache_dir", "remount,rw");
	facts.cache.is_folder = false;
	EXPECT("unwind.cache_dir", DOCTOR_MISSING);
	facts.cache.error = ENOTDIR;
	EXPECT("unwind.cache_dir", DOCTOR_MISSING);
	facts.cache.error = ENOENT;
	EXPECT("unwind.cache_dir", DOCTOR_MISSING);
	facts.daemon = DAEMON_NONE; /* it makes the folder when it starts */
	EXPECT("unwind.cache_dir", DOCTOR_DEGRADED);
}
END_TEST

START_TEST(debug_files)
{
	facts.debug_folder = false;
	EXPECT("debug_files", DOCTOR_DEGRADED);
	MENDS("debug_files", "libc6-dbg");
	strcpy(config.debuginfod_urls, "https://debuginfod.example");
	EXPECT("debug_files", DOCTOR_OK);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("doctor");
	TCase *tc = tcase_create("decisions");

	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_add_test(tc, all_is_well);
	tcase_add_test(tc, nothing_is_known);
	tcase_add_test(tc, the_daemon);
	tcase_add_test(tc, people);
	tcase_add_test(tc, capabilities);
	tcase_add_test(tc, kernels);
	tcase_add_test(tc, sysctls);
	tcase_add_test(tc, folders);
	tcase_add_test(tc, debug_files);
	suite_add_tcase(suite, tc);
	return suite_main(suite);
}
