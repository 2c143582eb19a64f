/* SPDX-License-Identifier: MIT */
/* Start of another vCPU: copied to 0x8000, entered in real mode by SIPI 8. */
#define AT(sym) (0x8000 + (sym) - ap_begin)
    .section .rodata
    .globl ap_begin, ap_end, ap_stack, ap_fn
    .code16
ap_begin:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    lgdtl AT(ap_gdt_ptr)
    movl %cr0, %eax
    orl $1, %eax
    lmsw %ax
    ljmpl $0x28, $AT(ap32)
    .code32
ap32:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl $0x20, %eax
    movl %eax, %cr4
    movl $pml4, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x101, %eax
    wrmsr
    movl $0x80010033, %eax
    movl %eax, %cr0
    ljmpl $0x08, $AT(ap64)
    .code64
ap64:
    movq AT(ap_stack), %rsp
    movq AT(ap_fn), %rax
    call *%rax
1:  cli
    hlt
    jmp 1b
    .balign 8
ap_gdt_ptr:
    .word 8 * 8 - 1
    .long gdt
    .balign 8
ap_stack: .quad 0
ap_fn: .quad 0
ap_end:
    .section .note.GNU-stack, "", @progbits
