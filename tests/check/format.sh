#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# format.sh FOLDER…: every C file as .clang-format has it. Versions of clang-format
# differ in what they make of one file, so one version is the measure.
set -u
version=14
for tool in clang-format-$version clang-format; do
	case $($tool --version 2>/dev/null) in
	*" version $version."*) found=$tool && break ;;
	esac
done
if [ -z "${found:-}" ]; then
	echo "skip format: needs clang-format $version (Debian 12: clang-format-$version)"
	exit 0
fi
find "$@" -name '*.[ch]' -print0 | xargs -0 "$found" --dry-run --Werror
