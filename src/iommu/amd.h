/* SPDX-License-Identifier: MIT */
/* AMD I/O Virtualization Technology (IOMMU) Specification, 48882: registers, commands, tables. Private. */
#pragma once
#include "iommu/iommu.h"
#include "sync/live.h"

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
#define STATUS_RUNNING (3ULL << 3)      /* event log, command queue */

/* Device table entry, first two of four quadwords (section 2.2.2.1) */
#define DTE_V          (1ULL << 0)
#define DTE_TV         (1ULL << 1)
#define DTE_MODE(n)    ((u64)(n) << 9)
#define DTE_IR         (1ULL << 61)
#define DTE_IW         (1ULL << 62)
/* Second quadword: domain id, and what becomes of system management messages. */
#define DTE_SYSMGT(setting) ((u64)((setting) >> 4 & 3) << 40)
#define DTE_SYSMGT_MASK (3ULL << 40)
/* Third quadword: interrupts. With IV alone no vector gets through: IntCtl 0 is "abort". INIT, ExtINT, NMI and LINT messages
 * pass where the firmware's setting for the device says so; it does for IO-APICs that bring the NMI button or an 8259. */
#define DTE_IV         (1ULL << 0)
#define DTE_INT_LEN(n) ((u64)(n) << 1)  /* 2^n entries */
#define DTE_INT_ROOT   0x000fffffffffff80ULL
#define DTE_INT_REMAP  (2ULL << 60)     /* IntCtl */
#define DTE_PASS(setting) ((u64)((setting) & 7) << 56 | (u64)((setting) >> 6) << 62)
#define DTE_PASS_MASK  DTE_PASS(0xffu)

/* Interrupt table entry of the 32-bit format (section 2.2.5): fixed, physical destination. */
#define IRTE_ENABLE    (1u << 0)
#define IRTE_DEST(id)  ((u32)(id) << 8)
#define IRTE_VECTOR(v) ((u32)(v) << 16)

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
#define CMD_INV_INTR   (5ULL << 60)
#define INV_ALL_PAGES  0x7ffffffffffff003ULL    /* every address, directory entries too (section 2.4.3) */

#define QUEUE_BYTES 4096
#define QUEUE_ENTRIES 256               /* of 16 bytes */
#define QUEUE_LEN (8ULL << 56)          /* 2^8 entries */

struct amd_iommu {
    paddr_t base;
    u16 segment, bdf;
    volatile u64 *regs;
    u64 *cmd;                           /* command queue */
    const struct live_entry *events;    /* written by the IOMMU */
    unsigned cmd_tail;                  /* next free slot */
    volatile u64 *done;                 /* completion-wait store goes here */
    u64 done_seq;
};

struct iommu_domain {
    struct spinlock lock;               /* RANK_IOMMU: tables and `stale` */
    struct live_entry *root;
    u16 id;                             /* domain id in device table entries */
    u64 stale;                          /* removals since the last invalidation: STALE_* */
    u64 table_pages;
    struct reserved *reserved;          /* iommu/reserved.c */
};

struct ivrs_info;

/* STALE_BUSY: they are being invalidated. Nobody may take that for done, so it becomes STALE_NO only at the end, and
 * STALE_YES again with the next removal. */
enum { STALE_NO, STALE_YES, STALE_BUSY };
/* ---- iommu/amd.c ---- */
extern struct amd_iommu iommu_units[];   /* the ones that run */
extern unsigned iommu_nr_units;
extern struct live_entry (*iommu_devtab)[4];          /* one for all IOMMUs */
extern unsigned iommu_devtab_entries;   /* 256 for each bus up to the last; a device beyond reaches nothing */
extern struct spinlock iommu_cmd_lock;  /* RANK_IOMMU_CMD: command queues, interrupt tables */
/* OR into one quadword of the device table entries what `bits` makes of the firmware's setting. No IOMMU runs. */
void iommu_apply_settings(const struct ivrs_info *info, unsigned quadword, u64 (*bits)(u8 setting));
/* Hand a command to all IOMMUs and wait until it has taken effect. iommu_cmd_lock held. */
void iommu_command_locked(u64 q0, u64 q1);

/* ---- iommu/opts.c ---- */
extern bool opt_iommu, opt_intremap;

/* ---- iommu/intremap.c ---- */
/* The device table exists, no IOMMU runs yet: from here on every interrupt that is not allowed is blocked. False, with
 * a line in the log: not possible, or not wanted; then interrupts pass as they are. */
bool intremap_prepare(const struct ivrs_info *info);
/* No IOMMU runs: as before intremap_prepare(). */
void intremap_drop(void);

/* Table walk, iommu/table.c. All return -ENOMEM or 0. */
int table_map(struct iommu_domain *t, u64 dfn, u64 mfn, unsigned order, bool write) __must_check;
int table_split(struct iommu_domain *t, u64 dfn, unsigned order) __must_check;
/* True if something was there. */
bool table_unmap(struct iommu_domain *t, u64 dfn);
bool table_unmap_range(struct iommu_domain *t, u64 dfn, unsigned order);
void table_free(struct iommu_domain *t);
#define NO_FRAME (~0ULL)
/* Frame that dfn is mapped to, by an entry of any size; NO_FRAME if there is none. */
u64 table_lookup(const struct iommu_domain *t, u64 dfn, bool *write);
