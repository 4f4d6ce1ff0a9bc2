#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# tidy.sh FOLDER… -- FLAGS…: clang-tidy over every C file, warnings as errors. The
# kernel side is compiled for another machine and is not in it.
set -u
tool=
for name in clang-tidy-14 clang-tidy clang-tidy-19 clang-tidy-16 clang-tidy-15; do
	command -v "$name" >/dev/null 2>&1 && tool=$name && break
done
if [ -z "$tool" ]; then
	echo "skip tidy: needs clang-tidy (Debian: apt-get install clang-tidy)"
	exit 0
fi
folders=
while [ "$1" != -- ]; do
	folders="$folders $1"
	shift
done
shift
# clang-tidy counts what it does not show; only what it shows is of use.
find $folders -name '*.c' ! -name '*.bpf.c' -print0 |
	xargs -0 -n 2 -P "$(nproc)" sh -c '
		tool=$1 flags=$2
		shift 2
		out=$("$tool" --quiet --warnings-as-errors="*" "$@" -- $flags 2>&1) && exit 0
		echo "$out" | grep -Ev "^[0-9]+ warnings? (generated|treated)|^Suppressed|^Use -header"
		exit 1
	' tidy "$tool" "$*"
