# SPDX-License-Identifier: MIT
# Helium. `make` builds build/xen, build/xen.gz and build/xen.efi; `make test` and `make run` do the rest (README).
B ?= build
CC ?= gcc
PYTHON ?= python3
# V=1 shows the commands.
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $@)
WARN := -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wno-unused-parameter -Wvla
CFLAGS := -std=gnu11 -O2 -g $(WARN) -Isrc -MMD -MP -fno-strict-aliasing -fno-common
# The image runs at a fixed virtual address far from the top 2 GiB: position-independent, everything hidden.
BARE := $(CFLAGS) -ffreestanding -fpie -fvisibility=hidden -mno-red-zone -mgeneral-regs-only -fno-stack-clash-protection \
	-fstack-protector-strong -mstack-protector-guard=global -fcf-protection=none -fno-asynchronous-unwind-tables \
	-fno-omit-frame-pointer -ffunction-sections -fdata-sections \
	-mindirect-branch=thunk-extern -mindirect-branch-register -mharden-sls=all -DRETPOLINE
ASFLAGS := -Isrc -MMD -MP -D__ASSEMBLY__ -fpie

DIRS := lib sync cpu mm irq time acpi pci iommu dom sched evtchn gnttab call hvm hvm/svm debug boot
CSRC := $(foreach d,$(DIRS),$(wildcard src/$(d)/*.c))
SSRC := $(foreach d,$(DIRS),$(wildcard src/$(d)/*.S))
OBJ := $(patsubst src/%.c,$(B)/bare/%.o,$(CSRC)) $(patsubst src/%.S,$(B)/bare/%.S.o,$(SSRC))

.PHONY: all clean unit hosted-flags compile test test-all run setup images bench doc
all: $(B)/xen.gz $(B)/xen.efi

$(B)/bare/%.o: src/%.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(BARE) -c $< -o $@
$(B)/bare/%.S.o: src/%.S Makefile
	@mkdir -p $(@D)
	$(call say,AS)
	$(Q)$(CC) $(ASFLAGS) -c $< -o $@
# Compile every source without linking.
compile: $(OBJ)

# ---- the in-guest dom0 loader: a flat image linked from the distribution's static decompressors; left out (empty)
# if they are not installed: liblzma-dev libzstd-dev zlib1g-dev liblz4-dev libbz2-dev ----
LOADER_LIBS := $(foreach l,lzma zstd z lz4 bz2,$(wildcard $(shell $(CC) -print-file-name=lib$(l).a 2>/dev/null)))
HAVE_LOADER := $(filter 5,$(words $(LOADER_LIBS)))
LOADER_CFLAGS := $(CFLAGS) -Iloader -ffreestanding -fno-builtin -fpie -fvisibility=hidden -fno-stack-protector \
	-fcf-protection=none -fno-asynchronous-unwind-tables -ffunction-sections -fdata-sections
LOADER_OBJ := $(B)/loader/start.S.o $(patsubst loader/%.c,$(B)/loader/%.o,$(wildcard loader/*.c)) $(B)/loader/elf.o
$(B)/loader/%.o: loader/%.c Makefile
	@mkdir -p $(@D)
	$(Q)$(CC) $(LOADER_CFLAGS) -c $< -o $@
$(B)/loader/elf.o: src/lib/elf.c Makefile
	@mkdir -p $(@D)
	$(Q)$(CC) $(LOADER_CFLAGS) -c $< -o $@
$(B)/loader/start.S.o: loader/start.S Makefile
	@mkdir -p $(@D)
	$(call say,AS)
	$(Q)$(CC) $(ASFLAGS) -c $< -o $@
$(B)/loader/loader.elf: $(LOADER_OBJ) loader/loader.lds
	$(Q)$(CC) -nostdlib -static -no-pie -Wl,-T,loader/loader.lds -Wl,--gc-sections,--no-relax,--build-id=none \
	-Wl,-z,noexecstack -Wl,--no-warn-rwx-segments $(LOADER_OBJ) $(LOADER_LIBS) -o $@
ifeq ($(HAVE_LOADER),5)
$(B)/loader/loader.bin: $(B)/loader/loader.elf
	$(Q)objcopy -O binary $< $@
else
$(B)/loader/loader.bin:
	@mkdir -p $(@D)
	@echo "note: static decompression libraries are missing: this build cannot start compressed dom0 kernels"
	$(Q): > $@
endif
$(B)/bare/dom/dom0_blob.S.o: $(B)/loader/loader.bin
$(B)/bare/dom/dom0_blob.S.o: ASFLAGS += -Wa,-I$(B)/loader

# Two passes, so that the second contains the first one's symbol table.
LDFLAGS := -nostdlib -static -Wl,-T,src/boot/xen.lds -Wl,--build-id=sha1 -Wl,--gc-sections -Wl,-z,max-page-size=4096 -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments
$(B)/xen-syms.1: $(OBJ) src/boot/xen.lds tools/mksyms.py
	$(Q)$(PYTHON) tools/mksyms.py /dev/null > $(B)/syms.0.S
	$(Q)$(CC) $(ASFLAGS) -c $(B)/syms.0.S -o $(B)/syms.0.o
	$(Q)$(CC) $(LDFLAGS) $(OBJ) $(B)/syms.0.o -o $@
$(B)/xen-syms: $(B)/xen-syms.1
	$(Q)$(PYTHON) tools/mksyms.py $(B)/xen-syms.1 > $(B)/syms.1.S
	$(Q)$(CC) $(ASFLAGS) -c $(B)/syms.1.S -o $(B)/syms.1.o
	$(Q)$(CC) $(LDFLAGS) $(OBJ) $(B)/syms.1.o -o $(B)/xen-syms.2
	$(Q)$(PYTHON) tools/mksyms.py $(B)/xen-syms.2 > $(B)/syms.2.S
	$(Q)$(CC) $(ASFLAGS) -c $(B)/syms.2.S -o $(B)/syms.2.o
	$(Q)$(CC) $(LDFLAGS) $(OBJ) $(B)/syms.2.o -o $@
$(B)/xen: $(B)/xen-syms tools/mkimage.py
	$(call say,IMAGE)
	$(Q)$(PYTHON) tools/mkimage.py elf32 $< $@
$(B)/xen.gz: $(B)/xen
	$(call say,GZIP)
	$(Q)gzip -9nc $< > $@
$(B)/xen.efi: $(B)/xen-syms tools/mkimage.py
	$(call say,IMAGE)
	$(Q)$(PYTHON) tools/mkimage.py efi $< $@

# ---- hosted build: core modules in a process, with the fake machine of test/fake, under ASan and UBSan ----
HOSTED_EXCLUDE := src/mm/hostmap.c
HDIRS := sync mm dom sched evtchn gnttab call hvm
HSRC := $(filter-out $(HOSTED_EXCLUDE),$(foreach d,$(HDIRS),$(wildcard src/$(d)/*.c))) $(wildcard src/time/timer.c src/lib/parse.c src/lib/elf.c \
	src/boot/cmdline.c src/boot/multiboot.c src/boot/xencfg.c src/boot/memmap.c src/acpi/*.c src/pci/*.c src/iommu/*.c) $(wildcard test/fake/*.c)
HFLAGS := $(CFLAGS) -O1 -DHOSTED -Itest/fake -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -pthread
HOBJ := $(patsubst %.c,$(B)/hosted/%.o,$(HSRC))
UNIT := $(patsubst test/unit/%.c,$(B)/unit/%,$(filter-out $(if $(HAVE_LOADER),,test/unit/test_loader.c),$(wildcard test/unit/test_*.c)))
$(B)/hosted/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,HCC)
	$(Q)$(CC) $(HFLAGS) -c $< -o $@
$(B)/hosted/libcore.a: $(HOBJ)
	$(call say,AR)
	$(Q)rm -f $@; ar rcs $@ $^
$(B)/unit/%: test/unit/%.c $(B)/hosted/libcore.a
	@mkdir -p $(@D)
	$(call say,TEST)
	$(Q)$(CC) $(HFLAGS) -I$(B)/fuzz $< -o $@ $(B)/hosted/libcore.a -lcmocka $(UNIT_LIBS)
# It looks whether every row of the operation tables has a case.
$(B)/unit/test_fault_calls: $(B)/fuzz/ops.h
# Exhaustive checks of small arithmetic (test/proofs); the Spin models there are run by spin.py.
PROOFS := $(patsubst test/proofs/%.c,$(B)/unit/%,$(wildcard test/proofs/*.c))
UNIT += $(PROOFS)
$(PROOFS): $(B)/unit/%: test/proofs/%.c $(B)/hosted/libcore.a
	@mkdir -p $(@D)
	$(call say,PROOF)
	$(Q)$(CC) $(HFLAGS) $< -o $@ $(B)/hosted/libcore.a -lcmocka
# The AMD back end is linked by its own tests; all others have the fake one.
SVM_OBJ := $(patsubst %.c,$(B)/hosted/%.o,$(wildcard src/hvm/svm/*.c))
SVM_TESTS := $(filter $(B)/unit/test_svm%,$(UNIT))
$(SVM_TESTS): $(SVM_OBJ)
$(SVM_TESTS): UNIT_LIBS := $(SVM_OBJ) $(B)/hosted/libcore.a
$(B)/unit/test_emulate_oracles: UNIT_LIBS := $(if $(wildcard /usr/include/Zydis/Zydis.h),-lZydis)
$(B)/unit/test_loader: UNIT_LIBS := -llzma -lzstd -lz -llz4 -lbz2
# For test/mutations.
hosted-flags:
	@echo $(CC) $(HFLAGS) -I$(B)/fuzz
unit: $(UNIT)
	@for t in $(UNIT); do echo "== $$t"; $$t || exit 1; done

include test/guest/guest.mk
include test/fuzz/fuzz.mk

# ---- generated documents; test/boot/test_docs.py fails when one is out of date ----
doc: $(B)/xen-syms
	$(Q)$(PYTHON) tools/gendoc.py $<
	$(Q)$(PYTHON) tools/xsa.py

# ---- the two commands ----
setup:
	@tools/setup.sh
images: setup
	@tools/build-images.sh
# A recursive make, so that nothing is decided before the tools are installed.
test: setup images
	@$(MAKE) -s --no-print-directory -j2 all unit-programs guests fuzz-programs
	@test/run.py
test-all: setup images
	@$(MAKE) -s --no-print-directory -j2 all unit-programs guests fuzz-programs
	@test/run.py --all
run: setup images
	@$(MAKE) -s --no-print-directory -j2 all
	@/usr/bin/python3 tools/run.py $(ARGS)
# Helium beside Debian's own Xen: writes doc/performance.md. On two idle cores a quarter of an hour.
bench: setup images
	@$(MAKE) --no-print-directory -j2 all guests
	@/usr/bin/python3 tools/bench.py
unit-programs: $(UNIT)
lint:
	@tools/lint.py --all
# What the tests execute, hosted and booted: writes doc/security/assurance.md. Some ten minutes.
coverage: all guests
	@/usr/bin/python3 tools/coverage.py
.PHONY: lint coverage

clean:
	$(Q)rm -rf $(B)
-include $(shell find $(B) -name '*.d' 2>/dev/null)
