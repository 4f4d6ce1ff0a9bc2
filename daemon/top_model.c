/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The intervals that are kept, and the processes seen in them.
 */
#include "daemon/top_model.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/clock.h"

/* Two births that are nearer are one: /proc tells them in hundredths, by another clock. */
#define BIRTH_SLACK_NS NSEC_PER_SEC

static void interval_deinit(struct top_interval *interval)
{
	if (interval->cpu)
		labels_deinit(&interval->labels);
	profile_destroy(interval->cpu);
	*interval = (struct top_interval){0};
}

void top_model_deinit(struct top_model *model)
{
	for (size_t i = 0; i < TOP_KEPT; i++)
		interval_deinit(&model->intervals[i]);
	vec_free(&model->processes);
	hashmap_deinit(&model->by_pid);
	vec_free(&model->losses);
	strtab_deinit(&model->names);
	*model = (struct top_model){0};
}

const struct top_interval *top_model_newest(const struct top_model *model)
{
	return model->count ? &model->intervals[(model->count - 1) % TOP_KEPT] : NULL;
}

uint64_t top_model_kept_ns(const struct top_model *model)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < TOP_KEPT; i++)
		sum += model->intervals[i].duration_ns;
	return sum;
}

static bool same_birth(uint64_t a, uint64_t b)
{
	return !a || !b || (a > b ? a - b : b - a) < BIRTH_SLACK_NS;
}

/* The process of that pid, made new if there is none, or another one. */
static struct top_process *find_process(struct top_model *model, uint32_t pid, uint64_t birth_ns)
{
	uint64_t *known = hashmap_get(&model->by_pid, pid);
	struct top_process fresh = {.pid = pid, .birth_ns = birth_ns};
	struct top_process *process;

	if (!known) {
		if (vec_push(&model->processes, fresh))
			return NULL;
		if (hashmap_put(&model->by_pid, pid, model->processes.count - 1)) {
			model->processes.count--;
			return NULL;
		}
		process = &model->processes.items[model->processes.count - 1];
	} else {
		process = &model->processes.items[*known];
		if (!same_birth(process->birth_ns, birth_ns))
			*process = fresh;
	}
	if (!process->birth_ns)
		process->birth_ns = birth_ns;
	process->seen = model->count;
	return process;
}

static void name_process(struct top_process *process, const char *comm)
{
	if (*comm)
		snprintf(process->comm, sizeof(process->comm), "%s", comm);
}

/* Adds up one profile's samples by process. */
static int add_samples(struct top_model *model, const struct profile *profile, bool faults)
{
	uint32_t value = profile->default_value, width = profile->value_type_count;
	size_t slot = model->count % TOP_KEPT;

	for (size_t i = 0; i < profile->samples.count; i++) {
		const struct profile_sample *sample = &profile->samples.items[i];
		const uint64_t *values = &profile->values.items[i * width];
		const struct profile_process *from;
		struct top_process *process;

		if (sample->process >= profile->processes.count)
			continue;
		from = &profile->processes.items[sample->process];
		process = find_process(model, from->pid, from->birth_ns);
		if (!process)
			return -ENOMEM;
		name_process(process, profile_text(profile, from->comm));
		if (faults) {
			process->faults[slot] += values[value];
			continue;
		}
		process->cpu_ns[slot] += values[value];
		process->samples += values[0];
	}
	return 0;
}

static int add_facts(struct top_model *model, const struct top_facts *facts)
{
	model->rss_known = facts->known;
	for (size_t i = 0; i < facts->count; i++) {
		const struct top_fact *fact = &facts->items[i];
		struct top_process *process = find_process(model, fact->pid, fact->birth_ns);

		if (!process)
			return -ENOMEM;
		process->rss_bytes = fact->rss_bytes;
		process->rss_known = true;
		name_process(process, fact->comm);
	}
	return 0;
}

/* Who has not been seen in any interval that is kept goes. */
static void forget_processes(struct top_model *model)
{
	size_t kept = 0;

	hashmap_clear(&model->by_pid);
	for (size_t i = 0; i < model->processes.count; i++) {
		struct top_process process = model->processes.items[i];

		if (process.seen + TOP_KEPT <= model->count)
			continue;
		process.cpu_ns[model->count % TOP_KEPT] = 0;
		process.faults[model->count % TOP_KEPT] = 0;
		process.samples = 0;
		if (!hashmap_put(&model->by_pid, process.pid, kept))
			model->processes.items[kept++] = process;
	}
	model->processes.count = kept;
}

/* Counts of a profile are the whole session's: what is new of them is the interval's. */
static int add_losses(struct top_model *model, const struct profile *profile)
{
	for (size_t i = 0; i < model->losses.count; i++)
		model->losses.items[i].newest = 0;
	for (size_t i = 0; i < profile->counts.count; i++) {
		const struct profile_count *count = &profile->counts.items[i];
		const char *key = profile_text(profile, count->key);
		const char *text = profile_text(profile, count->text);
		uint32_t id = strtab_add(&model->names, key, strlen(key));
		struct top_loss *loss = NULL;

		if (!count->is_loss)
			continue;
		for (size_t j = 0; j < model->losses.count; j++)
			if (model->losses.items[j].key == id)
				loss = &model->losses.items[j];
		if (!loss) {
			struct top_loss fresh = {
				.key = id, .text = strtab_add(&model->names, text, strlen(text))};

			if (fresh.text == UINT32_MAX || vec_push(&model->losses, fresh))
				return -ENOMEM;
			loss = &model->losses.items[model->losses.count - 1];
		}
		loss->newest = count->count > loss->all ? count->count - loss->all : 0;
		loss->all = count->count;
	}
	return 0;
}

int top_model_add(struct top_model *model, struct profile *cpu, struct profile *faults,
		  uint64_t duration_ns, const struct top_facts *facts)
{
	struct top_interval interval = {.cpu = cpu, .duration_ns = duration_ns};
	int r = duration_ns ? labels_init(&interval.labels, cpu, LABELS_FUNCTION) : -EINVAL;

	if (r) {
		profile_destroy(cpu);
		profile_destroy(faults);
		return r;
	}
	interval.cpu_ns = profile_total(cpu, cpu->default_value);
	interval.samples = profile_total(cpu, 0);
	forget_processes(model);
	/* What there is no memory for is only missing in this interval's rows. */
	r = add_facts(model, facts);
	if (!r)
		r = add_samples(model, cpu, false);
	if (!r && faults)
		r = add_samples(model, faults, true);
	if (!r)
		r = add_losses(model, cpu);
	profile_destroy(faults);
	if (r) {
		interval_deinit(&interval);
		return r;
	}
	interval_deinit(&model->intervals[model->count % TOP_KEPT]);
	model->intervals[model->count % TOP_KEPT] = interval;
	model->count++;
	return 0;
}
