/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Places that perfd and perfctl must agree on.
 */
#pragma once

#define CONFIG_DEFAULT_PATH "/etc/perfd/perfd.conf" /* read if it is there */
