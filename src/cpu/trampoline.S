/* SPDX-License-Identifier: MIT */
/*
 * First instructions of an application processor (SDM vol. 3, 9.4.4): real mode, in a page below 1 MiB that smp.c
 * copies this to and patches. Goes to 64-bit mode on boot_cr3 (identity plus image) and from there into the image.
 * EBX holds the linear address of the copy throughout.
 */
#define R(label) ((label) - trampoline_start)

    .section .rodata.trampoline, "a", @progbits
    .globl trampoline_start, trampoline_end, trampoline_gdtr, trampoline_gdt, trampoline_far32, trampoline_far64
    .globl trampoline_t32, trampoline_t64, trampoline_cr3, trampoline_entry
    .balign 16
    .code16
trampoline_start:
    cli
    cld
    xor %ebx, %ebx
    mov %cs, %bx
    mov %bx, %ds
    shl $4, %ebx
    lgdtl R(trampoline_gdtr)
    mov $1, %eax                        /* PE; CD and NW go off */
    mov %eax, %cr0
    ljmpl *R(trampoline_far32)

    .code32
trampoline_t32:
    mov $0x18, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $0x20, %eax                     /* CR4.PAE */
    mov %eax, %cr4
    mov R(trampoline_cr3)(%ebx), %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx               /* EFER.LME and NXE: the final tables use NX */
    rdmsr
    or $0x900, %eax
    wrmsr
    mov $0x80010001, %eax               /* PG, WP, PE */
    mov %eax, %cr0
    ljmpl *R(trampoline_far64)(%ebx)

    .code64
trampoline_t64:
    mov R(trampoline_entry)(%rbx), %rax
    jmp *%rax

    .balign 8
trampoline_gdt:
    .quad 0
    .quad 0x00af9b000000ffff            /* 0x08 64-bit code */
    .quad 0x00cf9b000000ffff            /* 0x10 32-bit code */
    .quad 0x00cf93000000ffff            /* 0x18 data */
trampoline_entry:
    .quad 0
trampoline_cr3:
    .long 0
trampoline_far32:
    .long 0                             /* linear address of trampoline_t32 */
    .word 0x10
    .word 0
trampoline_far64:
    .long 0
    .word 0x08
trampoline_gdtr:
    .word 4 * 8 - 1
    .long 0                             /* linear address of trampoline_gdt */
trampoline_end:
    .section .note.GNU-stack, "", @progbits
