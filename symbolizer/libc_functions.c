/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/libc_functions.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/reader.h"
#include "symbolizer/process_library.h"

#define ADDRESS_END (1ULL << 47)
#define FUNCTION_SIZE_MAX (1ULL << 20)
#define FUNCTION_SIZE_UNKNOWN 64 /* where a hand-written one does not say its size */

static const char *const names[] = {
#define X(name) [LIBC_##name] = #name,
	LIBC_FUNCTIONS(X, X)
#undef X
};

int libc_functions_read(int memory, uint64_t code, uint64_t offset, struct error *error,
			struct libc_functions *ret)
{
	_cleanup_free_ struct process_memory *pages = process_memory_create(memory);
	struct libc_functions functions = {0};
	struct process_library library;
	int r;

	if (!pages)
		return error_set(error, -ENOMEM, "out of memory");
	r = process_library_find(pages, code, offset, &library);
	if (r)
		return error_set(error, r,
				 r == -EIO ? "the process's memory cannot be read at 0x%" PRIx64
					   : "there is no 64-bit library at 0x%" PRIx64,
				 code);
	for (size_t i = 0; i < LIBC_FUNCTION_COUNT; i++) {
		uint64_t address, size;

		if (process_library_function(pages, &library, names[i], &address, &size) ||
		    address >= ADDRESS_END)
			continue;
		if (!size)
			size = FUNCTION_SIZE_UNKNOWN;
		functions.at[i].address = address;
		functions.at[i].size = size < FUNCTION_SIZE_MAX ? size : FUNCTION_SIZE_MAX;
	}
	*ret = functions;
	return 0;
}

void libc_functions_encode(const struct libc_functions *functions, struct strbuf *answer)
{
	for (size_t i = 0; i < LIBC_FUNCTION_COUNT; i++) {
		strbuf_u64(answer, functions->at[i].address);
		strbuf_u64(answer, functions->at[i].size);
	}
}

int libc_functions_decode(const void *payload, size_t size, struct error *error,
			  struct libc_functions *ret)
{
	struct libc_functions functions;
	struct reader reader;

	reader_init(&reader, payload, size);
	for (size_t i = 0; i < LIBC_FUNCTION_COUNT; i++) {
		functions.at[i].address = reader_u64(&reader);
		functions.at[i].size = reader_u64(&reader);
		if (functions.at[i].address >= ADDRESS_END ||
		    functions.at[i].size > FUNCTION_SIZE_MAX)
			reader_fail(&reader, "an address");
	}
	if (!reader_ok(&reader) || reader_left(&reader))
		return error_set(error, -EBADMSG, "the addresses of a C library's functions: %s",
				 reader_ok(&reader) ? "too many bytes" : reader.bad);
	*ret = functions;
	return 0;
}
