# SPDX-License-Identifier: MIT
# Fuzz targets: build/fuzz/fuzz_<name> from test/fuzz/fuzz_<name>.c over the hosted core, built by clang. fuzz_call is
# one program with a name for each family of hypercalls.
FZ := $(B)/fuzz
CLANG ?= clang
# Rows leave out trailing fields that are zero.
CLANG_WARN := $(WARN) -Wno-missing-field-initializers
FZFLAGS := $(filter-out $(WARN),$(CFLAGS)) $(CLANG_WARN) -O1 -DHOSTED -Itest/fake -Itest/fuzz -I$(FZ) -fno-omit-frame-pointer -pthread \
	-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
# Variables of the core and the fake machine, in sections of their own: test/fuzz/rewind.c puts them back.
WORLD_VARS := $(foreach s,data bss,--rename-section .$(s)=world_$(s))
FZOBJ := $(patsubst %.c,$(FZ)/obj/%.o,$(HSRC))
FZCALLS := $(addprefix $(FZ)/fuzz_call-,all memory_op gnttab_op evtchn_op domctl sysctl platform_op vcpu_op sched_op hvm_op \
	physdev_op xen_version)
FZPROGS := $(patsubst test/fuzz/%.c,$(FZ)/%,$(filter-out test/fuzz/fuzz_call.c $(if $(HAVE_LOADER),,test/fuzz/fuzz_kernel.c),$(wildcard test/fuzz/fuzz_*.c))) $(FZCALLS)
MSUNIT := $(addprefix $(B)/unit/msan_,test_version test_domctl test_sysctl test_hvmctx test_hvmop)
# What runs over all memory at each audit and each end of a domain tells the fuzzer no compares (half of the time
# otherwise); what is not the product tells it nothing.
$(FZ)/obj/src/mm/%.o $(FZ)/obj/src/sync/%.o $(FZ)/obj/src/time/%.o: FZFLAGS += -fno-sanitize-coverage=trace-cmp
$(FZ)/obj/test/fake/mm_audit.o: FZFLAGS += -fno-sanitize=address,undefined
$(FZ)/obj/test/fake/%.o $(FZ)/obj/test/fuzz/world.o $(FZ)/obj/test/fuzz/rewind.o: FZFLAGS += -fno-sanitize=fuzzer-no-link -O2
.PHONY: fuzz fuzz-programs
fuzz-programs: $(FZPROGS) $(FZ)/fuzz_call-msan $(MSUNIT)
$(FZ)/obj/%.o: %.c Makefile test/fuzz/fuzz.mk
	@mkdir -p $(@D)
	$(call say,FZCC)
	$(Q)$(CLANG) $(FZFLAGS) -c $< -o $@
	$(if $(filter $@,$(filter-out %/interleave.o %/interleave_explore.o,$(FZOBJ))),$(Q)objcopy $(WORLD_VARS) $@)
$(FZ)/libcore.a: $(FZOBJ)
	$(call say,AR)
	$(Q)rm -f $@; ar rcs $@ $^
$(FZ)/ops.h: $(B)/xen-syms tools/fuzzops.py tools/gendoc.py
	@mkdir -p $(@D)
	$(Q)PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tools/fuzzops.py $< > $@.new && { cmp -s $@.new $@ || mv $@.new $@; }
$(FZ)/obj/test/fuzz/fuzz_call.o: $(FZ)/ops.h
FZCOMMON := $(FZ)/obj/test/fuzz/main.o $(FZ)/obj/test/fuzz/world.o $(FZ)/obj/test/fuzz/rewind.o
$(FZ)/fuzz_%: $(FZ)/obj/test/fuzz/fuzz_%.o $(FZCOMMON) $(FZ)/libcore.a
	$(call say,FUZZ)
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined -pthread -Wl,--wrap=kzalloc,--wrap=kfree,--wrap=platform_set_processor_pminfo $(filter %.o,$^) $(FZ)/libcore.a -o $@ $(FZLIBS)
$(FZ)/fuzz_decode: FZLIBS := $(if $(wildcard /usr/include/Zydis/Zydis.h),-lZydis)
$(FZ)/fuzz_kernel: FZLIBS := -llzma -lzstd -lz -llz4 -lbz2
$(FZCALLS): $(FZ)/fuzz_call
	$(Q)ln -sf fuzz_call $@
# The same core under the memory sanitizer: fuzz_call-msan, and the hosted tests whose hypercalls answer a lot.
MS := $(B)/msan
MSFLAGS := $(filter-out -fsanitize% -fno-sanitize%,$(FZFLAGS)) -fsanitize=fuzzer-no-link,memory -fsanitize-memory-track-origins=2
MSOBJ := $(patsubst %.c,$(MS)/%.o,$(HSRC))
MSCALL := $(addprefix $(MS)/test/fuzz/,fuzz_call.o main.o world.o rewind.o)
$(MS)/%.o: %.c Makefile test/fuzz/fuzz.mk
	@mkdir -p $(@D)
	$(call say,MSCC)
	$(Q)$(CLANG) $(MSFLAGS) -c $< -o $@
	$(if $(filter $@,$(filter-out %/interleave.o %/interleave_explore.o,$(MSOBJ))),$(Q)objcopy $(WORLD_VARS) $@)
$(MS)/test/fuzz/fuzz_call.o: $(FZ)/ops.h
$(MS)/libcore.a: $(MSOBJ)
	$(Q)rm -f $@; ar rcs $@ $^
$(FZ)/fuzz_call-msan: $(MSCALL) $(MS)/libcore.a
	$(call say,FUZZ)
	$(Q)$(CLANG) -fsanitize=fuzzer,memory -pthread -Wl,--wrap=kzalloc,--wrap=kfree,--wrap=platform_set_processor_pminfo $^ -o $@
$(MSUNIT): $(B)/unit/msan_%: $(MS)/test/unit/%.o $(MS)/libcore.a
	@mkdir -p $(@D)
	$(call say,TEST)
	$(Q)$(CLANG) -fsanitize=memory -pthread $^ -o $@ -lcmocka
.PRECIOUS: $(FZ)/obj/%.o $(MS)/%.o
# Long run: make fuzz [TIME=seconds for each target] [TARGET=part of a name]. The corpus stays in build/fuzz/corpus.
TIME ?= 600
fuzz: all fuzz-programs
	$(Q)test/fuzz/fuzz.py --time $(TIME) $(if $(TARGET),-k $(TARGET))
