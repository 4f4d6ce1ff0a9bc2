/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Tells the service manager how the daemon is, by the protocol of
 * sd_notify(3): one datagram to $NOTIFY_SOCKET, within a second. Nothing happens without it.
 */
#pragma once

/* `state`: "READY=1", "WATCHDOG=1", "STOPPING=1". 0 also when nobody wants to know. */
int notify_manager(const char *state);
