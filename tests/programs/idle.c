/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * idle: does nothing until a signal ends it.
 */
#include <unistd.h>

int main(void)
{
	for (;;)
		pause();
}
