/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the daemon and its openers say to each other: any bytes, and that what was
 * understood is understood again.
 */
#include <stdlib.h>
#include <string.h>

#include "symbolizer/opener_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void reply(const uint8_t *data, size_t size)
{
	struct opener_reply one, two;
	struct strbuf bytes = {0};

	if (opener_reply_decode(data, size, &one) < 0)
		return;
	opener_reply_encode(&one, &bytes);
	if (bytes.length > OPENER_REPLY_MAX ||
	    opener_reply_decode(bytes.data, bytes.length, &two) < 0 || one.id != two.id ||
	    one.error != two.error || strcmp(one.text, two.text) != 0 ||
	    memcmp(&one.file.identity, &two.file.identity, sizeof(one.file.identity)) != 0)
		abort();
	strbuf_deinit(&bytes);
}

static void request(const uint8_t *data, size_t size)
{
	static struct opener_request_in one, two;
	struct strbuf bytes = {0};

	if (opener_request_decode(data, size, &one) < 0)
		return;
	if (opener_request_encode(&one.request, one.id, &one.care, &bytes) < 0 ||
	    bytes.length > OPENER_REQUEST_MAX ||
	    opener_request_decode(bytes.data, bytes.length, &two) < 0 ||
	    strcmp(one.path, two.path) != 0 || strcmp(one.name, two.name) != 0 ||
	    one.request.pid != two.request.pid || one.care.avoid_count != two.care.avoid_count)
		abort();
	strbuf_deinit(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	reply(data, size);
	request(data, size);
	return 0;
}
