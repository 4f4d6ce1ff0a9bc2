#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# libfuzzer.sh CLANG: can this clang link a fuzzer? Says what is missing if not.
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
if echo 'int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n) { return d && n > 9; }' |
	"$1" -x c -fsanitize=fuzzer,address - -o "$out" 2>/dev/null; then
	exit 0
fi
version=$("$1" -dumpversion 2>/dev/null | cut -d. -f1)
echo "skip fuzz: $1 has no fuzzer runtime (Debian: apt-get install libclang-rt-${version:-14}-dev)"
exit 77
