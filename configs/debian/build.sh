#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# build.sh VERSION OUT: the Debian package of the tree this is in, as OUT/perfd_VERSION_ARCH.deb,
# and what lintian says of it, which must be nothing. Built from a copy of what git knows, in
# OUT/src, which stays, so that a second time is quick. Whoever builds it is its maintainer:
# $DEBFULLNAME and $DEBEMAIL, else git's last author.
set -eu
version=$1
out=$2
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"

for tool in dpkg-buildpackage dh lintian; do
	command -v $tool >/dev/null || {
		echo "deb: $tool is not there (Debian: apt-get install dpkg-dev debhelper lintian)" >&2
		exit 1
	}
done
git="git -c safe.directory=$root"
maintainer="${DEBFULLNAME:-$($git log -1 --format=%an)} <${DEBEMAIL:-$($git log -1 --format=%ae)}>"
date=$($git log -1 --format=%aD)

mkdir -p "$out/src"
out=$(cd "$out" && pwd)
# With their times, that make may go on where it was; what is not there any more goes.
rm -rf "$out/src/debian"
$git ls-files | sort >"$out/files"
tar -cf - -T "$out/files" | tar -xf - -C "$out/src"
cd "$out/src"
find . -path ./build -prune -o ! -type d -print | sed 's,^\./,,' | sort |
	comm -13 "$out/files" - | xargs -r rm -f
mv configs/debian debian
rm debian/build.sh
for file in control changelog; do
	sed "s/@VERSION@/$version/; s/@MAINTAINER@/$maintainer/; s/@DATE@/$date/" \
		debian/$file.in >debian/$file
	rm debian/$file.in
done
rm -f "$out"/*.deb "$out"/*.changes "$out"/*.buildinfo
# -d: what is missing, `make deps` tells, by the things themselves.
DEB_BUILD_OPTIONS="parallel=${JOBS:-2} ${DEB_BUILD_OPTIONS:-}" \
	dpkg-buildpackage -b -us -uc -nc -d >"$out/log" 2>&1 || {
	tail -n 30 "$out/log" >&2
	exit 1
}
lintian --allow-root --tag-display-limit 0 --fail-on error,warning "$out"/*.changes
