#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# In the clean tree, for deb.py: the package's life, as TAP lines and a sum.
set -u
passed=0
failed=0
number=0

# check NAME COMMAND...: the command succeeds; its output is shown if not.
check() {
	name=$1
	shift
	number=$((number + 1))
	if "$@" >/tmp/output 2>&1; then
		passed=$((passed + 1))
		echo "ok $number - $name"
	else
		failed=$((failed + 1))
		echo "not ok $number - $name"
		sed 's/^/     | /' /tmp/output
	fi
}

deb=$(echo /srv/deb/perfd_*.deb)

installed() {
	apt-get install -y -q --no-install-recommends "$deb"
}

no_policy() { # services are not started while packages are installed
	printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d
}

is_enabled() {
	test -L /etc/systemd/system/multi-user.target.wants/perfd.service
}

conffile_is_known() {
	dpkg-query -W -f '${Conffiles}' perfd | grep -q /etc/perfd/perfd.conf
}

man_pages() {
	for page in man8/perfd.8 man1/perfctl.1 man1/perfctl-top.1 man5/perfd.conf.5; do
		zcat /usr/share/man/$page.gz | grep -q '^\.TH' || return
	done
}

kept_folders() {
	mkdir -p /var/lib/perfd /var/cache/perfd
	touch /var/lib/perfd/x /var/cache/perfd/x
}

# As the unit starts it, without the manager: this tree has no systemd that runs.
starts() {
	mkdir -p /run/perfd
	/usr/sbin/perfd >/tmp/perfd.log 2>&1 &
	perfd=$!
	for _ in $(seq 300); do
		perfctl status --json >/tmp/status 2>/dev/null && break
		sleep 0.1
	done
	grep -q '"source"' /tmp/status || {
		cat /tmp/perfd.log
		return 1
	}
	perfctl top --once --top 3 && perfctl windows >/dev/null
}

ends() {
	kill "$perfd" && wait "$perfd" && test ! -e /run/perfd/perfd.sock
}

changed_settings_stay() {
	echo '# mine' >>/etc/perfd/perfd.conf
	apt-get install -y -q --reinstall --no-install-recommends "$deb" &&
		grep -q '^# mine$' /etc/perfd/perfd.conf
}

removed() {
	apt-get remove -y -q perfd && test ! -e /usr/sbin/perfd && test ! -e /usr/bin/perfctl &&
		test ! -e /usr/lib/perfd && test -e /etc/perfd/perfd.conf && test -e /var/lib/perfd/x
}

purged() {
	apt-get purge -y -q perfd && test ! -e /etc/perfd && test ! -e /var/lib/perfd &&
		test ! -e /var/cache/perfd && ! is_enabled
}

# Nothing of its name, also not among what packages' tools note of units and settings.
nothing_is_left() {
	find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /srv \
		-o -path /var/cache/apt -o -path /var/log \) -prune -o -name '*perfd*' -print >/tmp/left
	find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /srv \) -prune \
		-o -name '*perfctl*' -print >>/tmp/left
	cat /tmp/left
	test ! -s /tmp/left
}

apt-get update -q >/tmp/output 2>&1 || {
	tail -n 3 /tmp/output
	echo "skip release/deb: its archive gives no lists"
	exit 77
}
no_policy
check "it is installed, with what it depends on" installed
check "the group is there" getent group perfd
check "its folders are root's" test "$(stat -c %a%U /var/lib/perfd /var/cache/perfd 2>/dev/null | sort -u)" = 700root
check "the service is enabled, and was not started" is_enabled
check "its settings are a conffile" conffile_is_known
check "and good" perfd --check-config
check "perfctl runs" perfctl version
check "man pages" man_pages
check "completions" bash -n /usr/share/bash-completion/completions/perfctl
if [ -r /sys/kernel/btf/vmlinux ]; then
	check "perfd starts, and answers" starts
	check "perfd ends" ends
fi
check "files in its folders" kept_folders
check "installed again, changed settings stay" changed_settings_stay
check "removed, settings and what it kept stay" removed
check "purged, they go" purged
check "nothing is left" nothing_is_left
echo "$passed passed, $failed failed, 0 skipped"
test "$failed" = 0
