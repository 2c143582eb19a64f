/* SPDX-License-Identifier: MIT */
/*
 * Loader headers and the way from each entry state to boot_start() in 64-bit mode at the link address:
 *   start32         multiboot 1 and 2, PVH: 32-bit protected mode, paging off, EAX magic, EBX information
 *   start_efi       PE entry: 64-bit, firmware's tables, RCX image handle, RDX system table (MS calling convention)
 *   start_mb2_efi   multiboot 2 entry for EFI: 64-bit, EAX magic, RBX information
 *   efi_handover    the EFI code's last step, called in the copy of the image below 4 GiB
 */
#define MB1_MAGIC       0x1badb002
#define MB1_FLAGS       0x00000003      /* modules page-aligned, memory information */
#define MB2_MAGIC       0xe85250d6
#define CR0_BOOT        0x80010033      /* PG WP NE ET MP PE; caches on */
#define MSR_EFER        0xc0000080
#define EFER_BOOT       0x00000900      /* NXE LME */
#define PTE_TABLE       0x003           /* present, writable */
#define PTE_2M          0x083
#define STACK_SIZE      0x8000
#define COM1            0x3f8
#define BOOT_MAGIC_EFI  0x20494645      /* start.h */

/* Distance from start32, whose physical address is in EBP / RBP wherever the image was put. */
#define rva(x)          ((x) - start32)

        .section .head, "a"
        .balign 4
        .long   MB1_MAGIC, MB1_FLAGS, -(MB1_MAGIC + MB1_FLAGS)

        .balign 8
mb2:    .long   MB2_MAGIC, 0, mb2_end - mb2, -(MB2_MAGIC + (mb2_end - mb2))
        .short  1, 0                    /* information we cannot do without: memory map */
        .long   16, 4, 6
        .balign 8
        .short  6, 0                    /* modules on page boundaries */
        .long   8
        .balign 8
        .short  10, 1                   /* relocatable: lowest, highest address, alignment, prefer low */
        .long   24, 0x200000, 0x7fffffff, 0x200000, 1
        .balign 8
        .short  4, 1                    /* console: EGA text will do */
        .long   12, 2
        .balign 8
        .short  5, 1                    /* or a framebuffer of any size */
        .long   20, 0, 0, 0
        .balign 8
        .short  7, 1                    /* leave EFI boot services on */
        .long   8
        .balign 8
        .short  9, 1                    /* 64-bit EFI entry */
        .long   12, start_mb2_efi_phys
        .balign 8
        .short  0, 0
        .long   8
mb2_end:

        .section .note.Xen, "a", @note
        .balign 4
        .long   4, 8, 0x12              /* XEN_ELFNOTE_PHYS32_ENTRY */
        .asciz  "Xen"
        .quad   start32_phys

        .section .text.head, "ax"
        .code32
        .globl  start32
start32:
        cli
        cld
        mov     %eax, %ecx              /* magic */
        rdtsc
        mov     %eax, %esi
        mov     %edx, %edi
        /* Where are we? There is no stack; borrow a word of the loader's information for the return address. */
        mov     4(%ebx), %eax
        lea     8(%ebx), %esp
        call    1f
1:      pop     %ebp
        mov     %eax, 4(%ebx)
        sub     $(1b - start32), %ebp
        lea     rva(boot_stack_top)(%ebp), %esp
        push    %edi                    /* frame for entered64: magic, information, tsc */
        push    %esi
        push    %ebx
        push    %ecx

        lea     rva(no_long_mode)(%ebp), %esi
        mov     $0x80000000, %eax
        cpuid
        cmp     $0x80000001, %eax
        jb      die32
        mov     $0x80000001, %eax
        cpuid
        bt      $29, %edx
        jnc     die32
        lea     rva(no_nx)(%ebp), %esi
        bt      $20, %edx
        jnc     die32

        /* Clear the tables, then: 4 GiB one to one, the image at its link address, all in 2 MiB pages. */
        lea     rva(boot_tables)(%ebp), %edi
        mov     $((boot_tables_end - boot_tables) / 4), %ecx
        xor     %eax, %eax
        rep stosl
        lea     rva(boot_pdpt_low)(%ebp), %eax
        or      $PTE_TABLE, %eax
        mov     %eax, rva(boot_pml4)(%ebp)
        lea     rva(boot_pdpt_high)(%ebp), %eax
        or      $PTE_TABLE, %eax
        mov     %eax, rva(boot_pml4) + 261 * 8(%ebp)
        lea     rva(boot_pd_high)(%ebp), %eax
        or      $PTE_TABLE, %eax
        mov     %eax, rva(boot_pdpt_high) + 321 * 8(%ebp)
        lea     rva(boot_pd_low)(%ebp), %eax
        or      $PTE_TABLE, %eax
        xor     %ecx, %ecx
1:      mov     %eax, rva(boot_pdpt_low)(%ebp, %ecx, 8)
        add     $0x1000, %eax
        inc     %ecx
        cmp     $4, %ecx
        jne     1b
        mov     $PTE_2M, %eax
        xor     %ecx, %ecx
1:      mov     %eax, rva(boot_pd_low)(%ebp, %ecx, 8)
        add     $0x200000, %eax
        inc     %ecx
        cmp     $2048, %ecx
        jne     1b
        lea     rva(_start_image)(%ebp), %eax
        or      $PTE_2M, %eax
        xor     %ecx, %ecx
1:      mov     %eax, rva(boot_pd_high)(%ebp, %ecx, 8)
        add     $0x200000, %eax
        inc     %ecx
        cmp     $8, %ecx
        jne     1b

        mov     $0x20, %eax             /* PAE, and nothing that is left from before, LA57 above all */
        mov     %eax, %cr4
        lea     rva(boot_pml4)(%ebp), %eax
        mov     %eax, %cr3
        mov     $MSR_EFER, %ecx
        rdmsr
        or      $EFER_BOOT, %eax
        wrmsr
        mov     $CR0_BOOT, %eax
        mov     %eax, %cr0
        mov     %esp, %ebx
        lea     rva(boot_gdt)(%ebp), %eax
        push    %eax
        pushw   $(boot_gdt_end - boot_gdt - 1)
        lgdt    (%esp)
        mov     %ebx, %esp
        push    $8
        lea     rva(entered64)(%ebp), %eax
        push    %eax
        lret

        /* ESI = text: tell it on the first serial port and in the corner of the screen, and stop. */
die32:  mov     $(serial_setup_end - serial_setup) / 2, %ecx
        lea     rva(serial_setup)(%ebp), %ebx
        mov     $0xb8000, %edi
1:      mov     (%ebx), %dl
        movzbl  %dl, %edx
        add     $COM1, %edx
        mov     1(%ebx), %al
        out     %al, %dx
        add     $2, %ebx
        loop    1b
        mov     $100000, %ecx
1:      mov     $COM1 + 5, %dx          /* wait for room, but not for ever */
        in      %dx, %al
        test    $0x20, %al
        loopz   1b
        mov     $100000, %ecx
        lodsb
        test    %al, %al
        jz      1f
        mov     $COM1, %dx
        out     %al, %dx
        mov     $0x0f, %ah
        stosw
        jmp     1b
1:      hlt
        jmp     1b

        .code64
        /* Still at the physical address, on the physical stack with the frame of 32-bit words. */
entered64:
        mov     $0x10, %eax
        mov     %eax, %ss
        mov     (%rsp), %r12d           /* magic */
        mov     4(%rsp), %r13d          /* information */
        mov     8(%rsp), %r14           /* TSC */
        lea     _start_image(%rip), %r15
        movabs  $high, %rax
        jmp     *%rax

        /* At the link address: R12 = magic, R13 = information, R14 = TSC, R15 = physical address of the image. */
high:   lea     boot_stack_top(%rip), %rsp
        lgdt    boot_gdtr(%rip)
        mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        xor     %eax, %eax
        mov     %eax, %fs
        mov     %eax, %gs
        push    $8
        lea     1f(%rip), %rax
        push    %rax
        lretq
1:      cmp     $BOOT_MAGIC_EFI, %r12d
        je      2f                      /* boot_info is filled, .bss was cleared by the loader */
        lea     __bss_start(%rip), %rdi
        lea     __bss_end(%rip), %rcx
        sub     %rdi, %rcx
        shr     $3, %rcx
        xor     %eax, %eax
        rep stosq
2:      mov     %r12d, %edi
        mov     %r13, %rsi
        mov     %r14, %rdx
        mov     %r15, %rcx
        xor     %ebp, %ebp
        call    boot_start
        ud2

        /* RCX = image handle, RDX = system table; RSI, RDI, RBX, RBP, R12-R15 belong to the firmware. */
        .globl  start_efi
start_efi:
        push    %rbp
        mov     %rsp, %rbp
        push    %rsi
        push    %rdi
        mov     %rcx, %rdi
        mov     %rdx, %rsi
        rdtsc
        shl     $32, %rdx
        or      %rax, %rdx
        and     $-16, %rsp              /* boot_tsc in RDX; the C code keeps RBX, RBP, R12-R15 */
        call    efi_main
        mov     -8(%rbp), %rsi
        mov     -16(%rbp), %rdi
        leave
        ret

        /* EAX = magic, EBX = information, GRUB's stack. */
        .globl  start_mb2_efi
start_mb2_efi:
        cld
        mov     %eax, %edi
        mov     %ebx, %esi
        rdtsc
        shl     $32, %rdx
        or      %rax, %rdx
        and     $-16, %rsp
        call    efi_mb2_main
1:      hlt
        jmp     1b

        /* RDI = CR3, RSI = base of the image, RDX = TSC. This code is mapped one to one by the new tables. */
        .globl  efi_handover
efi_handover:
        cli
        cld
        mov     $BOOT_MAGIC_EFI, %r12d
        xor     %r13d, %r13d
        mov     %rdx, %r14
        mov     %rsi, %r15
        mov     %cr4, %rax
        and     $~0x820080, %rax        /* PGE, PCIDE: no translation of the firmware's survives; CET: nor its stacks */
        mov     %rax, %cr4
        bt      $12, %rax               /* LA57 */
        jc      leave_la57
        movabs  $high, %rax
        mov     %rdi, %cr3
        jmp     *%rax

        /*
         * The firmware uses 5-level tables. Only with paging off can that be changed (APM 2, 5.3.1; SDM 3A, 2.5), and
         * paging only be switched off by 32-bit code below 4 GiB: in the copy of the image. First 5-level tables of our
         * own, so that it is mapped and may be executed; their only entry leads to the 4-level ones.
         */
leave_la57:
        lea     start32(%rip), %rbx
        lea     _start_image(%rip), %rcx
        sub     %rcx, %rbx
        add     %rsi, %rbx              /* start32 in the copy */
        mov     %r14d, %ebp             /* TSC in EDX:EBP, R8-R15 do not survive */
        mov     %r14, %rdx
        shr     $32, %rdx
        lea     rva(boot_stack_top)(%rbx), %rsp
        lea     rva(boot_gdt)(%rbx), %rax
        push    %rax
        pushw   $(boot_gdt_end - boot_gdt - 1)
        lgdt    (%rsp)
        add     $10, %rsp
        lea     rva(boot_pml5)(%rbx), %rax
        mov     %rax, %cr3
        push    $0x18
        lea     rva(1f)(%rbx), %rax
        push    %rax
        lretq
        .code32
1:      mov     $0x10, %eax
        mov     %eax, %ss
        mov     %cr0, %eax
        and     $0x7fffffff, %eax       /* PG */
        mov     %eax, %cr0
        mov     $0x20, %eax             /* PAE */
        mov     %eax, %cr4
        mov     %edi, %cr3
        mov     $CR0_BOOT, %eax         /* EFER.LME is still set */
        mov     %eax, %cr0
        push    $8
        lea     rva(1f)(%ebx), %eax
        push    %eax
        lret
        .code64
1:      shl     $32, %rdx
        mov     %ebp, %r14d
        or      %rdx, %r14
        mov     %esi, %r15d
        mov     $BOOT_MAGIC_EFI, %r12d
        xor     %r13d, %r13d
        movabs  $high, %rax
        jmp     *%rax

        /* void image_move(void *to, const void *from, size_t len, u64 cr3): copy the image, this stack with it, and
         * go on in the copy: nothing may be written between the two. */
        .globl  image_move
image_move:
        mov     %rcx, %rax
        mov     %rdx, %rcx
        shr     $3, %rcx
        rep movsq
        mov     %rax, %cr3
        ret

        .section .rodata.head, "a"
        .balign 8
boot_gdt:
        .quad   0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff
boot_gdt_end:
boot_gdtr:
        .short  boot_gdt_end - boot_gdt - 1
        .quad   boot_gdt
        /* Register, value: 115200 baud, 8n1, FIFO on, RTS and DTR. */
serial_setup:
        .byte   1, 0, 3, 0x80, 0, 1, 1, 0, 3, 3, 2, 7, 4, 3
serial_setup_end:
no_long_mode:
        .asciz  "(XEN) Helium: this CPU has no 64-bit mode (long mode); a 64-bit processor is needed. Stopped.\r\n"
no_nx:  .ascii  "(XEN) Helium: this CPU has no NX (execute disable), or the firmware hides it: "
        .asciz  "enable it there. Stopped.\r\n"

        .section .boot_nobits, "aw", @nobits
        .balign 4096
        .globl  boot_stack, boot_stack_top
        .skip   4096                    /* guard: unmapped by hostmap_init() */
boot_stack:
        .skip   STACK_SIZE
boot_stack_top:
        .globl  boot_tables, boot_tables_end, boot_pml4, boot_pdpt_low, boot_pdpt_high, boot_pd_low, boot_pd_high
        .globl  boot_pml5
boot_tables:
boot_pml4:
        .skip   4096
boot_pdpt_low:
        .skip   4096
boot_pdpt_high:
        .skip   4096
boot_pd_low:
        .skip   4 * 4096
boot_pd_high:
        .skip   4096
boot_pml5:                              /* only while 5-level tables of a firmware are left */
        .skip   4096
boot_tables_end:

        .section .note.GNU-stack, "", @progbits
