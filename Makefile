# SPDX-License-Identifier: MIT
# Helium. `make` builds build/xen, build/xen.gz and build/xen.efi; `make test` and `make run` do the rest (README).
B ?= build
CC ?= gcc
PYTHON ?= python3
WARN := -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wno-unused-parameter -Wvla
CFLAGS := -std=gnu11 -O2 -g $(WARN) -Isrc -MMD -MP -fno-strict-aliasing -fno-common
# The image runs at a fixed virtual address far from the top 2 GiB: position-independent, everything hidden.
BARE := $(CFLAGS) -ffreestanding -fpie -fvisibility=hidden -mno-red-zone -mgeneral-regs-only -fno-stack-clash-protection \
	-fstack-protector-strong -mstack-protector-guard=global -fcf-protection=none -fno-asynchronous-unwind-tables \
	-fno-omit-frame-pointer -ffunction-sections -fdata-sections
ASFLAGS := -Isrc -MMD -MP -D__ASSEMBLY__ -fpie

DIRS := lib sync cpu mm irq time acpi pci iommu dom sched evtchn gnttab call hvm hvm/svm debug boot
CSRC := $(foreach d,$(DIRS),$(wildcard src/$(d)/*.c))
SSRC := $(foreach d,$(DIRS),$(wildcard src/$(d)/*.S))
OBJ := $(patsubst src/%.c,$(B)/bare/%.o,$(CSRC)) $(patsubst src/%.S,$(B)/bare/%.S.o,$(SSRC))

.PHONY: all clean unit compile test test-all run setup images
all: $(B)/xen.gz $(B)/xen.efi

$(B)/bare/%.o: src/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(BARE) -c $< -o $@
$(B)/bare/%.S.o: src/%.S Makefile
	@mkdir -p $(@D)
	$(CC) $(ASFLAGS) -c $< -o $@
# Compile every source without linking.
compile: $(OBJ)

# Two passes, so that the second contains the first one's symbol table.
LDFLAGS := -nostdlib -static -Wl,-T,src/boot/xen.lds -Wl,--build-id=sha1 -Wl,--gc-sections -Wl,-z,max-page-size=4096 -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments
$(B)/xen-syms.1: $(OBJ) src/boot/xen.lds tools/mksyms.py
	$(PYTHON) tools/mksyms.py /dev/null > $(B)/syms.0.S
	$(CC) $(ASFLAGS) -c $(B)/syms.0.S -o $(B)/syms.0.o
	$(CC) $(LDFLAGS) $(OBJ) $(B)/syms.0.o -o $@
$(B)/xen-syms: $(B)/xen-syms.1
	$(PYTHON) tools/mksyms.py $(B)/xen-syms.1 > $(B)/syms.1.S
	$(CC) $(ASFLAGS) -c $(B)/syms.1.S -o $(B)/syms.1.o
	$(CC) $(LDFLAGS) $(OBJ) $(B)/syms.1.o -o $(B)/xen-syms.2
	$(PYTHON) tools/mksyms.py $(B)/xen-syms.2 > $(B)/syms.2.S
	$(CC) $(ASFLAGS) -c $(B)/syms.2.S -o $(B)/syms.2.o
	$(CC) $(LDFLAGS) $(OBJ) $(B)/syms.2.o -o $@
$(B)/xen: $(B)/xen-syms tools/mkimage.py
	$(PYTHON) tools/mkimage.py elf32 $< $@
$(B)/xen.gz: $(B)/xen
	gzip -9nc $< > $@
$(B)/xen.efi: $(B)/xen-syms tools/mkimage.py
	$(PYTHON) tools/mkimage.py efi $< $@

# ---- hosted build: core modules in a process, with the fake machine of test/fake, under ASan and UBSan ----
HDIRS := sync mm dom sched evtchn gnttab call hvm
HSRC := $(filter-out $(HOSTED_EXCLUDE),$(foreach d,$(HDIRS),$(wildcard src/$(d)/*.c))) $(wildcard src/time/timer.c src/lib/parse.c \
	src/boot/cmdline.c src/boot/multiboot.c src/boot/xencfg.c src/acpi/*.c src/pci/*.c src/iommu/*.c) $(wildcard test/fake/*.c)
HOSTED_EXCLUDE := src/mm/hostmap.c
HFLAGS := $(CFLAGS) -O1 -DHOSTED -Itest/fake -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -pthread
HOBJ := $(patsubst %.c,$(B)/hosted/%.o,$(HSRC))
UNIT := $(patsubst test/unit/%.c,$(B)/unit/%,$(wildcard test/unit/test_*.c))
$(B)/hosted/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(HFLAGS) -c $< -o $@
$(B)/hosted/libcore.a: $(HOBJ)
	rm -f $@; ar rcs $@ $^
$(B)/unit/%: test/unit/%.c $(B)/hosted/libcore.a
	@mkdir -p $(@D)
	$(CC) $(HFLAGS) $< -o $@ $(B)/hosted/libcore.a -lcmocka
unit: $(UNIT)
	@for t in $(UNIT); do echo "== $$t"; $$t || exit 1; done

# ---- the two commands ----
setup:
	@tools/setup.sh
images: setup
	@tools/build-images.sh
# A recursive make, so that nothing is decided before the tools are installed.
test: setup images
	@$(MAKE) --no-print-directory -j2 all unit-programs guests
	@test/run.py
test-all: setup images
	@$(MAKE) --no-print-directory -j2 all unit-programs guests
	@test/run.py --all
run: setup images
	@$(MAKE) --no-print-directory -j2 all
	@/usr/bin/python3 tools/run.py
unit-programs: $(UNIT)

clean:
	rm -rf $(B)
-include $(shell find $(B) -name '*.d' 2>/dev/null)
