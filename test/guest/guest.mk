# SPDX-License-Identifier: MIT
# Own test kernels: build/guest/<name>.elf from test/guest/<name>.c and test/guest/lib. 64-bit, PVH entry; they run as
# dom0 (-initrd of QEMU's multiboot) or as a PVH guest (kernel= of xl).
GUESTS := $(patsubst test/guest/%.c,$(B)/guest/%.elf,$(wildcard test/guest/*.c))
GUEST_LIB := $(patsubst test/guest/lib/%,$(B)/guest/lib/%.o,$(wildcard test/guest/lib/*.c test/guest/lib/*.S))
GFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -Wno-unused-parameter -ffreestanding -fno-pie -fno-pic -mno-red-zone -mgeneral-regs-only \
	-fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables -mcmodel=small -Itest/guest/lib -Isrc -MMD -MP
.PHONY: guests
guests: $(GUESTS)
$(B)/guest/lib/%.o: test/guest/lib/%
	@mkdir -p $(@D)
	$(Q)$(CC) $(GFLAGS) -D$(if $(filter %.S,$<),__ASSEMBLY__,GUEST) -c $< -o $@
$(B)/guest/%.o: test/guest/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(GFLAGS) -c $< -o $@
$(B)/guest/%.elf: $(B)/guest/%.o $(GUEST_LIB) test/guest/lib/guest.lds
	$(call say,GUEST)
	$(Q)$(CC) -nostdlib -static -no-pie -Wl,-T,test/guest/lib/guest.lds -Wl,--build-id=none -Wl,-z,noexecstack \
		-Wl,--no-warn-rwx-segments $< $(GUEST_LIB) -o $@
.PRECIOUS: $(B)/guest/%.o $(B)/guest/lib/%.o
