#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Run by build.py inside another release's tree: what the build needs is installed, all is
# built with every warning an error, by gcc and by clang, the unit suites run, and perfd
# records a program (where BPF may be used).
set -eu
cd "$(dirname "$0")/../.."
# Nothing here is to start a service or to ask.
export DEBIAN_FRONTEND=noninteractive
tests/install-deps.sh must
. /etc/os-release
version() { dpkg-query -W -f '${Version}' "$1" 2>/dev/null || echo '?'; }
echo "release: $PRETTY_NAME, gcc $(gcc -dumpversion), $(clang --version | head -n 1)," \
	"libdwarf $(version libdwarf-dev), libbpf $(version libbpf-dev)," \
	"libelf $(version libelf-dev), zydis $(version libzydis-dev)"
nice -n 10 make -j2 CFLAGS='-O2 -g -Werror' all
nice -n 10 make -j2 CFLAGS='-O2 -g -Werror' unit
nice -n 10 make -j2 CFLAGS='-O2 -g -Werror' ONLY=record_shares scenario
nice -n 10 make -j2 B=build/clang CC=clang CFLAGS='-O2 -g -Werror' all
