/* SPDX-License-Identifier: MIT */
/* Private to src/pci: devices, their BARs and message interrupts. Numbers: PCI 3.0 and PCI Express base spec. */
#pragma once
#include "lib/list.h"
#include "pci/pci.h"

enum {
    CFG_VENDOR = 0x00, CFG_COMMAND = 0x04, CFG_STATUS = 0x06, CFG_CLASS = 0x08, CFG_HEADER = 0x0e, CFG_BAR0 = 0x10,
    CFG_BUSES = 0x18, CFG_ROM0 = 0x30, CFG_CAPS = 0x34, CFG_ROM1 = 0x38, CFG_EXT = 0x100,
};
enum { CMD_IO = 1, CMD_MEM = 2 };
enum { CAP_MSI = 5, CAP_MSIX = 0x11, EXT_SRIOV = 0x10, EXT_REBAR = 0x15, EXT_VF_REBAR = 0x24 };
enum { MSI_ENABLE = 1, MSI_MMC = 0xe, MSI_MME = 0x70, MSI_64 = 0x80, MSI_MASKBIT = 0x100 };
enum { MSIX_ENABLE = 0x8000, MSIX_MASKALL = 0x4000, MSIX_SIZE = 0x7ff, MSIX_ENTRY = 16 };
enum { CHUNK_ENTRIES = 64, MSIX_CHUNKS = (MSIX_SIZE + 1) / CHUNK_ENTRIES };

#define PCI_BARS 7                  /* six and the expansion ROM */
struct pci_bar {
    u64 addr, size;                 /* size 0: no memory BAR here */
    u8 reg;
    bool is64, rom, rom_on;
    bool mapped;                    /* in dom0's second stage as [addr, addr + size) */
    u8 sizing;                      /* bit 0 low half, bit 1 high half: all ones were written, mask is read */
};

/* A message interrupt as dom0 wrote it, and the host vector behind it. */
struct pci_msg {
    struct domain *d;
    sbdf_t s;                       /* the function that sends it */
    u64 addr;                       /* guest's; read by the interrupt handler without a lock */
    u32 data;
    bool masked;                    /* MSI-X: bit 0 of the entry's vector control */
    int vector;                     /* host's; 0: none */
};

/* Part of a BAR that holds table or pending bits; the pages around it are emulated. va: the first such page. */
struct msix_window { u32 start, end; volatile u8 *va; paddr_t at; unsigned remaps; };
struct pci_msix {
    u8 cap;                         /* 0: no MSI-X */
    u8 bir, pba_bir;
    bool on;
    u16 nr;                         /* entries */
    u16 offered;                    /* how many dom0 sees; the others stay masked */
    u32 table, pba;                 /* offsets in their BARs */
    struct msix_window win[2];      /* of BAR bir, of BAR pba_bir (end 0: none, or part of the first) */
    bool registered[2];
    struct pci_msg *chunk[MSIX_CHUNKS];     /* the entries; made once, since interrupts may be on their way to them */
};
struct pci_msi { u8 cap; bool is64, maskbit, on; struct pci_msg msg; };

struct pci_dev {
    struct list node;
    sbdf_t s;
    bool hidden, ready;             /* ready: BARs and capabilities are known */
    bool decode;                    /* memory decoding is on */
    u8 header;                      /* type without the multi-function bit */
    struct pci_bar bar[PCI_BARS];
    struct pci_msi msi;
    struct pci_msix msix;
    struct { u16 at, len; } null_cap[4];    /* extended capabilities that dom0 does not see */
};

struct vpci {
    struct domain *d;
    struct spinlock lock;           /* RANK_VPCI: everything below and all of struct pci_dev but `node` */
    u32 cf8;
    u16 msix_limit;                 /* most entries of one function that dom0 sees; 0: not decided yet */
};

/* Host access; tests put their own here. */
struct pci_backend {
    u32 (*read)(sbdf_t s, unsigned reg, unsigned size);
    void (*write)(sbdf_t s, unsigned reg, unsigned size, u32 val);
};
extern struct pci_backend pci_backend;

/* ---- pci.c ---- */
struct pci_dev *pci_find(sbdf_t s);
/* Find or add; NULL if out of memory. */
struct pci_dev *pci_get(sbdf_t s);
extern struct list pci_devs;

/* ---- vpci_bar.c ---- (vp->lock held) */
void bars_probe(struct pci_dev *dev);
void bars_map(struct vpci *vp, struct pci_dev *dev);
void bars_unmap(struct vpci *vp, struct pci_dev *dev);
/* Is a BAR where no device may be? */
bool bars_denied(struct pci_dev *dev);
/* BAR register at reg: index, -1 if it is none of a memory BAR; *high: upper half. */
int bar_index(const struct pci_dev *dev, unsigned reg, bool *high);
u32 bar_read(struct pci_dev *dev, int i, bool high);
void bar_write(struct vpci *vp, struct pci_dev *dev, int i, bool high, u32 val);
void command_write(struct vpci *vp, struct pci_dev *dev, u16 val);

/* ---- vpci_msi.c ---- (vp->lock held) */
void msi_probe(struct vpci *vp, struct pci_dev *dev, u8 cap);
/* Does the MSI capability cover the dword at reg? */
bool msi_covers(const struct pci_dev *dev, unsigned reg);
u32 msi_read(struct pci_dev *dev, unsigned reg);
void msi_write(struct vpci *vp, struct pci_dev *dev, unsigned reg, u32 val);
void msi_off(struct pci_dev *dev);
/* Give m a host vector, if it has none, and compose the message that raises it at the right CPU. False: that is
 * impossible; the log says why. */
bool msg_bind(struct pci_msg *m, u64 *addr, u32 *data);
void msg_unbind(struct pci_msg *m);

/* ---- vpci_msix.c ---- (vp->lock held) */
void msix_probe(struct vpci *vp, struct pci_dev *dev, u8 cap);
/* All functions were probed: decide how many entries each is offered. */
void msix_share(struct vpci *vp);
/* The capability's first dword as dom0 sees it. */
u32 msix_read(struct pci_dev *dev);
/* All but the room for entries. */
void msix_forget(struct pci_dev *dev);
void msix_control(struct vpci *vp, struct pci_dev *dev, u16 val);
/* BAR i is mapped / about to be unmapped: emulate its window. False: the window could not be set up. */
bool msix_attach(struct vpci *vp, struct pci_dev *dev, unsigned i);
void msix_detach(struct vpci *vp, struct pci_dev *dev, unsigned i);
/* Write all bound entries to the device (decoding was switched on, or MSI-X). */
void msix_sync(struct pci_dev *dev);
void msix_off(struct pci_dev *dev);
/* First emulated range of any device that touches [start, end). */
bool msix_window_in(paddr_t start, paddr_t end, paddr_t *ws, paddr_t *we);

/* ---- vpci.c ---- */
void vpci_setup_dev(struct vpci *vp, struct pci_dev *dev);
void vpci_drop_dev(struct vpci *vp, struct pci_dev *dev);
u32 vpci_read(struct vpci *vp, sbdf_t s, unsigned reg, unsigned size);
void vpci_write(struct vpci *vp, sbdf_t s, unsigned reg, unsigned size, u32 val);

/* ---- vpci_dump.c: debug keys 'Q' and 'M' ---- */
void vpci_dump_devices(void);
void vpci_dump_messages(void);
