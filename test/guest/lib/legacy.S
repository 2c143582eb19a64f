/* SPDX-License-Identifier: MIT */
/* What vCPU 1 does in test/guest/legacy.c: entered in real mode by SIPI 8, it runs code in real mode or as a VM86 task, one
 * piece for each time that `go` is set, until a trap, and leaves registers and vector in the box. */
#include "legacy.h"
#define AT(sym) (0x8000 + (sym) - legacy_begin)
    .section .rodata
    .balign 16
    .globl legacy_begin, legacy_end, legacy_real_stubs, legacy_pm_stubs
    .code16
legacy_begin:
    cli
    ljmpw $0, $AT(1f)
1:  lidtl AT(real_idt)
    jmp idle
finish:
    movl $1, BOX + BOX_DONE
idle:
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $STACK, %sp
    movl $1, BOX + BOX_UP
2:  pause
    cmpl $0, BOX + BOX_GO
    je 2b
    movl $0, BOX + BOX_GO
    cmpl $0, BOX + BOX_VM86
    jne vm86

/* ---- real mode: flags, CS and IP are on the stack of the test ---- */
    movw $BOX + BOX_REGS, %sp
    popal
    lssw BOX + BOX_SP, %sp
    movw BOX + BOX_ES, %es
    movw BOX + BOX_DS, %ds
    iretw
    .balign 8
legacy_real_stubs:
    .set i, 0
    .rept 32
    .balign 8
    pushw $i
    jmp real_trap
    .set i, i + 1
    .endr
real_trap:
    popw %cs:BOX + BOX_VECTOR
    popw %cs:BOX + BOX_EIP
    addw $2, %sp
    popw %cs:BOX + BOX_FLAGS_OUT
    movl %esp, %cs:BOX + BOX_ESP
    movl %edi, %cs:BOX + BOX_OUT
    movl %esi, %cs:BOX + BOX_OUT + 4
    movl %ebp, %cs:BOX + BOX_OUT + 8
    movl %ebx, %cs:BOX + BOX_OUT + 16
    movl %edx, %cs:BOX + BOX_OUT + 20
    movl %ecx, %cs:BOX + BOX_OUT + 24
    movl %eax, %cs:BOX + BOX_OUT + 28
    cld
    xorw %ax, %ax
    movw %ax, %ds
    jmp finish

/* ---- VM86, from 32-bit protected mode without paging ---- */
vm86:
    lgdtl AT(pm_gdt)
    lidtl AT(pm_idt)
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmpl $0x08, $AT(3f)
    .code32
3:  movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl $STACK, %esp
    andb $0xfd, TABLES + 0x400 + 0x18 + 5       /* the task is not busy */
    movl $0x18, %eax
    ltr %ax
    pushl $0
    pushl $0
    pushl BOX + BOX_DS
    pushl BOX + BOX_ES
    pushl BOX + BOX_SS
    pushl BOX + BOX_SP
    andl $0xffff, (%esp)
    pushl BOX + BOX_FLAGS
    orl $0x20000, (%esp)
    pushl $CODE_SEG
    pushl $0
    movl BOX + BOX_REGS, %edi
    movl BOX + BOX_REGS + 4, %esi
    movl BOX + BOX_REGS + 8, %ebp
    movl BOX + BOX_REGS + 16, %ebx
    movl BOX + BOX_REGS + 20, %edx
    movl BOX + BOX_REGS + 24, %ecx
    movl BOX + BOX_REGS + 28, %eax
    iretl
    .balign 16
legacy_pm_stubs:
    .set i, 0
    .rept 32
    .balign 16
    .if !((1 << i) & 0x60227d00)
    pushl $0
    .endif
    pushl $i
    jmp pm_trap
    .set i, i + 1
    .endr
pm_trap:
    pushal
    cld
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    .set i, 0
    .rept 8
    popl BOX + BOX_OUT + 4 * i
    .set i, i + 1
    .endr
    popl BOX + BOX_VECTOR
    popl BOX + BOX_ERROR
    popl BOX + BOX_EIP
    addl $4, %esp
    popl BOX + BOX_FLAGS_OUT
    popl BOX + BOX_ESP
    lidtl AT(real_idt)
    ljmpl $0x20, $AT(4f)
    .code16
4:  movw $0x28, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw %ax, %fs
    movw %ax, %gs
    movl %cr0, %eax
    andb $0xfe, %al
    movl %eax, %cr0
    ljmpw $0, $AT(5f)
5:  xorw %ax, %ax
    movw %ax, %ds
    jmp finish
    .balign 8
real_idt: .word 0x3ff
    .long 0
    .balign 8
pm_idt: .word 32 * 8 - 1
    .long TABLES
    .balign 8
pm_gdt: .word 6 * 8 - 1
    .long TABLES + 0x400
legacy_end:
    .section .note.GNU-stack, "", @progbits
