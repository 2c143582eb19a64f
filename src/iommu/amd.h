/* SPDX-License-Identifier: MIT */
/* AMD I/O Virtualization Technology (IOMMU) Specification, 48882: registers, commands, tables. Private. */
#pragma once
#include "iommu/iommu.h"
#include "sync/sync.h"

/* MMIO registers (section 3.4) */
enum {
    REG_DEVTAB = 0x00, REG_CMDBUF = 0x08, REG_EVTLOG = 0x10, REG_CONTROL = 0x18,
    REG_CMD_HEAD = 0x2000, REG_CMD_TAIL = 0x2008, REG_EVT_HEAD = 0x2010, REG_EVT_TAIL = 0x2018,
    REG_STATUS = 0x2020,
};
#define CTRL_ENABLE    (1ULL << 0)
#define CTRL_EVTLOG    (1ULL << 2)
#define CTRL_COHERENT  (1ULL << 10)
#define CTRL_CMDBUF    (1ULL << 12)
#define STATUS_EVT_OVERFLOW 1ULL

/* Device table entry, first two of four quadwords (section 2.2.2.1) */
#define DTE_V          (1ULL << 0)
#define DTE_TV         (1ULL << 1)
#define DTE_MODE(n)    ((u64)(n) << 9)
#define DTE_IR         (1ULL << 61)
#define DTE_IW         (1ULL << 62)

/* Page table entry (section 2.2.3): bits 9-11 hold the level of the table it points to, 0 for a page. */
#define PTE_P          (1ULL << 0)
#define PTE_NEXT(n)    ((u64)(n) << 9)
#define PTE_NEXT_OF(e) ((unsigned)((e) >> 9 & 7))
#define PTE_IR         (1ULL << 61)
#define PTE_IW         (1ULL << 62)
#define PTE_ADDR       0x000ffffffffff000ULL

#define TABLE_LEVELS 4                  /* 48 bits of device address */
#define ENTRIES 512

/* Commands (section 2.4): opcode in bits 63:60 of the first quadword. */
#define CMD_WAIT       (1ULL << 60)
#define CMD_WAIT_STORE 1ULL
#define CMD_INV_DTE    (2ULL << 60)
#define CMD_INV_PAGES  (3ULL << 60)
#define INV_ALL_PAGES  0x7ffffffffffff003ULL    /* every address, directory entries too (section 2.4.3) */

#define QUEUE_BYTES 4096
#define QUEUE_ENTRIES 256               /* of 16 bytes */
#define QUEUE_LEN (8ULL << 56)          /* 2^8 entries */

struct amd_iommu {
    paddr_t base;
    u16 segment, bdf;
    volatile u64 *regs;
    u64 *cmd;                           /* command queue */
    u64 *events;
    unsigned cmd_tail;                  /* next free slot */
    volatile u64 *done;                 /* completion-wait store goes here */
    u64 done_seq;
};

struct iommu_domain {
    struct spinlock lock;               /* RANK_IOMMU: tables and `stale` */
    u64 *root;
    u16 id;                             /* domain id in device table entries */
    bool stale;                         /* removals since the last invalidation */
    u64 table_pages;
    struct reserved *reserved;          /* iommu/reserved.c */
};

/* Table walk, iommu/table.c. All return -ENOMEM or 0. */
int table_map(struct iommu_domain *t, u64 dfn, u64 mfn, unsigned order, bool write) __must_check;
int table_split(struct iommu_domain *t, u64 dfn) __must_check;
/* True if something was there. */
bool table_unmap(struct iommu_domain *t, u64 dfn);
void table_free(struct iommu_domain *t);
#define NO_FRAME (~0ULL)
/* Frame that dfn is mapped to, by an entry of any size; NO_FRAME if there is none. */
u64 table_lookup(const struct iommu_domain *t, u64 dfn, bool *write);
