/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/debug_fetch.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/base/log.h"

#define WHOLE_FILE UINT32_MAX

struct debug_fetch_ask {
	struct debug_fetch *fetch;
	struct debug_fetch_ask *next, **link;
	uint32_t image;
	uint32_t part; /* its number; WHOLE_FILE: the debug file */
};

void debug_fetch_init(struct debug_fetch *fetch, const struct config *config, const char *program)
{
	static const char *const argv[] = {"perfd", "--fetcher", NULL};
	const struct debuginfod_config how = {.urls = config->debuginfod_urls,
					      .folder = config->debuginfod_cache_dir,
					      .cache_bytes = config->debuginfod_cache_bytes,
					      .timeout_ns = config->debuginfod_timeout_ns,
					      .program = program,
					      .argv = argv};
	struct error error = {0};

	if (config->debuginfod_urls[0] && debuginfod_create(&how, &error, &fetch->servers) < 0)
		log_warning("debuginfod is not asked: %s", error.text);
}

static void forget(struct debug_fetch_ask *ask)
{
	*ask->link = ask->next;
	if (ask->next)
		ask->next->link = ask->link;
	free(ask);
}

void debug_fetch_deinit(struct debug_fetch *fetch)
{
	debuginfod_destroy(fetch->servers);
	fetch->servers = NULL;
	while (fetch->asks)
		forget(fetch->asks);
}

int debug_fetch_fd(const struct debug_fetch *fetch)
{
	return fetch->servers ? debuginfod_fd(fetch->servers) : -1;
}

void debug_fetch_dispatch(struct debug_fetch *fetch)
{
	debuginfod_dispatch(fetch->servers);
}

bool debug_fetch_awaited(const struct image *image)
{
	return image->debug_awaited && clock_boot_ns() < image->debug_awaited;
}

static void on_file(void *context, int error, const char *text, int fd)
{
	struct debug_fetch_ask *ask = context;
	struct debug_fetch *fetch = ask->fetch;
	struct image *image = image_table_get(fetch->images, ask->image);
	bool late = image && !debug_fetch_awaited(image);

	if (image && error)
		log_debug("%s: debuginfod: %s", image->path, text);
	if (ask->part != WHOLE_FILE) {
		symbolizer_add_part(fetch->symbolizer, ask->image, ask->part, error ? -1 : fd);
	} else if (image) {
		image->debug_awaited = 0;
		image->debug_fetched =
			!error && !symbolizer_add_debug(fetch->symbolizer, image->id, fd);
		if (image->debug_fetched && late)
			stack_table_ask_image_again(fetch->stacks, image->id);
	} else if (!error) {
		close(fd);
	}
	forget(ask);
}

static bool ask_for(struct debug_fetch *fetch, uint32_t image, uint32_t part,
		    const uint8_t *build_id, size_t size)
{
	struct debug_fetch_ask *ask = calloc(1, sizeof(*ask));

	if (!ask)
		return false;
	*ask = (struct debug_fetch_ask){fetch, fetch->asks, &fetch->asks, image, part};
	if (ask->next)
		ask->next->link = &ask->next;
	fetch->asks = ask;
	if (!debuginfod_ask(fetch->servers, build_id, size, on_file, ask))
		return true;
	forget(ask);
	return false;
}

void debug_fetch_image(struct debug_fetch *fetch, struct image *image)
{
	if (fetch->servers && image->build_id_size && !image->debug_fetched &&
	    ask_for(fetch, image->id, WHOLE_FILE, image->build_id, image->build_id_size))
		image->debug_awaited = clock_boot_ns() + DEBUG_FETCH_PATIENCE_NS;
}

bool debug_fetch_part(struct debug_fetch *fetch, uint32_t image, const struct symbolizer_part *part)
{
	return fetch->servers && part->build_id_size &&
	       ask_for(fetch, image, part->number, part->build_id, part->build_id_size);
}

void debug_fetch_refused(struct debug_fetch *fetch, const struct image *image)
{
	if (fetch->servers && image->debug_fetched)
		debuginfod_wrong(fetch->servers, image->build_id, image->build_id_size);
}

void debug_fetch_mark(const struct debug_fetch *fetch, bool *used, size_t count)
{
	for (const struct debug_fetch_ask *ask = fetch->asks; ask; ask = ask->next)
		if (ask->image && ask->image <= count)
			used[ask->image - 1] = true;
}
