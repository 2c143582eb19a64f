/* SPDX-License-Identifier: MIT */
/* Instruction decoder: whatever it accepts Zydis must accept too, with the same length and a memory operand. */
#if __has_include(<Zydis/Zydis.h>)
#include <Zydis/Zydis.h>
#define HAVE_ZYDIS 1
#endif
#include <stdlib.h>
#include <string.h>
#include "fuzz.h"
#include "hvm/decode.h"

void fuzz_start(const char *program) {}

#ifdef HAVE_ZYDIS
static void compare(const u8 *b, unsigned mode, const struct insn *i)
{
    ZydisDecoder dec;
    ZydisDecodedInstruction z;
    ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
    bool memory = false;
    u8 code[INSN_MAX] = { 0 };

    memcpy(code, b, i->len);
    ZydisDecoderInit(&dec, mode == 8 ? ZYDIS_MACHINE_MODE_LONG_64 : mode == 4 ? ZYDIS_MACHINE_MODE_LEGACY_32
                           : ZYDIS_MACHINE_MODE_LEGACY_16,
                     mode == 8 ? ZYDIS_STACK_WIDTH_64 : mode == 4 ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16);
    CHECK(ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec, code, sizeof(code), &z, o)));
    CHECK(z.length == i->len && z.address_width / 8 == i->adsize);
    for (unsigned n = 0; n < z.operand_count; n++)
        memory |= o[n].type == ZYDIS_OPERAND_TYPE_MEMORY;
    CHECK(memory);
}
#else
static void compare(const u8 *b, unsigned mode, const struct insn *i) {}
#endif

void fuzz_one(struct input *in)
{
    unsigned mode = (const unsigned[]){ 8, 4, 2, 8 }[in8(in) & 3];
    size_t n = MIN(in_left(in), (size_t)INSN_MAX);
    u8 *b = malloc(n ? n : 1);
    struct insn i, again;

    memcpy(b, in->p, n);
    int rc = insn_decode(b, (unsigned)n, mode, &i);
    CHECK(rc == 0 || rc == -EAGAIN || rc == -EINVAL);
    CHECK(rc != -EAGAIN || n < INSN_MAX);
    if (!rc) {
        CHECK(i.len && i.len <= n && (i.op > OP_NONE && i.op < OP_GROUP1));
        compare(b, mode, &i);
        for (unsigned k = 0; k < i.len; k++)
            CHECK(insn_decode(b, k, mode, &again) == -EAGAIN);
    }
    free(b);
}
