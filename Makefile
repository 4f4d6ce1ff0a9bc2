# perfd: build, test, check. `make help` lists the targets.
#
#	make [V=1] [CC=clang] [B=folder]
#
# Everything made goes into $(B). Nothing here needs the network, but for
# `make deps` (and demo and test, which begin with it).

# --- Settings ---------------------------------------------------------------

V ?= 0
ifeq ($(V),0)
Q := @
say = @printf '  %-8s %s\n'
else
Q :=
say = @:
endif

B ?= build
GEN := build/gen
VERSION := 0.1.0

# The first of these that is there; BPF needs clang, whoever compiles the rest.
first_of = $(firstword $(foreach tool,$(1),$(shell command -v $(tool) 2>/dev/null)))
CLANG_VERSIONS := 22 21 20 19 18 17 16 15 14
ifeq ($(origin CC),default)
CC := gcc
endif
CLANG := $(or $(CLANG),$(call first_of,clang $(CLANG_VERSIONS:%=clang-%)),clang)
BPFTOOL := $(or $(BPFTOOL),$(call first_of,bpftool /usr/sbin/bpftool /sbin/bpftool),bpftool)
PYTHON ?= python3

CSTD := -std=gnu17
# A record that ends in an array without a length, and the place for it behind: clang 19 minds.
WARN := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wmissing-prototypes -Wpointer-arith \
	-Wno-gnu-variable-sized-type-not-at-end
# Debian 12's libdwarf has no .pc file yet, and Debian 13's names a folder that is not there.
DWARF_CFLAGS := $(shell pkg-config --cflags libdwarf 2>/dev/null) -I/usr/include/libdwarf
CPPFLAGS += -I. -I$(GEN) $(DWARF_CFLAGS) -D_GNU_SOURCE -DPERFD_VERSION='"$(VERSION)"'
CFLAGS ?= -O2 -g
# Records are read where they lie, as __u64 and as uint64_t: two types to C.
ALL_CFLAGS = $(CSTD) $(WARN) -fno-omit-frame-pointer -fno-strict-aliasing $(CFLAGS)
LIBS := -lbpf -lelf -ldwarf -lZydis -lZycore -liberty -levent_core -ljansson -lxxhash -lseccomp -lcap -lsqlite3 -lzstd -lz -llzma -lm -lpthread
CHECK_LIBS := $(shell pkg-config --libs check 2>/dev/null || echo -lcheck -lsubunit -lrt -lm -lpthread)

MACHINE := $(shell uname -m)
BPF_ARCH := $(or $(patsubst x86_64,x86,$(filter x86_64,$(MACHINE))),$(patsubst aarch64,arm64,$(MACHINE)))
BPF_CFLAGS := -O2 -g -target bpf -mcpu=v3 -D__TARGET_ARCH_$(BPF_ARCH) -Wall -Wextra -I. \
	$(addprefix -I,$(wildcard /usr/include/$(MACHINE)-linux-gnu))

# --- Files ------------------------------------------------------------------

LIB_SRC := $(filter-out daemon/perfd.c daemon/perfctl.c, \
	$(wildcard daemon/base/*.c symbolizer/*.c flamegraph/*.c daemon/*.c)) \
	$(addprefix daemon/heap/,allocator.c pointers.c sampler.c)
LIB_OBJ := $(LIB_SRC:%.c=$(B)/obj/%.o)
MAIN_OBJ := $(B)/obj/daemon/perfd.o $(B)/obj/daemon/perfctl.o
UNIT := $(patsubst tests/unit/%.c,$(B)/tests/%,$(wildcard tests/unit/test_*.c))
UNIT_OBJ := $(UNIT:$(B)/tests/%=$(B)/obj/tests/unit/%.o)
FUZZ := $(patsubst tests/fuzz/%.c,$(B)/tests/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_OBJ := $(FUZZ:$(B)/tests/%=$(B)/obj/tests/fuzz/%.o)
# Those in C, which the Python ones run.
BENCH := $(patsubst tests/bench/%.c,$(B)/tests/bench_%,$(wildcard tests/bench/*.c))
BENCH_OBJ := $(BENCH:$(B)/tests/bench_%=$(B)/obj/tests/bench/%.o)
PROGRAMS := $(patsubst tests/programs/%.c,$(B)/programs/%, \
	$(filter-out tests/programs/lib%.c tests/programs/hard_%.c,$(wildcard tests/programs/*.c)))
PLUGINS := $(patsubst tests/programs/%.c,$(B)/programs/%.so,$(wildcard tests/programs/lib*.c))
BPF_SRC := $(wildcard bpf/*.bpf.c)
SKELS := $(BPF_SRC:bpf/%.bpf.c=$(GEN)/%.skel.h)

# What goes into the programs that are watched: see docs/memory.md.
HEAP_SRC := $(wildcard daemon/heap/*.c)
HEAP := $(if $(filter x86_64 aarch64,$(MACHINE)),$(B)/libperfd-heap.so $(B)/libperfd-heap-late.so)

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all
all: $(B)/perfd $(B)/perfctl $(HEAP)
	@:

# --- Kernel side ------------------------------------------------------------

# A missing tool is named, with the way to get it.
need = @command -v $(1) >/dev/null || { echo '$(1) is not there: see make deps' >&2; exit 1; }

$(GEN)/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h)
	$(say) BPF $<
	@mkdir -p $(@D)
	$(call need,$(CLANG))
	$(Q)$(CLANG) $(BPF_CFLAGS) -c $< -o $@

$(GEN)/%.skel.h: $(GEN)/%.bpf.o
	$(say) SKEL $@
	$(call need,$(BPFTOOL))
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf >$@

# --- User side --------------------------------------------------------------

# What an SVG or HTML file carries along, as C strings.
EMBEDDED := $(foreach form,svg html timeline,$(GEN)/$(form)_script.embed.h $(GEN)/$(form)_style.embed.h)
FLAME_JS := $(addprefix flamegraph/flame_,text.js tree.js view.js bar.js control.js)

$(GEN)/svg_script.embed.h: $(FLAME_JS) flamegraph/svg_stage.js flamegraph/svg_script.js
$(GEN)/svg_style.embed.h: flamegraph/svg_style.css flamegraph/flame_bar.css
$(GEN)/html_script.embed.h: $(FLAME_JS) \
	$(addprefix flamegraph/html_,stage.js table.js time.js script.js)
$(GEN)/html_style.embed.h: flamegraph/html_style.css flamegraph/flame_bar.css
$(GEN)/timeline_script.embed.h: flamegraph/flame_text.js flamegraph/timeline.js
$(GEN)/timeline_style.embed.h: flamegraph/timeline_style.css
$(EMBEDDED): flamegraph/embed.sh
	$(say) EMBED $@
	@mkdir -p $(@D)
	$(Q)flamegraph/embed.sh $(@F:%.embed.h=%) $(filter-out %.sh,$^) >$@

$(B)/obj/%.o: %.c Makefile | $(SKELS) $(EMBEDDED)
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(B)/libperfd.a: $(LIB_OBJ)
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(B)/perfd $(B)/perfctl: $(B)/%: $(B)/obj/daemon/%.o $(B)/libperfd.a
	$(say) LD $@
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $^ -o $@ $(LIBS) $(OWN_LIBS)

# For perfctl's screen only: perfd loads nothing that it does not need.
$(B)/perfctl: OWN_LIBS := -lncursesw -ltinfo

# --- The preloadable library ------------------------------------------------

# No C library is linked: whatever the program has is used, of any version or kind. No
# red zone, for the kernel's cheaper probes. The other library is for programs that run
# already and cannot give a newcomer static thread storage.
# gcc makes calls of memset() out of loops without being asked; clang does not know the flag.
HEAP_NO_CALLS := $(shell echo | $(CC) -Werror -fno-tree-loop-distribute-patterns -E -x c - \
	>/dev/null 2>&1 && echo -fno-tree-loop-distribute-patterns)
HEAP_CFLAGS = $(CSTD) $(WARN) -O2 -g -fPIC -fvisibility=hidden -ffreestanding -fno-builtin \
	-fno-stack-protector -fno-plt -fomit-frame-pointer -fasynchronous-unwind-tables \
	$(HEAP_NO_CALLS) -U_FORTIFY_SOURCE -DHEAP_EXPORT \
	$(if $(filter x86_64,$(MACHINE)),-mno-red-zone)
# Every mapping, page and mprotect() is paid for at the start of each program: two segments, and
# what the loader writes on the page that the library writes on anyway.
HEAP_LDFLAGS := -shared -nostdlib -Wl,-z,now,-z,norelro,-z,noseparate-code,-z,noexecstack,-z,nodelete \
	-Wl,--hash-style=both,--build-id,-Bsymbolic
$(B)/libperfd-heap.so: HEAP_TLS := initial-exec
$(B)/libperfd-heap-late.so: HEAP_TLS := global-dynamic

$(B)/libperfd-heap.so $(B)/libperfd-heap-late.so: $(HEAP_SRC) $(wildcard daemon/heap/*.h) Makefile
	$(say) LD $@
	@mkdir -p $(@D)
	$(Q)$(CC) -I. -D_GNU_SOURCE $(HEAP_CFLAGS) -ftls-model=$(HEAP_TLS) $(HEAP_SRC) \
		$(HEAP_LDFLAGS) -Wl,-soname,$(@F) -o $@

-include $(patsubst %.o,%.d,$(LIB_OBJ) $(MAIN_OBJ) $(UNIT_OBJ) $(FUZZ_OBJ) $(BENCH_OBJ))

# --- Tests ------------------------------------------------------------------

RUN := B=$(B) $(PYTHON) tests/run.py

$(B)/tests/test_%: $(B)/obj/tests/unit/test_%.o $(B)/libperfd.a
	$(say) LD $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $^ -o $@ $(CHECK_LIBS) $(LIBS)

# What the scenarios profile: optimised, but every frame there to be seen.
PROGRAM_CFLAGS := $(CSTD) $(WARN) -I. -D_GNU_SOURCE -g -O1 -fno-omit-frame-pointer \
	-fno-optimize-sibling-calls -fno-inline

$(B)/programs/%: tests/programs/%.c $(wildcard tests/programs/*.h) Makefile
	$(say) CC $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(PROGRAM_CFLAGS) $< -o $@ -ldl -lm -lpthread

$(B)/programs/lib%.so: tests/programs/lib%.c $(wildcard tests/programs/*.h) Makefile
	$(say) CC $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(PROGRAM_CFLAGS) -fPIC -shared $< -o $@

# Hard stacks: the same cases in many builds, all without frame pointers but `fp`.
# What a machine lacks (musl, clang, static C libraries) is left out by name.
HARD_CFLAGS := $(CSTD) $(WARN) -I. -D_GNU_SOURCE -g -fomit-frame-pointer
HARD_CXXFLAGS := -std=gnu++17 -Wall -Wextra -I. -D_GNU_SOURCE -g -fomit-frame-pointer
hard_O0 := -O0 -fPIE -pie
hard_O1 := -O1 -fPIE -pie
hard_O2 := -O2 -fPIE -pie
hard_O3 := -O3 -fPIE -pie
hard_Os := -Os -fPIE -pie
hard_fp := -O2 -fPIE -pie -fno-omit-frame-pointer -DHARD_FRAME_POINTER
hard_nopie := -O2 -fno-pie -no-pie
hard_static := -O2 -fno-pie -static -DHARD_STATIC
hard_staticpie := -O2 -fPIE -static-pie -DHARD_STATIC
hard_musl := -O2 -fno-pie -static -DHARD_STATIC
hard_lld := -O2 -fno-pie -static -DHARD_STATIC -fuse-ld=lld
hard_clang := -O2 -fPIE -pie
hard_hardened := -O2 -fPIE -pie -fstack-clash-protection -fstack-protector-strong \
	-fcf-protection -D_FORTIFY_SOURCE=2 -Wl,-z,now
hard_debugframe := -O2 -fno-pie -no-pie -fno-asynchronous-unwind-tables -fno-unwind-tables
hard_cxx_O0 := -O0
hard_cxx_O2 := -O2
hard_cxx_static := -O2 -static
hard_cc_musl := musl-gcc
hard_cc_clang := $(CLANG)
HARD_BUILDS := O0 O1 O2 O3 Os fp nopie static staticpie hardened debugframe stripped \
	$(if $(shell command -v musl-gcc),musl muslstripped) \
	$(if $(shell command -v ld.lld),lld) $(if $(shell command -v $(CLANG)),clang)
HARD := $(HARD_BUILDS:%=$(B)/programs/hard_%) $(B)/programs/libhard.so \
	$(if $(shell command -v $(CXX)),$(addprefix $(B)/programs/hard_cxx_,O0 O2 static))
HARD_SRC := $(addprefix tests/programs/hard_,main.c c.c frames.c flow.c process.c odd.S)

$(B)/programs/hard_%: $(HARD_SRC) $(wildcard tests/programs/*.h) Makefile
	$(say) CC $@
	@mkdir -p $(@D)
	$(Q)$(or $(hard_cc_$*),$(CC)) $(HARD_CFLAGS) $(hard_$*) $(HARD_SRC) -o $@ -ldl -lpthread

$(B)/programs/hard_stripped: $(B)/programs/hard_O2
$(B)/programs/hard_muslstripped: $(B)/programs/hard_musl
$(B)/programs/hard_stripped $(B)/programs/hard_muslstripped:
	$(say) STRIP $@
	$(Q)strip $< -o $@

$(B)/programs/hard_cxx_%: tests/programs/hard_cxx.cc tests/programs/hard_main.c \
		$(wildcard tests/programs/*.h) Makefile
	$(say) CXX $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(HARD_CFLAGS) $(hard_cxx_$*) -fPIE -c tests/programs/hard_main.c -o $@.o
	$(Q)$(CXX) $(HARD_CXXFLAGS) $(hard_cxx_$*) $< $@.o -o $@ -lpthread

$(B)/programs/libhard.so: tests/programs/libhard.c $(wildcard tests/programs/*.h) Makefile
	$(say) CC $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(HARD_CFLAGS) -O2 -fPIC -shared $< -o $@

.PHONY: programs build-tests test unit scenario bench bench-quick bench-unwind demo deps
programs: $(PROGRAMS) $(PLUGINS) $(HARD)
	@:
build-tests: all programs $(UNIT)
	@:

deps:
	$(Q)tests/install-deps.sh

# The variables above were set before deps could install anything: so a new make.
test: deps
	$(Q)$(MAKE) --no-print-directory build-tests
	$(Q)$(RUN) unit scenario

unit: $(UNIT)
	$(Q)$(RUN) unit

# test_format_svg draws the pictures that the browser test opens.
scenario: all programs $(B)/tests/test_format_svg
	$(Q)$(RUN) scenario

# The worker killed 1,000 times at random under load: a minute or two.
.PHONY: test-kills
test-kills: all programs
	$(Q)B=$(B) PERFD_KILLS=1000 $(PYTHON) tests/scenario/worker_kills.py

# An ordinary user's requests that race with processes which change: half an hour.
.PHONY: test-races test-kill9 soak
test-races: all programs
	$(Q)B=$(B) REQUESTS=$(or $(REQUESTS),100000) TEST_TIMEOUT=7200 ONLY=races $(RUN) scenario

# Whether intervals hold the truth in 95 % of N runs, rates and probes changing all the time: ten
# minutes. The last lines say how many did.
.PHONY: test-unbiased
test-unbiased: all programs
	$(Q)B=$(B) RATES_RUNS=$(or $(N),200) $(PYTHON) tests/scenario/rates.py intervals_under_change

# perfd killed at N random moments under load: ten minutes or more.
test-kill9: all programs
	$(Q)B=$(B) KILLS=$(or $(N),200) TEST_TIMEOUT=7200 ONLY=kill9 $(RUN) scenario

# The disk of the history full for a minute, and for longer than windows can wait for it.
.PHONY: test-disk
test-disk: all programs
	$(Q)B=$(B) FULL_SECONDS=60 $(PYTHON) tests/scenario/history.py a_full_disk_is_waited_out
	$(Q)B=$(B) FULL_SECONDS=200 $(PYTHON) tests/scenario/history.py a_full_disk_is_waited_out

# A mixed load for MINUTES: memory and descriptors stay where they are.
soak: all programs
	$(Q)B=$(B) MINUTES=$(or $(MINUTES),60) TEST_TIMEOUT=9000 ONLY=soak $(RUN) scenario

# Into real programs under load, 100 times each: a quarter of an hour.
.PHONY: test-attach
test-attach: all programs
	$(Q)ATTACH_TIMES=$(or $(TIMES),100) TEST_TIMEOUT=7200 ONLY=heap_attach $(RUN) scenario

# Allocations beside an exact count of the same run, 400 seeds of each tier: a minute.
.PHONY: test-heap-truth
test-heap-truth: all programs
	$(Q)HEAP_TRUTH_SEEDS=$(or $(SEEDS),400) ONLY=heap_truth $(RUN) scenario
	$(Q)HEAP_SESSIONS=$(or $(SESSIONS),200) TEST_TIMEOUT=3600 ONLY=heap_sessions $(RUN) scenario

# Debian's kernels in QEMU, by emulation: minutes, and the network the first time.
.PHONY: test-kernels
test-kernels: all $(addprefix $(B)/programs/,shares deep threads faults mappings \
	allocs resident)
	$(Q)B=$(B) $(PYTHON) tests/kernels/boot.py

# Debian 13's compilers and libraries in a tree of their own: the network the first time.
.PHONY: test-trixie
test-trixie:
	$(Q)$(PYTHON) tests/release/build.py trixie

$(B)/tests/bench_%: $(B)/obj/tests/bench/%.o $(B)/libperfd.a
	$(say) LD $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $^ -o $@ $(LIBS)

# BASELINE=results.json compares, and fails if something got worse; ONLY=word chooses, MINUTES=30
# gives it more time (storms of ten minutes). docs/benchmarks.md.
# The picture that a browser opens is drawn by that suite.
bench bench-quick: all programs $(BENCH) $(B)/tests/test_format_svg
	$(Q)B=$(B) $(PYTHON) tests/bench/suite.py $(if $(filter bench-quick,$@),--quick) \
		$(if $(BASELINE),--baseline '$(BASELINE)') $(if $(ONLY),--only '$(ONLY)') \
		$(if $(MINUTES),--minutes $(MINUTES))

# The table of docs/benchmarks.md anew, of the last results.
.PHONY: bench-table
bench-table:
	$(Q)B=$(B) $(PYTHON) tests/bench/page.py $(or $(RESULTS),$(B)/bench/results.json)

# 10,000 addresses of each kind of program: minutes. ADDR2LINE_RS: the Rust crate's program.
.PHONY: symbolize-peers
symbolize-peers: all
	$(Q)mkdir -p $(B)/bench && rm -f $(B)/bench/symbolize_peers.json
	$(Q)B=$(B) SYMBOLIZE_ADDRESSES=10000 SYMBOLIZE_REPORT=$(abspath $(B))/bench/symbolize_peers.json \
		$(PYTHON) tests/scenario/symbolize_peers.py

# What libperfd-heap.so costs, beside its peers: ten minutes. What memory's tiers cost: five.
.PHONY: bench-heap bench-memory
bench-memory: all programs
	$(Q)B=$(B) $(PYTHON) tests/bench/memory.py
bench-heap: all programs
	$(Q)B=$(B) $(PYTHON) tests/bench/heap.py

# Minutes, and better with the peers there: see docs/unwinding.md.
bench-unwind: all programs
	$(Q)B=$(B) $(PYTHON) tests/bench/unwind.py

demo: deps
	$(Q)$(MAKE) --no-print-directory all programs
	$(Q)B=$(B) $(PYTHON) tests/demo.py

# --- Sanitizers and fuzzers -------------------------------------------------

SANITIZE := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined

.PHONY: asan fuzz fuzz-run fuzz-build fuzz-campaign campaign-run
asan: export ASAN_OPTIONS ?= detect_stack_use_after_return=1:strict_string_checks=1:allocator_may_return_null=1
asan: export UBSAN_OPTIONS ?= print_stacktrace=1
asan:
	$(Q)$(MAKE) --no-print-directory B=build/asan CFLAGS='$(SANITIZE)' unit

FUZZ_SECONDS ?= 10

FUZZ_MAKE = $(MAKE) --no-print-directory B=build/fuzz CC=$(CLANG) \
	CFLAGS='$(SANITIZE) -fsanitize=fuzzer-no-link'

fuzz fuzz-campaign:
	$(Q)tests/check/libfuzzer.sh $(CLANG) || exit 0; \
	$(FUZZ_MAKE) $(if $(filter fuzz,$@),fuzz-run,campaign-run)

fuzz-build: $(FUZZ)

fuzz-run: fuzz-build
	$(Q)FUZZ_SECONDS=$(FUZZ_SECONDS) $(RUN) fuzz

# Hours, at low priority: FUZZ_RUNS inputs in all, told at the end.
campaign-run: fuzz-build
	$(Q)B=$(B) $(PYTHON) tests/fuzz/campaign.py

$(B)/tests/fuzz_%: $(B)/obj/tests/fuzz/fuzz_%.o $(B)/libperfd.a
	$(say) LD $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -fsanitize=fuzzer $(LDFLAGS) $^ -o $@ $(LIBS)

# --- Static checks ----------------------------------------------------------

CHECK_FOLDERS := bpf daemon symbolizer flamegraph tests

.PHONY: check check-format check-tidy check-includes check-abi check-tree
check: check-tree check-includes check-abi check-format check-tidy

check-tree:
	$(say) CHECK 'top level, generated files, file sizes'
	$(Q)$(PYTHON) tests/check/tree.py

check-includes:
	$(say) CHECK 'include directions'
	$(Q)$(PYTHON) tests/check/include_dirs.py

check-abi: | $(SKELS)
	$(say) CHECK 'bpf/abi.h alike on both sides'
	$(Q)$(PYTHON) tests/check/abi_layout.py '$(CC)' '$(CLANG)'

check-format:
	$(say) CHECK format
	$(Q)tests/check/format.sh $(CHECK_FOLDERS)

check-tidy: $(SKELS) $(EMBEDDED)
	$(say) CHECK tidy
	$(Q)tests/check/tidy.sh $(CHECK_FOLDERS) -- $(CPPFLAGS) $(CSTD)

# --- Installing -------------------------------------------------------------

PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
SBINDIR := $(PREFIX)/sbin
BINDIR := $(PREFIX)/bin
DATADIR := $(PREFIX)/share
SYSTEMD := $(if $(filter /usr,$(PREFIX)),/usr/lib,$(PREFIX)/lib)
INSTALL := install

.PHONY: man install uninstall
# Made of what the programs say of themselves.
man: $(B)/doc/man/perfctl.1
$(B)/doc/man/perfctl.1: man/generate.py $(wildcard man/*.text) $(B)/perfd $(B)/perfctl
	$(say) MAN $(@D)
	$(Q)$(PYTHON) man/generate.py $(B)/perfd $(B)/perfctl $(B)/doc $(VERSION)

install: all man
	$(say) INSTALL '$(DESTDIR)$(PREFIX)'
	$(Q)$(INSTALL) -d $(addprefix $(DESTDIR),$(SBINDIR) $(BINDIR) $(DATADIR)/man/man1 \
		$(DATADIR)/man/man5 $(DATADIR)/man/man8 $(DATADIR)/bash-completion/completions \
		$(DATADIR)/zsh/site-functions $(DATADIR)/fish/vendor_completions.d \
		$(SYSTEMD)/systemd/system $(SYSTEMD)/sysusers.d $(SYSTEMD)/tmpfiles.d \
		$(SYSCONFDIR)/perfd)
	$(Q)$(INSTALL) -m 755 $(B)/perfd $(DESTDIR)$(SBINDIR)/perfd
	$(Q)$(INSTALL) -m 755 $(B)/perfctl $(DESTDIR)$(BINDIR)/perfctl
	$(Q)$(INSTALL) -d $(DESTDIR)$(PREFIX)/lib/perfd
	$(Q)$(if $(HEAP),$(INSTALL) -m 644 $(HEAP) $(DESTDIR)$(PREFIX)/lib/perfd)
	$(Q)$(INSTALL) -m 644 $(B)/doc/man/*.1 $(DESTDIR)$(DATADIR)/man/man1
	$(Q)$(INSTALL) -m 644 $(B)/doc/man/perfd.conf.5 $(DESTDIR)$(DATADIR)/man/man5
	$(Q)$(INSTALL) -m 644 $(B)/doc/man/perfd.8 $(DESTDIR)$(DATADIR)/man/man8
	$(Q)$(INSTALL) -m 644 $(B)/doc/completions/perfctl $(DESTDIR)$(DATADIR)/bash-completion/completions
	$(Q)$(INSTALL) -m 644 $(B)/doc/completions/_perfctl $(DESTDIR)$(DATADIR)/zsh/site-functions
	$(Q)$(INSTALL) -m 644 $(B)/doc/completions/perfctl.fish $(DESTDIR)$(DATADIR)/fish/vendor_completions.d
	$(Q)sed 's,@SBINDIR@,$(SBINDIR),; s,@BINDIR@,$(BINDIR),' configs/perfd.service.in >$(DESTDIR)$(SYSTEMD)/systemd/system/perfd.service
	$(Q)chmod 644 $(DESTDIR)$(SYSTEMD)/systemd/system/perfd.service
	$(Q)$(INSTALL) -m 644 configs/perfd.sysusers.conf $(DESTDIR)$(SYSTEMD)/sysusers.d/perfd.conf
	$(Q)$(INSTALL) -m 644 configs/perfd.tmpfiles.conf $(DESTDIR)$(SYSTEMD)/tmpfiles.d/perfd.conf
	$(Q)test -e $(DESTDIR)$(SYSCONFDIR)/perfd/perfd.conf || \
		$(INSTALL) -m 644 configs/perfd.conf $(DESTDIR)$(SYSCONFDIR)/perfd/perfd.conf

# Settings and what perfd kept stay: they are somebody's.
uninstall:
	$(say) REMOVE '$(DESTDIR)$(PREFIX)'
	$(Q)rm -f $(addprefix $(DESTDIR),$(SBINDIR)/perfd $(BINDIR)/perfctl $(DATADIR)/man/man5/perfd.conf.5 \
		$(DATADIR)/man/man8/perfd.8 $(DATADIR)/man/man1/perfctl.1 \
		$(DATADIR)/bash-completion/completions/perfctl $(DATADIR)/zsh/site-functions/_perfctl \
		$(DATADIR)/fish/vendor_completions.d/perfctl.fish $(SYSTEMD)/systemd/system/perfd.service \
		$(SYSTEMD)/sysusers.d/perfd.conf $(SYSTEMD)/tmpfiles.d/perfd.conf) \
		$(DESTDIR)$(DATADIR)/man/man1/perfctl-*.1 $(DESTDIR)$(PREFIX)/lib/perfd/libperfd-heap*.so

.PHONY: deb test-deb
# Into $(B)/deb, with every complaint of lintian's an error.
deb:
	$(say) DEB $(B)/deb
	$(Q)configs/debian/build.sh $(VERSION) $(B)/deb

# Built, installed, run, removed and purged in a clean tree: the network the first time.
test-deb:
	$(Q)B=$(B) $(PYTHON) tests/release/deb.py

# --- The rest ---------------------------------------------------------------

.PHONY: config clean help
config: $(B)/tests/test_config
	$(say) GEN configs/perfd.conf
	$(Q)$(B)/tests/test_config --template >configs/perfd.conf

clean:
	$(say) RM $(B)
	$(Q)rm -rf $(B)

help:
	@echo 'make           build $(B)/perfd and $(B)/perfctl'
	@echo 'make deps      install what is missing (Debian and its kin, as root), or name it'
	@echo 'make demo      profile redis under load: writes demo.svg and demo.folded'
	@echo 'make test      unit suites and scenarios (root; without BPF those are skipped)'
	@echo 'make unit      only the unit suites: seconds, no root'
	@echo 'make scenario  only the scenarios; make scenario ONLY=ctrl_c for one'
	@echo 'make test-kills  the worker killed 1,000 times at random under load'
	@echo 'make test-unbiased  do intervals hold the truth in 95 % of N=200 runs, rates changing?'
	@echo 'make test-kill9  perfd killed N=200 times at random under load: nothing listed is lost'
	@echo 'make test-races  REQUESTS=100000 of a user race with processes that are others'\'' a moment later'
	@echo 'make test-disk  the disk full for one minute and for three while perfd runs'
	@echo 'make soak      a mixed load for MINUTES=60: memory and descriptors stay flat'
	@echo 'make test-kernels  perfd under Debian'\''s kernels in QEMU; ONLY=sid or ONLY=bookworm/plain'
	@echo 'make test-trixie  built, and its unit suites run, with Debian 13 (debootstrap, root)'
	@echo 'make test-attach  libperfd-heap.so into programs under load, TIMES=100 times each'
	@echo 'make test-heap-truth  sampled allocations beside an exact count, SEEDS=400 runs of each tier'
	@echo 'make asan      unit suites under ASan and UBSan'
	@echo 'make fuzz      each fuzzer for FUZZ_SECONDS=$(FUZZ_SECONDS)'
	@echo 'make fuzz-campaign  the fuzzers in turns until they have run FUZZ_RUNS=10000000 inputs'
	@echo 'make check     format, tidy, include directions, ABI, tree'
	@echo 'make bench     what perfd costs and holds, to $(B)/bench/results.json: 15 minutes'
	@echo '               BASELINE=results.json compares and fails if something got worse'
	@echo 'make bench-quick  likewise in two minutes; make bench-table writes docs/benchmarks.md'
	@echo 'make bench-heap  what libperfd-heap.so costs, beside heaptrack, jemalloc and memleak'
	@echo 'make bench-memory  what the three tiers of memory cost the programs they look at'
	@echo 'make bench-unwind  how whole stacks are, and their cost, beside perf and bpftrace'
	@echo 'make symbolize-peers  names of addresses, compared with llvm-symbolizer and others'
	@echo 'make config    write configs/perfd.conf anew from the table in daemon/config.c'
	@echo 'make install   DESTDIR= PREFIX=/usr/local: programs, man pages, completions, service'
	@echo 'make deb       a Debian package in $(B)/deb, clean by lintian'
	@echo 'make test-deb  that package, installed, run, removed and purged in a clean tree (root)'
	@echo 'make uninstall the same away; settings and what perfd kept stay'
	@echo 'make clean     remove $(B)'
	@echo 'V=1 shows the commands; CC=clang compiles user space by clang.'
