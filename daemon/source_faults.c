/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/source_faults.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "daemon/bpf_programs.h"

#include "cpu.skel.h"
#include "faults.skel.h"

int source_faults_load(struct source_faults *faults, const struct bpf_programs *programs,
		       const struct config *config, struct error *error)
{
	LIBBPF_OPTS(bpf_object_open_opts, options,
		    .btf_custom_path = config->btf[0] ? config->btf : NULL);
	int r;

	faults->skel = faults_bpf__open_opts(&options);
	if (!faults->skel)
		return error_set(error, -errno, "cannot open the program of page faults: %s",
				 strerror(errno));
	faults->skel->rodata->ring_count = programs->sampler->rodata->ring_count;
	faults->skel->rodata->ring_wake_bytes = programs->sampler->rodata->ring_wake_bytes;
	faults->skel->rodata->cpu_count = programs->sampler->rodata->cpu_count;
	r = bpf_programs_lend(programs->sampler->obj, faults->skel->obj);
	if (!r)
		r = faults_bpf__load(faults->skel);
	if (!r)
		return 0;
	source_faults_deinit(faults);
	return error_set(error, r, "the kernel refused the program of page faults: %s",
			 strerror(-r));
}

int source_faults_begin(struct source_faults *faults, struct error *error)
{
	const struct bpf_program *program = faults->skel->progs.page_fault;

	if (faults->user)
		return 0;
	faults->user = bpf_program__attach_raw_tracepoint(program, "page_fault_user");
	if (faults->user)
		faults->kernel = bpf_program__attach_raw_tracepoint(program, "page_fault_kernel");
	if (faults->kernel)
		return 0;
	error_set(error, -errno, "cannot look at page faults by their tracepoints: %s",
		  strerror(errno));
	source_faults_end(faults);
	return error->code;
}

void source_faults_end(struct source_faults *faults)
{
	bpf_link__destroy(faults->user);
	bpf_link__destroy(faults->kernel);
	faults->user = faults->kernel = NULL;
}

void source_faults_deinit(struct source_faults *faults)
{
	source_faults_end(faults);
	faults_bpf__destroy(faults->skel);
	*faults = (struct source_faults){0};
}

void source_faults_run_time(const struct source_faults *faults, uint64_t *ns, uint64_t *runs)
{
	struct bpf_prog_info info = {0};
	uint32_t size = sizeof(info);

	if (!faults->skel ||
	    bpf_obj_get_info_by_fd(bpf_program__fd(faults->skel->progs.page_fault), &info, &size))
		return;
	*ns += info.run_time_ns;
	*runs += info.run_cnt;
}
