/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any bytes as a config file: refused with "file:line: …" and nothing changed,
 * or taken with every value within its bounds.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config config;
	struct error error = {0};
	struct strbuf text = {0};

	config_init(&config);
	if (config_parse(&config, "f", (const char *)data, size, &error)) {
		if (strncmp(error.text, "f:", 2) || config.frequency_hz != 99 ||
		    strcmp(config.socket, "/run/perfd/perfd.sock") != 0)
			abort();
		return 0;
	}
	if (config_check(&config, NULL) || config.socket[0] != '/' ||
	    config.frequency_hz > config.frequency_max_hz || config.sessions_max > 31 ||
	    (config.ring_bytes & (config.ring_bytes - 1)))
		abort();
	config_explain(&config, &text);
	strbuf_deinit(&text);
	return 0;
}
