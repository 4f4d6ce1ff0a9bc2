#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Looks for what the build, the tests and the demo need. On Debian and its kin,
# as root, installs what is missing, and only that; elsewhere names it and stops
# with exit code 1. What is looked for is the thing itself (a command, a header),
# not a package: where it comes from is the machine's own business.
set -u
PATH=$PATH:/usr/sbin:/sbin

# need | the thing | Debian, Ubuntu | Fedora | Arch
# "command:a,b" any of these, "header:x.h,y.h" any of them includable by the compiler,
# "file:/x" that file or folder, "fuzzer:" what clang needs to link a fuzzer (of the same
# version, which @CLANG@ stands for).
# need: "must", or "may": the demo and some scenarios do with less.
things() {
	cat <<'TABLE'
must|command:make|make|make|make
must|command:gcc,clang,cc|gcc|gcc|gcc
must|command:clang,clang-22,clang-21,clang-20,clang-19,clang-18,clang-17,clang-16,clang-15,clang-14|clang|clang|clang
must|command:bpftool|bpftool|bpftool|bpf
must|command:python3|python3|python3|python
must|header:stdio.h|libc6-dev|glibc-devel|glibc
must|header:linux/perf_event.h|linux-libc-dev|kernel-headers|linux-api-headers
must|header:bpf/libbpf.h|libbpf-dev|libbpf-devel|libbpf
must|header:libelf.h|libelf-dev|elfutils-libelf-devel|libelf
must|header:libdwarf/libdwarf.h,libdwarf-0/libdwarf.h,libdwarf-2/libdwarf.h|libdwarf-dev|libdwarf-devel|libdwarf
must|header:libiberty/demangle.h|libiberty-dev|binutils-devel|binutils
must|header:Zydis/Zydis.h|libzydis-dev|zydis-devel|zydis
must|header:zlib.h|zlib1g-dev|zlib-devel|zlib
must|header:lzma.h|liblzma-dev|xz-devel|xz
must|header:zstd.h|libzstd-dev|libzstd-devel|zstd
must|header:sqlite3.h|libsqlite3-dev|sqlite-devel|sqlite
must|header:event2/event.h|libevent-dev|libevent-devel|libevent
must|header:jansson.h|libjansson-dev|jansson-devel|jansson
must|header:microhttpd.h|libmicrohttpd-dev|libmicrohttpd-devel|libmicrohttpd
must|header:curses.h|libncurses-dev|ncurses-devel|ncurses
must|header:curl/curl.h|libcurl4-openssl-dev|libcurl-devel|curl
must|header:xxhash.h|libxxhash-dev|xxhash-devel|xxhash
must|header:seccomp.h|libseccomp-dev|libseccomp-devel|libseccomp
must|header:sys/capability.h|libcap-dev|libcap-devel|libcap
must|header:check.h|check|check-devel|check
may|command:javac|default-jdk-headless|java-latest-openjdk-devel|jdk-openjdk
may|command:musl-gcc|musl-tools|musl-gcc|musl
may|command:g++|g++|gcc-c++|gcc
may|file:/usr/lib/x86_64-linux-gnu/libjemalloc.so.2|libjemalloc2|jemalloc|jemalloc
may|file:/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4|libtcmalloc-minimal4|gperftools-libs|gperftools
may|file:/usr/lib/x86_64-linux-gnu/libmimalloc.so|libmimalloc-dev|mimalloc|mimalloc
may|command:ld.lld|lld|lld|lld
may|command:eu-addr2line|elfutils|elfutils|elfutils
may|command:dwz|dwz|dwz|dwz
may|command:llvm-symbolizer-22,llvm-symbolizer-21,llvm-symbolizer-20,llvm-symbolizer-19,llvm-symbolizer-18,llvm-symbolizer-17,llvm-symbolizer-16,llvm-symbolizer-15|llvm-19|llvm|llvm
may|command:redis-benchmark|redis-tools|redis|redis
may|command:chromium,chromium-browser,google-chrome|chromium|chromium|chromium
may|command:node|nodejs|nodejs|nodejs
may|command:npm|npm|nodejs-npm|npm
may|command:callgrind_annotate|valgrind|valgrind|valgrind
may|command:debuginfod|debuginfod|elfutils-debuginfod|debuginfod
may|fuzzer:compiler-rt|libclang-rt-@CLANG@-dev|compiler-rt|compiler-rt
may|command:promtool|prometheus|golang-github-prometheus|prometheus
may|file:/usr/lib/python3/dist-packages/prometheus_client|python3-prometheus-client|python3-prometheus_client|python-prometheus_client
may|file:/usr/lib/python3/dist-packages/pyte|python3-pyte|python3-pyte|python-pyte
may|file:/lib/ld-linux.so.2|libc6-i386|glibc.i686|lib32-glibc
may|command:strace|strace|strace|strace
may|file:/usr/lib/debug/.build-id|libc6-dbg|glibc-debuginfo|glibc
TABLE
}

there() {
	case $1 in
	command:*)
		for name in $(echo "${1#command:}" | tr ',' ' '); do
			command -v "$name" >/dev/null 2>&1 && return 0
		done
		return 1
		;;
	fuzzer:*)
		"$(dirname "$0")/check/libfuzzer.sh" clang >/dev/null
		return
		;;
	file:*)
		test -e "${1#file:}"
		return
		;;
	header:*)
		for cc in gcc clang cc; do
			command -v $cc >/dev/null 2>&1 || continue
			for name in $(echo "${1#header:}" | tr ',' ' '); do
				echo "#include <$name>" | $cc -E - >/dev/null 2>&1 && return 0
			done
			return 1
		done
		return 1
		;;
	esac
}

clang_version() {
	version=$(clang -dumpversion 2>/dev/null | cut -d. -f1)
	echo "${version:-14}"
}

# missing NEED COLUMN: the packages of what is not there, on one line.
missing() {
	things | while IFS='|' read -r need thing debian fedora arch; do
		[ "$need" = "$1" ] || continue
		there "$thing" && continue
		case $2 in
		debian) echo "$debian" | sed "s/@CLANG@/$(clang_version)/" ;;
		fedora) echo "$fedora" ;;
		arch) echo "$arch" ;;
		thing) echo "${thing#*:}" | cut -d, -f1 ;;
		esac
	done | sort -u | tr '\n' ' ' | sed 's/ $//'
}

install() {
	# Unquoted on purpose: a list of words.
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $1 >"$log" 2>&1
}

# With the package lists as they are; if that fails, with new ones.
install_or_update() {
	install "$1" && return
	echo "deps: updating the package lists"
	apt-get update -q >"$log" 2>&1 || tail -n 3 "$log" >&2
	install "$1"
}

must=$(missing must debian)
may=
[ "${1:-}" = must ] || may=$(missing may debian)
[ -z "$must$may" ] && exit 0

if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
	[ -n "$must" ] || {
		echo "deps: not there, and not needed for most: $(missing may thing)"
		exit 0
	}
	echo "deps: missing: $(missing must thing)" >&2
	if command -v apt-get >/dev/null 2>&1; then
		echo "deps: as root: apt-get install $must $may" >&2
	elif command -v dnf >/dev/null 2>&1; then
		echo "deps: as root: dnf install $(missing must fedora) $(missing may fedora)" >&2
	elif command -v pacman >/dev/null 2>&1; then
		echo "deps: as root: pacman -S $(missing must arch) $(missing may arch)" >&2
	else
		echo "deps: Debian's packages of these: $must $may" >&2
	fi
	exit 1
fi

log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
if [ -n "$must" ]; then
	echo "deps: installing $must"
	install_or_update "$must" || {
		cat "$log" >&2
		echo "deps: apt-get could not install: $must" >&2
		exit 1
	}
fi
if [ -n "$may" ]; then
	echo "deps: installing $may"
	install_or_update "$may" ||
		echo "deps: not to be had here: $may; the demo and some scenarios use what there is"
fi
must=$(missing must debian)
[ -z "$must" ] || {
	echo "deps: still missing after installing: $must" >&2
	exit 1
}
