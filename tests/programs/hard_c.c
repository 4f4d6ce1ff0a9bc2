/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/programs/hard.h"

int main(int argc, char **argv)
{
	static const struct hard_case *const tables[] = {hard_frames, hard_flow, hard_process,
							 NULL};
	int code = hard_main(argc, argv, tables);

	AFTER_CALL();
	return code;
}
