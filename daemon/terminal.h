/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A full-screen program that cannot leave the terminal in disorder: it runs in a child, and
 * whoever called waits, and puts the terminal back (its modes, the screen before, the cursor)
 * if the child did not come to do so itself, whatever ended it.
 */
#pragma once

/* Runs `body` in a child, in the foreground, with SIGINT, SIGTERM, SIGHUP, SIGQUIT and SIGWINCH
 * blocked (for a signalfd), and gives its exit code, or 128 + the signal that ended it. A
 * SIGTERM, SIGHUP or SIGINT for the caller is the child's. -errno: there is no child. */
int terminal_run(int (*body)(void *context), void *context);
