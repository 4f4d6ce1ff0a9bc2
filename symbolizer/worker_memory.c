/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/worker_memory.h"

#include <errno.h>

#include "symbolizer/hotspot.h"
#include "symbolizer/libc_functions.h"

static int take_place(struct reader *request, int memory, struct error *error, uint64_t *ret_code,
		      uint64_t *ret_offset)
{
	*ret_code = reader_u64(request);
	*ret_offset = reader_u64(request);
	if (!reader_ok(request) || reader_left(request) || memory < 0)
		return error_set(error, -EPROTO, "a request of the wrong form");
	return 0;
}

int worker_jvm(struct reader *request, int memory, struct strbuf *answer, struct error *error)
{
	uint64_t code, offset;
	struct jvm_layout layout;
	int r = take_place(request, memory, error, &code, &offset);

	if (!r)
		r = hotspot_read(memory, code, offset, error, &layout);
	if (!r)
		hotspot_encode(&layout, answer);
	return r;
}

int worker_libc(struct reader *request, int memory, struct strbuf *answer, struct error *error)
{
	uint64_t code, offset;
	struct libc_functions functions;
	int r = take_place(request, memory, error, &code, &offset);

	if (!r)
		r = libc_functions_read(memory, code, offset, error, &functions);
	if (!r)
		libc_functions_encode(&functions, answer);
	return r;
}
