/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/bpf_programs.h"

#include <errno.h>
#include <linux/btf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/log.h"
#include "daemon/source.h"

#include "cpu.skel.h"
#include "process.skel.h"

/* Its warnings hold the verifier's words, which explain a refusal. */
static int print_libbpf(enum libbpf_print_level level, const char *format, va_list args)
{
	_cleanup_free_ char *text = NULL;
	char *rest = NULL;

	if (level == LIBBPF_DEBUG || log_max_level() < LOG_LEVEL_DEBUG)
		return 0;
	if (vasprintf(&text, format, args) < 0) {
		text = NULL;
		return 0;
	}
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		log_debug("%s", line);
	return 0;
}

void bpf_programs_log(void)
{
	libbpf_set_print(print_libbpf);
}

/* Lockdown in its strict form forbids to read kernel memory: nothing works then. */
static bool kernel_is_confidential(void)
{
	_cleanup_fclose_ FILE *file = fopen("/sys/kernel/security/lockdown", "re");
	char line[128] = "";

	return file && fgets(line, sizeof(line), file) && strstr(line, "[confidentiality]");
}

static int load_error(const struct config *config, int code, const char *what, struct error *error)
{
	char words[128];

	if (kernel_is_confidential())
		return error_set(
			error, code,
			"the kernel refused the %s program: lockdown=confidentiality forbids "
			"to read kernel memory, which perfd needs; lockdown=integrity does not",
			what);
	/* The verifier's own refusals are EACCES too: root has the permission. */
	if (code == -EPERM || (code == -EACCES && geteuid()))
		return error_set(error, code,
				 "no permission to load the %s program: perfd needs CAP_BPF and "
				 "CAP_PERFMON; run it as root, or give it these capabilities",
				 what);
	if (config->btf[0]) {
		libbpf_strerror(code, words, sizeof(words));
		return error_set(error, code,
				 "the %s program cannot be loaded: %s; is %s the BTF of the kernel "
				 "that runs? (log level debug shows more)",
				 what, words, config->btf);
	}
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return error_set(
			error, code,
			"the kernel refused the %s program: %s; it shows no BTF "
			"(/sys/kernel/btf/vmlinux is missing: CONFIG_DEBUG_INFO_BTF): give "
			"its file by --btf FILE (daemon.btf)",
			what, strerror(-code));
	return error_set(error, code,
			 "the kernel refused the %s program: %s (Linux 5.17 or later is needed; "
			 "log level debug shows the verifier's words)",
			 what, strerror(-code));
}

static int load_sampler(struct bpf_programs *programs, const struct config *config,
			uint32_t ring_count, struct error *error)
{
	LIBBPF_OPTS(bpf_object_open_opts, options,
		    .btf_custom_path = config->btf[0] ? config->btf : NULL);
	struct cpu_bpf *sampler = cpu_bpf__open_opts(&options);
	int r = 0;

	if (!sampler)
		return load_error(config, -errno, "sampling", error);
	programs->sampler = sampler;
	sampler->rodata->ring_count = ring_count;
	sampler->rodata->ring_wake_bytes = config->ring_bytes / 4;
	sampler->rodata->cpu_count = (uint32_t)libbpf_num_possible_cpus();
	const struct {
		struct bpf_map *map;
		uint32_t entries;
	} sizes[] = {
		{sampler->maps.rings, ring_count},
		{sampler->maps.stacks_sent, config->stacks_max},
		{sampler->maps.targets, config->processes_max},
		{sampler->maps.unwind_processes, config->processes_max},
		{sampler->maps.unwind_nodes, config->processes_max},
		{sampler->maps.unwind_files, SOURCE_IMAGES_MAX + 1},
		{sampler->maps.raw_spaces, (uint32_t)libbpf_num_possible_cpus() * ABI_RAW_CONTEXTS},
	};
	for (size_t i = 0; !r && i < sizeof(sizes) / sizeof(sizes[0]); i++)
		r = bpf_map__set_max_entries(sizes[i].map, sizes[i].entries);
	if (!r)
		r = cpu_bpf__load(sampler);
	return r ? load_error(config, r, "sampling", error) : 0;
}

/*
 * libbpf wants the running kernel's BTF for the task iterator, which names what it
 * attaches to, and takes it from the kernel alone. With a file in its place the
 * number is looked up here, and libbpf is told of a program of another kind until
 * the moment it is loaded.
 */
static int prepare_iterator(struct bpf_program *program, struct bpf_prog_load_opts *options,
			    long file)
{
	struct btf *btf = btf__parse((const char *)file, NULL);
	int id;

	if (!btf)
		return -errno;
	id = btf__find_by_name_kind(btf, "bpf_iter_task", BTF_KIND_FUNC);
	btf__free(btf);
	if (id < 0)
		return id;
	options->attach_btf_id = (uint32_t)id;
	options->expected_attach_type = BPF_TRACE_ITER;
	return bpf_program__set_type(program, BPF_PROG_TYPE_TRACING);
}

/* The number of the handler, 0 where the kernel shows its BTF. */
static int handle_iterator(const struct config *config)
{
	LIBBPF_OPTS(libbpf_prog_handler_opts, options, .cookie = (long)config->btf,
		    .prog_prepare_load_fn = prepare_iterator);

	if (!config->btf[0])
		return 0;
	return libbpf_register_prog_handler("iter/task", BPF_PROG_TYPE_RAW_TRACEPOINT, 0, &options);
}

static int iterator_link(const struct bpf_program *program, const struct bpf_link *link,
			 int handler)
{
	if (handler) /* libbpf does not know how */
		return bpf_link_create(bpf_program__fd(program), 0, BPF_TRACE_ITER, NULL);
	return dup(bpf_link__fd(link));
}

int bpf_programs_lend(const struct bpf_object *owner, struct bpf_object *borrower)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, borrower)
	{
		struct bpf_map *lent = bpf_object__find_map_by_name(owner, bpf_map__name(map));
		int r;

		/* One that another has lent already, stays. */
		if (!lent || bpf_map__is_internal(map) || bpf_map__fd(map) >= 0)
			continue;
		r = bpf_map__reuse_fd(map, bpf_map__fd(lent));
		if (r)
			return r;
	}
	return 0;
}

/* The process programs use the sampler's maps: one of each name. */
static int load_process(struct bpf_programs *programs, const struct config *config,
			struct error *error)
{
	LIBBPF_OPTS(bpf_object_open_opts, options,
		    .btf_custom_path = config->btf[0] ? config->btf : NULL);
	int handler = handle_iterator(config);
	struct process_bpf *process = handler < 0 ? NULL : process_bpf__open_opts(&options);
	int r;

	if (!process)
		return load_error(config, -errno, "process", error);
	programs->process = process;
	process->rodata->ring_count = programs->sampler->rodata->ring_count;
	process->rodata->ring_wake_bytes = programs->sampler->rodata->ring_wake_bytes;
	process->rodata->cpu_count = (uint32_t)libbpf_num_possible_cpus();
	r = bpf_programs_lend(programs->sampler->obj, process->obj);
	if (!r)
		r = process_bpf__load(process);
	if (!r)
		r = process_bpf__attach(process);
	if (!r)
		programs->tasks_link = iterator_link(process->progs.process_tasks,
						     process->links.process_tasks, handler);
	if (!r)
		programs->memory_link = iterator_link(process->progs.process_memory,
						      process->links.process_memory, handler);
	if (!r && (programs->tasks_link < 0 || programs->memory_link < 0))
		r = -errno;
	if (handler)
		libbpf_unregister_prog_handler(handler);
	return r ? load_error(config, r, "process", error) : 0;
}

int bpf_programs_load(struct bpf_programs *programs, const struct config *config,
		      uint32_t ring_count, struct error *error)
{
	int r = load_sampler(programs, config, ring_count, error);

	if (!r)
		r = load_process(programs, config, error);
	if (r)
		bpf_programs_destroy(programs);
	return r;
}

void bpf_programs_destroy(struct bpf_programs *programs)
{
	if (programs->tasks_link > 0)
		close(programs->tasks_link);
	if (programs->memory_link > 0)
		close(programs->memory_link);
	process_bpf__destroy(programs->process);
	cpu_bpf__destroy(programs->sampler);
	*programs = (struct bpf_programs){0};
}

struct unwind_map_fds bpf_programs_unwind_fds(const struct bpf_programs *programs)
{
	const struct cpu_bpf *sampler = programs->sampler;

	return (struct unwind_map_fds){
		.chunks = bpf_map__fd(sampler->maps.unwind_chunks),
		.rules = bpf_map__fd(sampler->maps.unwind_rules),
		.files = bpf_map__fd(sampler->maps.unwind_files),
		.processes = bpf_map__fd(sampler->maps.unwind_processes),
		.nodes = bpf_map__fd(sampler->maps.unwind_nodes),
		.generation = bpf_map__fd(sampler->maps.unwind_generation),
		.leaves = bpf_map__fd(sampler->maps.unwind_leaves),
		.inodes = bpf_map__fd(sampler->maps.unwind_inodes),
		.jvms = bpf_map__fd(sampler->maps.jvm_layouts),
		.views = bpf_map__fd(sampler->maps.unwind_views),
	};
}

void bpf_programs_run_time(const struct bpf_programs *programs, uint64_t *ret_ns,
			   uint64_t *ret_runs)
{
	const struct bpf_program *all[] = {
		programs->sampler->progs.cpu_sample, programs->process->progs.process_fork,
		programs->process->progs.process_exec, programs->process->progs.process_exit,
		programs->process->progs.process_memory};

	*ret_ns = *ret_runs = 0;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct bpf_prog_info info = {0};
		uint32_t size = sizeof(info);

		if (bpf_obj_get_info_by_fd(bpf_program__fd(all[i]), &info, &size))
			continue;
		*ret_ns += info.run_time_ns;
		*ret_runs += info.run_cnt;
	}
}
