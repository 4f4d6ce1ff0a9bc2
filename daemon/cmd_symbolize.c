/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * perfctl symbolize: names of addresses of a file or a process, from the command
 * line or standard input, as text or JSON.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/strbuf.h"
#include "daemon/command.h"
#include "daemon/symbolize.h"

#define SCHEMA "perfd.symbolize/1"

struct job {
	struct symbolize symbolize;
	bool json;
	bool any; /* something was written already */
	uint64_t addresses[SYMBOLIZE_BATCH];
	char *texts[SYMBOLIZE_BATCH]; /* what is to be written of each */
	size_t count;
};

static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Never a bare number: the file and the place in it. "[vdso]" has its brackets already. */
static void put_nameless(struct strbuf *out, const struct symbolize_place *place)
{
	const char *name = file_name(place->path);
	bool bracketed = name[0] == '[' && name[strlen(name) - 1] == ']';

	if (name[0])
		strbuf_printf(out, "[%.*s+0x%" PRIx64 "]", (int)strlen(name) - 2 * bracketed,
			      name + bracketed, place->offset);
	else
		strbuf_puts(out, "[unknown]");
}

/* Without printf: there may be millions. */
static void put_frame(struct strbuf *out, const struct symbolizer_frame *frame)
{
	strbuf_putc(out, '\t');
	strbuf_puts(out, frame->name);
	if (frame->inlined)
		strbuf_puts(out, " (inlined)");
	if (frame->file[0]) {
		strbuf_puts(out, " at ");
		strbuf_puts(out, frame->file);
		strbuf_putc(out, ':');
		strbuf_put_u64(out, frame->line);
	}
	strbuf_putc(out, '\n');
}

static char *as_text(uint64_t address, const struct symbolize_place *place,
		     const struct symbolizer_name *name, const char *why)
{
	struct strbuf out = {0};

	strbuf_printf(&out, "0x%" PRIx64 "\n", address);
	for (uint32_t i = 0; name && i < name->frame_count; i++)
		put_frame(&out, &name->frames[i]);
	if (!name || !name->frame_count) {
		strbuf_putc(&out, '\t');
		put_nameless(&out, place);
		if (*why)
			strbuf_printf(&out, " (%s)", why);
		strbuf_putc(&out, '\n');
	}
	return out.data; /* NULL: out of memory, seen when it is written */
}

static json_t *json_frame(const struct symbolizer_frame *frame)
{
	json_t *object = json_object();

	json_object_set_new(object, "name", json_string_nocheck(frame->name));
	if (frame->module[0])
		json_object_set_new(object, "module", json_string_nocheck(frame->module));
	if (frame->file[0]) {
		json_object_set_new(object, "file", json_string_nocheck(frame->file));
		json_object_set_new(object, "line", json_integer(frame->line));
	}
	json_object_set_new(object, "inlined", json_boolean(frame->inlined));
	return object;
}

static char *as_json(uint64_t address, const struct symbolize_place *place,
		     const struct symbolizer_name *name, const char *why)
{
	json_t *object = json_object(), *frames = json_array();
	struct strbuf nameless = {0};
	char number[32];
	char *text;

	snprintf(number, sizeof(number), "0x%" PRIx64, address);
	json_object_set_new(object, "address", json_string(number));
	if (place->path[0])
		json_object_set_new(object, "module", json_string_nocheck(place->path));
	for (uint32_t i = 0; name && i < name->frame_count; i++)
		json_array_append_new(frames, json_frame(&name->frames[i]));
	if (!name || !name->frame_count) {
		put_nameless(&nameless, place);
		json_object_set_new(object, "nameless",
				    json_string_nocheck(strbuf_text(&nameless)));
		if (*why)
			json_object_set_new(object, "reason", json_string_nocheck(why));
	}
	json_object_set_new(object, "frames", frames);
	text = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	strbuf_deinit(&nameless);
	return text;
}

static void on_found(void *context, size_t index, const struct symbolize_place *place,
		     const struct symbolizer_name *name, const char *why)
{
	struct job *job = context;

	job->texts[index] =
		(job->json ? as_json : as_text)(job->addresses[index], place, name, why);
}

/* Answers what was collected. */
static int flush(struct job *job, struct error *error)
{
	int r = symbolize_ask(&job->symbolize, job->addresses, job->count, on_found, job, error);

	for (size_t i = 0; i < job->count; i++) {
		char *text = TAKE_PTR(job->texts[i]);

		if (!r && !text)
			r = error_set(error, -ENOMEM, "out of memory for names");
		if (!r && job->json)
			fputs(job->any ? ",\n  " : "\n  ", stdout);
		if (!r)
			fputs(text, stdout);
		job->any = true;
		free(text);
	}
	job->count = 0;
	if (!r && ferror(stdout))
		r = error_set(error, -EPIPE, "standard output cannot be written");
	return r;
}

static bool parse_address(const char *text, uint64_t *ret)
{
	char *end;

	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		text += 2;
	if (!strchr("0123456789abcdefABCDEF", *text) || !*text)
		return false;
	errno = 0;
	*ret = strtoull(text, &end, 16);
	return !errno && !*end;
}

static int add(struct job *job, uint64_t address, struct error *error)
{
	job->addresses[job->count++] = address;
	return job->count == SYMBOLIZE_BATCH ? flush(job, error) : 0;
}

static int from_input(struct job *job, struct error *error)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0, number = 0;
	uint64_t address;
	int r = 0;

	while (!r && getline(&line, &size, stdin) > 0) {
		char *text = line + strspn(line, " \t\r\n");

		number++;
		text[strcspn(text, " \t\r\n")] = '\0';
		if (!*text)
			continue;
		if (!parse_address(text, &address))
			return error_set(error, -EINVAL,
					 "standard input, line %zu: \"%.40s\" is no hexadecimal "
					 "address",
					 number, text);
		r = add(job, address, error);
	}
	return r ? r : flush(job, error);
}

/* {"file": ..., "why": ...} of each file with something damaged in it. */
static void put_damage(const struct job *job)
{
	for (size_t i = 0; i < job->symbolize.damage.count; i++) {
		const struct symbolize_damage *damage = &job->symbolize.damage.items[i];
		json_t *object = json_object();
		char *text;

		json_object_set_new(object, "file", json_string_nocheck(damage->path));
		json_object_set_new(object, "why", json_string_nocheck(damage->why));
		text = json_dumps(object, JSON_COMPACT);
		printf("%s%s", i ? ", " : "", text ? text : "{}");
		free(text);
		json_decref(object);
	}
}

static int run(struct job *job, char **addresses, struct error *error)
{
	uint64_t address;
	int r = 0;

	if (job->json)
		fputs("{\"schema\": \"" SCHEMA "\", \"addresses\": [", stdout);
	if (!*addresses)
		r = from_input(job, error);
	for (; *addresses && !r; addresses++) {
		if (parse_address(*addresses, &address))
			r = add(job, address, error);
	}
	if (!r)
		r = flush(job, error);
	if (job->json) {
		printf("%s], \"damaged\": [", job->any ? "\n" : "");
		put_damage(job);
		puts("]}");
	}
	return r;
}

static uint32_t flags_of(const struct options *options)
{
	uint32_t flags = option_given(options, OPTION_OFFSETS) ? 0 : SYMBOLIZER_ELF_ADDRESSES;

	if (option_given(options, OPTION_NO_INLINES))
		flags |= SYMBOLIZER_NO_INLINES;
	if (option_given(options, OPTION_DEBUGINFOD))
		flags |= SYMBOLIZE_DEBUGINFOD;
	if (option_given(options, OPTION_SHORT))
		flags |= SYMBOLIZER_DEMANGLE_SHORT;
	else if (!option_given(options, OPTION_NO_DEMANGLE))
		flags |= SYMBOLIZER_DEMANGLE_FULL;
	return flags;
}

int cmd_symbolize(const struct options *options)
{
	_cleanup_free_ struct job *job = calloc(1, sizeof(*job));
	struct error error = {0};
	struct config config;
	char **addresses = options->rest + (options->pid ? 0 : 1);
	uint64_t address;
	int r;

	if (!options->pid && !options->rest_count)
		return command_usage("say of what: a FILE, or --pid PID");
	if (options->pid && option_given(options, OPTION_OFFSETS))
		return command_usage("--offsets is for files: a process has addresses");
	for (char **text = addresses; *text; text++) {
		if (!parse_address(*text, &address))
			return command_usage("\"%s\" is no hexadecimal address", *text);
	}
	if (!job)
		error_set(&error, -ENOMEM, "out of memory");
	r = job ? command_config(options, &config, &error) : -ENOMEM;
	if (!r && options->pid)
		r = symbolize_init_process(&job->symbolize, options->pid, &config,
					   flags_of(options), &error);
	else if (!r)
		r = symbolize_init_file(&job->symbolize, options->rest[0], &config,
					flags_of(options), &error);
	if (!r) {
		job->json = option_given(options, OPTION_JSON);
		r = run(job, addresses, &error);
		symbolize_deinit(&job->symbolize);
	}
	return r < 0 ? command_fail(EXIT_CODE_FAILURE, &error) : EXIT_CODE_OK;
}
