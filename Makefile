# perfd: build, test, check. `make help` lists the targets.
V ?= 0
ifeq ($(V),0)
Q := @
say = @printf '  %-8s %s\n'
else
Q :=
say = @:
endif

B ?= build
CC ?= gcc
CLANG ?= clang
BPFTOOL ?= $(or $(shell command -v bpftool 2>/dev/null),/usr/sbin/bpftool)
VERSION := 0.1.0

CSTD := -std=gnu17
WARN := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wmissing-prototypes -Wpointer-arith
CPPFLAGS += -I. -I$(B)/gen -D_GNU_SOURCE -DPERFD_VERSION='"$(VERSION)"'
CFLAGS ?= -O2 -g
ALL_CFLAGS = $(CSTD) $(WARN) -fno-omit-frame-pointer $(CFLAGS)
LIBS := -lbpf -lelf -levent_core -ljansson -lxxhash -lseccomp -lcap -lz

BASE_SRC := $(wildcard daemon/base/*.c)
SYM_SRC := $(wildcard symbolizer/*.c)
FG_SRC := $(wildcard flamegraph/*.c)
DAEMON_SRC := $(filter-out daemon/perfd.c daemon/perfctl.c,$(wildcard daemon/*.c))
LIB_SRC := $(BASE_SRC) $(SYM_SRC) $(FG_SRC) $(DAEMON_SRC)
LIB_OBJ := $(LIB_SRC:%.c=$(B)/obj/%.o)
BPF_SRC := $(wildcard bpf/*.bpf.c)
SKELS := $(BPF_SRC:bpf/%.bpf.c=$(B)/gen/%.skel.h)

.PHONY: all clean
all: $(B)/perfd $(B)/perfctl

$(B)/gen/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h)
	$(say) BPF $<
	@mkdir -p $(@D)
	$(Q)$(CLANG) -O2 -g -target bpf -mcpu=v3 -D__TARGET_ARCH_x86 -Wall -Wextra -I. \
		-I/usr/include/$(shell $(CC) -print-multiarch 2>/dev/null || echo x86_64-linux-gnu) -c $< -o $@

$(B)/gen/%.skel.h: $(B)/gen/%.bpf.o
	$(say) SKEL $@
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf > $@.tmp && mv $@.tmp $@

$(B)/obj/%.o: %.c | $(SKELS)
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(B)/libperfd.a: $(LIB_OBJ)
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(B)/perfd $(B)/perfctl: $(B)/%: $(B)/obj/daemon/%.o $(B)/libperfd.a
	$(say) LD $@
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $^ -o $@ $(LIBS)

clean:
	rm -rf $(B)

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
