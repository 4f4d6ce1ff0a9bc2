#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The guest's only process of ours: init of an initramfs that holds busybox, perfd,
# perfctl and the programs to profile. Runs the cases of the boot that the kernel's
# command line names (perfd_boot=plain|integrity|confidentiality, which the kernel
# hands to init as a variable), prints TAP lines on the serial console, and
# restarts the machine, which ends the emulator.
#
# A case is a function that returns non-zero on failure after a line that says why;
# 77 skips. What it printed is shown when it fails.
export PATH=/bin:/perfd HOME=/
SOCKET=/run/perfd.sock
HZ=199
SKIPPED=77
READY_SECONDS=60
TABLE_SECONDS=30

/bin/busybox mkdir -p /proc /sys /dev /tmp /run /var/empty
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox --install -s /bin
mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf bpffs /sys/fs/bpf
mount -t securityfs securityfs /sys/kernel/security
exec </dev/null >/dev/console 2>&1
cd /tmp || exit 1

say() {
	echo "$*"
}

# what fails says its last line as the reason: so this one comes last.
fail() {
	echo "$*"
	return 1
}

number=0
# run NAME: the function NAME as a TAP line.
run() {
	number=$((number + 1))
	( "$1" ) >/tmp/case.log 2>&1
	code=$?
	reason=$(tail -n 1 /tmp/case.log)
	case $code in
	0) echo "ok $number - $1" ;;
	"$SKIPPED") echo "ok $number - $1 # SKIP $reason" ;;
	*) echo "not ok $number - $1: ${reason:-code $code}" ;;
	esac
	# A hash at the head: nothing in it is taken for a result.
	sed 's/^/# /' /tmp/case.log
}

# --- perfd ------------------------------------------------------------------------

# start_perfd OPTIONS: leaves its process in $perfd; fails when it ended instead, with
# its words in /tmp/perfd.log.
start_perfd() {
	perfd --config /dev/null --socket $SOCKET "$@" >/tmp/perfd.log 2>&1 &
	perfd=$!
	tries=$((READY_SECONDS * 10))
	until perfctl status --socket $SOCKET >/dev/null 2>&1; do
		kill -0 $perfd 2>/dev/null || return 1
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.1
	done
}

end_perfd() {
	kill $perfd
	wait $perfd
	ended=$?
	[ $ended = 0 ] || fail "perfd ended with code $ended: $(tail -n 1 /tmp/perfd.log)"
}

# What the verifier said of the program it refused: the most useful lines there are.
verifier_words() {
	timeout 60 perfd --config /dev/null --socket $SOCKET --log-level debug \
		>/tmp/debug.log 2>&1
	grep -v '^perfd: CO-RE' /tmp/debug.log | tail -n 60
}

# refused_for WORDS OPTIONS: perfd does not start, and its error has one of the words
# (an extended regular expression).
refused_for() {
	words=$1
	shift
	if start_perfd "$@"; then
		end_perfd
		fail "perfd started all the same"
		return
	fi
	cat /tmp/perfd.log
	grep -qiE -e "$words" /tmp/perfd.log || fail "the refusal names no cause ($words): $(
		tail -n 1 /tmp/perfd.log)"
}

starts() {
	start_perfd || {
		said=$(tail -n 1 /tmp/perfd.log)
		verifier_words
		fail "perfd did not start: $said"
		return
	}
	cat /tmp/perfd.log
	perfctl status --socket $SOCKET
	end_perfd
}

# --- folded files -------------------------------------------------------------------

# sum FILE PATTERN: the weights of the stacks that match.
sum() {
	awk -v pattern="$2" '{ value = $NF; sub(/ [0-9]+$/, ""); if ($0 ~ pattern) s += value }
		END { printf "%.0f\n", s }' "$1"
}

# between WHAT VALUE LOW HIGH
between() {
	awk -v v="$2" -v low="$3" -v high="$4" 'BEGIN { exit !(v >= low && v <= high) }' ||
		fail "$1 is $2, expected $3 to $4"
}

percent() {
	awk -v part="$1" -v all="$2" 'BEGIN { printf "%.1f\n", all ? 100 * part / all : 0 }'
}

# check_total FILE JSON: what shares says of itself against its folded file. Emulation is
# slow and its clock is not a steady one: wide bounds, but a lost half is seen.
check_total() {
	cat "$1" "$2"
	spent=$(sed 's/.*"cpu_ns": \([0-9]*\).*/\1/' "$2")
	between "total in percent of the program's own clock" \
		"$(percent "$(sum "$1" '^shares;')" "$spent")" 70 130
}

# Likewise, and by function: of main's time, for the loader's start is a tenth and more of all.
check_shares() {
	check_total "$1" "$2" || return
	total=$(sum "$1" '^shares;')
	between "share of stacks with main" "$(percent "$(sum "$1" ';main(;|$)')" "$total")" \
		80 100 || return
	named=$(sum "$1" ';main(;|$)')
	for part in 50 30 20; do
		between "share of main;work_$part" \
			"$(percent "$(sum "$1" ";main;work_$part(;|\$)")" "$named")" \
			$((part - 10)) $((part + 10)) || return
	done
	say "whole to _start: $(percent "$(sum "$1" '^shares;_start;')" "$total") %"
}

# Emulated, perfd reads its rings seldom, and those of the usual size have no room for all stacks that
# come before their tables (docs/unwinding.md, "Too early"): not what is tested here.
printf '[limits]\nring_bytes = 16M\n' >/tmp/perfd.conf

record() {
	perfctl record --config /tmp/perfd.conf -F $HZ "$@"
}

# --- cases ------------------------------------------------------------------------------

# By a perfd of its own, as a person with nothing running would.
record_shares() {
	record -o shares.folded -- shares 2 >shares.json ||
		fail "perfctl record ended with code $?" || return
	check_shares shares.folded shares.json
}

record_deep() {
	record -o deep.folded -- deep 100 1000 ||
		fail "perfctl record ended with code $?" || return
	awk '{ sub(/ [0-9]+$/, ""); print gsub(/;descend/, ""), $0 }' deep.folded
	# Of what bottom burned: the loader's start takes its part of an emulated second.
	awk '{ value = $NF; sub(/ [0-9]+$/, ""); if ($0 !~ /;bottom(;|$)/) next
		all += value; line = $0
		if (gsub(/;descend/, "") == 100 && line ~ /;main;descend/) whole += value }
		END { exit !(all > 200e6 && whole > 0.99 * all) }' deep.folded ||
		fail "less than 99 % of the stacks with bottom have main and 100 times descend"
}

record_threads() {
	record -o threads.folded -- threads 2 500 ||
		fail "perfctl record ended with code $?" || return
	cat threads.folded
	for thread in 't-0;.*;even_work' 't-1;.*;odd_work'; do
		between "nanoseconds of $thread" "$(sum threads.folded "^$thread(;|\$)")" \
			300000000 700000000 || return
	done
}

# A process that was there before perfd: the task iterator lists it. Debian's libc has no
# frame pointers, so the thread's entry is reached by tables only; they are being built,
# slowly, while this asks.
attach_earlier() {
	shares 120 >/dev/null &
	program=$!
	start_perfd || fail "perfd did not start: $(tail -n 1 /tmp/perfd.log)" || return
	until=$(($(date +%s) + TABLE_SECONDS))
	while
		perfctl attach --socket $SOCKET --pid $program -F $HZ -d 1s -o whole.folded ||
			fail "perfctl attach ended with code $?" || break
		whole=$(percent "$(sum whole.folded '^shares;_start;')" "$(sum whole.folded '^shares;')")
		! between "share of stacks from _start" "$whole" 99 100 &&
			[ "$(date +%s)" -lt $until ]
	do :; done
	kill $program
	perfctl status --socket $SOCKET
	end_perfd || return
	cat whole.folded
	between "share of stacks from _start" "$whole" 99 100 || return
	between "stacks with main;work_50, nanoseconds" \
		"$(sum whole.folded ';main;work_50(;|$)')" 200000000 800000000
}

status_json() {
	start_perfd --set cpu.frequency_hz=99 ||
		fail "perfd did not start: $(tail -n 1 /tmp/perfd.log)" || return
	shares 1 >/dev/null
	perfctl status --socket $SOCKET --json >status.json
	code=$?
	end_perfd || return
	cat status.json
	[ $code = 0 ] || fail "perfctl status ended with code $code" || return
	grep -q '"schema": "perfd.status/1"' status.json || fail "no schema" || return
	between "samples taken" "$(sed -n 's/.*"taken": \([0-9]*\).*/\1/p' status.json)" 50 100000 ||
		return
	between "samples lost" "$(sed -n 's/.*"lost_total": \([0-9]*\).*/\1/p' status.json)" 0 0
}

# field NAME FILE: the number behind "NAME" in JSON, the first one.
field() {
	grep -o "\"$1\": *[0-9]*" "$2" | head -n 1 | sed 's/.*: *//'
}

# counted EVENT PROGRAM...: a session on that event, and what the program counted itself. With
# probes all the time, and without a budget: an emulated machine would use it up.
counted() {
	event=$1
	shift
	start_perfd --set memory.heap_budget=1000 --set budget.machine=0 ||
		fail "perfd did not start: $(tail -n 1 /tmp/perfd.log)" || return
	perfctl record --socket $SOCKET -e "$event" -o "$event.folded" -- "$@" >"$event.json"
	code=$?
	end_perfd || return
	cat "$event.folded" "$event.json"
	[ $code = 0 ] || fail "perfctl record -e $event ended with code $code"
}

# told FILE FIELD PLACE...: the sum of that field of the program's places.
told() {
	json=$1 name=$2
	shift 2
	for place in "$@"; do
		sed "s/.*\"$place\"//" "$json" >place.json
		field "$name" place.json
	done | awk '{ all += $1 } END { printf "%.0f\n", all }'
}

page_faults() {
	counted faults faults 20 || return
	between "faults in percent of the kernel's count" \
		"$(percent "$(sum faults.folded '^faults;')" "$(field faults faults.json)")" 90 110
}

# Those of the loader and of main() are in the sum, too.
mappings() {
	counted mmap mappings 100 500 || return
	between "bytes in percent of the program's count" \
		"$(percent "$(sum mmap.folded '^mappings;')" \
			"$(told mmap.json bytes take_many take_large grow_mapping grow_heap)")" 99 105
}

# The probes go in when the program runs already: seconds after, in an emulated one.
allocations() {
	counted heap allocs 1500 1000 || return
	between "bytes in percent of the program's count" \
		"$(percent "$(sum heap.folded '^allocs;')" "$(told heap.json bytes churn grow keep)")" 50 115
}

# Nobody is told of mappings, and samples look into the kernel's own: since 6.1.
looked_at() {
	start_perfd --set budget.mappings=sampled --set cpu.frequency_hz=0 ||
		fail "perfd did not start: $(tail -n 1 /tmp/perfd.log)" || return
	perfctl record --socket $SOCKET -F $HZ -o looked.folded -- shares 2 >looked.json
	code=$?
	perfctl rates --socket $SOCKET --json >rates.json
	end_perfd || return
	grep -A 8 '"mappings"' rates.json
	cat /tmp/perfd.log looked.folded
	[ $code = 0 ] || fail "perfctl record ended with code $code" || return
	older_than 6 1 || grep -q '"told": "sampled"' rates.json || fail "all are told" || return
	check_shares looked.folded looked.json
}

# By the kernel's own exact sum, which is another one before Linux 6.2.
resident_memory() {
	start_perfd --set memory.rss_interval=250ms --set history.dir=/tmp/history ||
		fail "perfd did not start: $(tail -n 1 /tmp/perfd.log)" || return
	mkfifo resident.in
	resident /bin/busybox 65536 9000 <resident.in >resident.out &
	program=$!
	exec 3>resident.in
	until grep -q ready resident.out; do sleep 0.1; done
	truth=$(sed -n 's/^Rss: *\([0-9]*\) kB/\1/p' /proc/$program/smaps_rollup)
	until_s=$(($(date +%s) + TABLE_SECONDS))
	while
		perfctl timeline --socket $SOCKET -e faults --value rss --pid $program --json >rss.json 2>rss.log
		share=$(percent "$(field peak rss.json)" $((truth << 10)))
		! between "resident memory in percent of $truth KiB" "$share" 99 101 &&
			[ "$(date +%s)" -lt $until_s ]
	do sleep 1; done
	exec 3>&-
	cut -c -400 rss.json rss.log
	end_perfd || return
	between "resident memory in percent of $truth KiB" "$share" 99 101
}

# Debian's own default; root may, and nobody is told what is missing.
paranoid_3() {
	echo 3 >/proc/sys/kernel/perf_event_paranoid
	[ "$(cat /proc/sys/kernel/perf_event_paranoid)" = 3 ] || fail "paranoid is not 3" || return
	record -o paranoid.folded -- shares 2 >paranoid.json ||
		fail "perfctl record ended with code $?" || return
	check_shares paranoid.folded paranoid.json || return
	chmod 1777 /run
	su nobody -s /bin/sh -c "perfd --config /dev/null --socket /run/nobody.sock" >nobody.log 2>&1
	code=$?
	cat nobody.log
	[ $code = 1 ] || fail "perfd of nobody ended with code $code" || return
	grep -q CAP_ nobody.log || fail "the refusal names no capability"
}

with_btf_file() {
	start_perfd --btf /tmp/vmlinux.btf ||
		fail "perfd did not start: $(tail -n 1 /tmp/perfd.log)" || return
	perfctl record --socket $SOCKET -F $HZ -o btf.folded -- shares 2 >btf.json
	code=$?
	end_perfd || return
	[ $code = 0 ] || fail "perfctl record ended with code $code" || return
	check_shares btf.folded btf.json
}

# A kernel that does not show its BTF: refused by name, and its BTF from a file will do.
no_btf() {
	cp /sys/kernel/btf/vmlinux /tmp/vmlinux.btf || fail "no BTF to begin with" || return
	mkdir -p /tmp/nothing
	mount --bind /tmp/nothing /sys/kernel/btf || fail "cannot hide /sys/kernel/btf" || return
	refused_for '--btf FILE' && refused_for nothing.btf --btf /tmp/nothing.btf && with_btf_file
	code=$?
	umount /sys/kernel/btf
	return $code
}

cpu1_online=/sys/devices/system/cpu/cpu1/online

need_cpu1() {
	[ -e $cpu1_online ] || {
		echo "cpu1 cannot be taken offline"
		return $SKIPPED
	}
}

# A second's work on cpu1.
on_cpu1() {
	perfctl record --socket $SOCKET -F $HZ -o cpu1.folded -- taskset 2 shares 1 >cpu1.json ||
		fail "perfctl record ended with code $?" || return
	check_total cpu1.folded cpu1.json
}

# A session that begins just after perfd has lost a CPU.
cpu_away() {
	need_cpu1 || return
	start_perfd --set cpu.frequency_hz=99 ||
		fail "perfd did not start: $(tail -n 1 /tmp/perfd.log)" || return
	echo 0 >$cpu1_online || fail "cpu1 does not go offline" || return
	perfctl record --socket $SOCKET -F $HZ -o cpu0.folded -- shares 1 >cpu0.json
	code=$?
	echo 1 >$cpu1_online
	end_perfd || return
	[ $code = 0 ] || fail "perfctl record ended with code $code without cpu1" || return
	check_total cpu0.folded cpu0.json
}

# perfd looks for CPUs once a second or so: some tries.
cpu_back() {
	need_cpu1 || return
	start_perfd --set cpu.frequency_hz=99 ||
		fail "perfd did not start: $(tail -n 1 /tmp/perfd.log)" || return
	echo 0 >$cpu1_online || fail "cpu1 does not go offline" || return
	perfctl status --socket $SOCKET >/dev/null || fail "perfd does not answer" || return
	echo 1 >$cpu1_online || fail "cpu1 does not come back" || return
	tries=10
	until on_cpu1; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
	done
	end_perfd
}

# Recording works, or is refused for a cause with a name.
lockdown() {
	cat /sys/kernel/security/lockdown
	grep -q "\[$perfd_boot\]" /sys/kernel/security/lockdown || {
		echo "this kernel does not know lockdown=$perfd_boot"
		return $SKIPPED
	}
	if perfctl record -F $HZ -o locked.folded -- shares 1 >locked.json 2>locked.log; then
		check_shares locked.folded locked.json
		return
	fi
	cat locked.log
	[ "$perfd_boot" = confidentiality ] || fail "not recorded: $(tail -n 1 locked.log)" || return
	grep -qi lockdown locked.log || {
		verifier_words
		fail "the refusal does not name the lockdown: $(tail -n 1 locked.log)"
	}
}

# A kernel that is too old: no crash, and the version or what it lacks by name.
too_old() {
	refused_for 'Linux 5\.17|lockdown=confidentiality'
}

# After all of it.
kernel_is_content() {
	dmesg | grep -E 'WARNING:|BUG:|Oops|general protection|Call Trace|hung task|segfault' &&
		fail "the kernel complains: $(dmesg | grep -m 1 -E 'WARNING:|BUG:|Oops|segfault')"
	return 0
}

# older_than MAJOR MINOR
older_than() {
	uname -r | awk -F'[.-]' -v a="$1" -v b="$2" '{ exit !($1 < a || $1 == a && $2 < b) }'
}

echo "# $(uname -r), $(nproc) CPUs, $perfd_boot"
if older_than 5 17; then
	run too_old
elif [ "$perfd_boot" = plain ]; then
	for name in starts record_shares record_deep record_threads attach_earlier status_json \
		looked_at page_faults mappings allocations resident_memory paranoid_3 no_btf cpu_away cpu_back; do
		run $name
	done
else
	run lockdown
fi
run kernel_is_content
echo "1..$number"
sync
reboot -f
