/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The client's questions about a living process's memory: where a Java machine has its
 * code, where a C library has its functions.
 */
#include <errno.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "symbolizer/client_private.h"

void client_finish_jvm(struct symbolizer *s, const struct jvm_layout *layout)
{
	struct op *op = TAKE_PTR(s->current);

	s->stats.answers++;
	if (op->done.jvm)
		op->done.jvm(op->context, 0, "", layout);
	op_free(op);
}

void client_finish_libc(struct symbolizer *s, const struct libc_functions *functions)
{
	struct op *op = TAKE_PTR(s->current);

	s->stats.answers++;
	if (op->done.libc)
		op->done.libc(op->context, 0, "", functions);
	op_free(op);
}

static int ask_memory(struct symbolizer *s, const struct op *op, uint64_t code, uint64_t offset)
{
	uint64_t place[] = {code, offset};
	int r;

	if (op->fd < 0)
		return -EINVAL;
	r = client_submit(s, op, place);
	if (r < 0)
		close(op->fd);
	return r;
}

int symbolizer_jvm(struct symbolizer *s, int memory, uint64_t code, uint64_t offset,
		   symbolizer_jvm_fn *done, void *context)
{
	struct op op = {
		.kind = WIRE_JVM, .fd = memory, .count = 2, .done.jvm = done, .context = context};

	return ask_memory(s, &op, code, offset);
}

int symbolizer_libc(struct symbolizer *s, int memory, uint64_t code, uint64_t offset,
		    symbolizer_libc_fn *done, void *context)
{
	struct op op = {
		.kind = WIRE_LIBC, .fd = memory, .count = 2, .done.libc = done, .context = context};

	return ask_memory(s, &op, code, offset);
}
