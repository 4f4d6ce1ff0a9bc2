/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * exits_at_once [CODE] [SIGNAL]: ends with CODE, or by SIGNAL if that is given.
 */
#include "tests/programs/burn.h"

#include <signal.h>

int main(int argc, char **argv)
{
	int number_of_signal = (int)number(argc, argv, 2, 0);

	if (number_of_signal)
		raise(number_of_signal);
	return (int)number(argc, argv, 1, 0);
}
