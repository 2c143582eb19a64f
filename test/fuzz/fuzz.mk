# SPDX-License-Identifier: MIT
# Fuzz targets: build/fuzz/fuzz_<name> from test/fuzz/fuzz_<name>.c over the hosted core, built by clang. fuzz_call is
# one program with a name for each family of hypercalls.
FZ := $(B)/fuzz
CLANG ?= clang
# Rows leave out trailing fields that are zero.
CLANG_WARN := $(WARN) -Wno-missing-field-initializers
FZFLAGS := $(filter-out $(WARN),$(CFLAGS)) $(CLANG_WARN) -O1 -DHOSTED -Itest/fake -Itest/fuzz -I$(FZ) -fno-omit-frame-pointer -pthread \
	-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
FZOBJ := $(patsubst %.c,$(FZ)/obj/%.o,$(HSRC))
FZCALLS := $(addprefix $(FZ)/fuzz_call-,all memory_op gnttab_op evtchn_op domctl sysctl platform_op vcpu_op sched_op hvm_op \
	physdev_op xen_version)
FZPROGS := $(patsubst test/fuzz/%.c,$(FZ)/%,$(filter-out test/fuzz/fuzz_call.c $(if $(HAVE_LOADER),,test/fuzz/fuzz_kernel.c),$(wildcard test/fuzz/fuzz_*.c))) $(FZCALLS)
.PHONY: fuzz fuzz-programs
fuzz-programs: $(FZPROGS)
$(FZ)/obj/%.o: %.c Makefile test/fuzz/fuzz.mk
	@mkdir -p $(@D)
	$(call say,FZCC)
	$(Q)$(CLANG) $(FZFLAGS) -c $< -o $@
$(FZ)/libcore.a: $(FZOBJ)
	$(call say,AR)
	$(Q)rm -f $@; ar rcs $@ $^
$(FZ)/ops.h: $(B)/xen-syms tools/fuzzops.py tools/gendoc.py
	@mkdir -p $(@D)
	$(Q)PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tools/fuzzops.py $< > $@.new && { cmp -s $@.new $@ || mv $@.new $@; }
$(FZ)/obj/test/fuzz/fuzz_call.o: $(FZ)/ops.h
FZCOMMON := $(FZ)/obj/test/fuzz/main.o $(FZ)/obj/test/fuzz/world.o
$(FZ)/fuzz_%: $(FZ)/obj/test/fuzz/fuzz_%.o $(FZCOMMON) $(FZ)/libcore.a
	$(call say,FUZZ)
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined -pthread -Wl,--wrap=kzalloc,--wrap=kfree,--wrap=platform_set_processor_pminfo $(filter %.o,$^) $(FZ)/libcore.a -o $@ $(FZLIBS)
$(FZ)/fuzz_decode: FZLIBS := $(if $(wildcard /usr/include/Zydis/Zydis.h),-lZydis)
$(FZ)/fuzz_kernel: FZLIBS := -llzma -lzstd -lz -llz4 -lbz2
$(FZCALLS): $(FZ)/fuzz_call
	$(Q)ln -sf fuzz_call $@
.PRECIOUS: $(FZ)/obj/%.o
# Long run: make fuzz [TIME=seconds for each target] [TARGET=part of a name]. The corpus stays in build/fuzz/corpus.
TIME ?= 600
fuzz: all fuzz-programs
	$(Q)test/fuzz/fuzz.py --time $(TIME) $(if $(TARGET),-k $(TARGET))
