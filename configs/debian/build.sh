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
# With their times, that make may go on where it was.
$git ls-files -z | tar --null -cf - -T - | tar -xf - -C "$out/src"
cd "$out/src"
rm -rf debian
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
cd ..
mv ../*.deb ../*.changes ../*.buildinfo "$out" 2>/dev/null || true
lintian --allow-root --tag-display-limit 0 --fail-on error,warning "$out"/*.changes
