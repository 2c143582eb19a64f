/* SPDX-License-Identifier: MIT */
/* Synthetic RSDP, XSDT and MADT of dom0 (ACPI specification 6.4, sections 5.2.5, 5.2.8, 5.2.12). */
#include "acpi/acpi.h"
#include "dom/dom0_build.h"
#include "irq/irq.h"

struct rsdp {
    char sig[8]; u8 checksum; char oem[6]; u8 rev; u32 rsdt; u32 length; u64 xsdt; u8 ext_checksum, reserved[3];
} __packed;
struct madt { struct acpi_header h; u32 lapic_addr, flags; } __packed;
struct madt_lapic { u8 type, len, uid, apic_id; u32 flags; } __packed;
struct madt_ioapic { u8 type, len, id, reserved; u32 addr, gsi_base; } __packed;
struct madt_override { u8 type, len, bus, source; u32 gsi; u16 flags; } __packed;
STATIC_ASSERT(sizeof(struct rsdp) == 36);
STATIC_ASSERT(sizeof(struct acpi_header) == 36);
STATIC_ASSERT(sizeof(struct madt) == 44 && sizeof(struct madt_lapic) == 8);
STATIC_ASSERT(sizeof(struct madt_ioapic) == 12 && sizeof(struct madt_override) == 10);

#define RSDP_ROOM 64

/* Passed through in place; everything else stays hidden, DMAR and IVRS above all. */
bool dom0_acpi_allowed(const char *sig)
{
    static const char allowed[][5] = { "FACP", "SSDT", "MCFG", "PSDT", "SBST",
                                        "SLIC", "MSDM", "WDAT", "FPDT", "S3PT" };
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(allowed); i++)
        if (!memcmp(sig, allowed[i], 4))
            return true;
    return false;
}

u64 dom0_acpi_size(const struct dom0_acpi_in *in)
{
    return RSDP_ROOM + sizeof(struct acpi_header) + 8 * (in->nr_tables + 1) + 8 + sizeof(struct madt) +
           in->nr_vcpus * sizeof(struct madt_lapic) + nr_ioapics * sizeof(struct madt_ioapic) +
           nr_irq_overrides * sizeof(struct madt_override);
}

static u8 checksum(const void *p, u32 len)
{
    const u8 *c = p;
    u8 sum = 0;

    while (len--)
        sum = (u8)(sum + *c++);
    return (u8)-sum;
}

static void finish(struct acpi_header *h, const char *sig, u8 rev, u32 len, const struct dom0_acpi_in *in)
{
    memcpy(h->sig, sig, 4);
    h->length = len;
    h->rev = rev;
    memcpy(h->oem, in->oem, sizeof(h->oem));
    memcpy(h->oem_table, in->oem_table, sizeof(h->oem_table));
    h->oem_rev = 1;
    memcpy(&h->creator, "HELI", 4);
    h->creator_rev = 1;
    h->checksum = 0;
    h->checksum = checksum(h, len);
}

/* Processor UID = vCPU id (Linux uses it in hypercalls), APIC id = 2 * vCPU id; no NMI entries. */
static u32 write_madt(u8 *buf, const struct dom0_acpi_in *in)
{
    struct madt *m = (struct madt *)buf;
    u8 *p = buf + sizeof(*m);
    unsigned i;

    m->lapic_addr = 0xfee00000;
    m->flags = 0;                       /* no 8259 */
    for (i = 0; i < in->nr_vcpus; i++, p += sizeof(struct madt_lapic))
        *(struct madt_lapic *)p = (struct madt_lapic){ 0, sizeof(struct madt_lapic), (u8)i, (u8)(2 * i), 1 };
    for (i = 0; i < nr_ioapics; i++, p += sizeof(struct madt_ioapic))
        *(struct madt_ioapic *)p = (struct madt_ioapic){ 1, sizeof(struct madt_ioapic), ioapics[i].id, 0,
                                                         (u32)ioapics[i].paddr, ioapics[i].gsi_base };
    for (i = 0; i < nr_irq_overrides; i++, p += sizeof(struct madt_override))
        *(struct madt_override *)p = (struct madt_override){ 2, sizeof(struct madt_override), 0,
                                       irq_overrides[i].bus_irq, irq_overrides[i].gsi, irq_overrides[i].flags };
    finish(&m->h, "APIC", 4, (u32)(p - buf), in);
    return m->h.length;
}

paddr_t dom0_acpi_write(void *buf, paddr_t at, const struct dom0_acpi_in *in)
{
    struct rsdp *r = buf;
    u8 *xsdt = (u8 *)buf + RSDP_ROOM;
    u64 entry, madt_off;
    u32 len = sizeof(struct acpi_header);
    unsigned i;

    memset(buf, 0, dom0_acpi_size(in));
    madt_off = ROUND_UP(RSDP_ROOM + sizeof(struct acpi_header) + 8UL * (in->nr_tables + 1), 8);
    write_madt((u8 *)buf + madt_off, in);
    for (i = 0; i <= in->nr_tables; i++) {
        if (i == in->nr_tables)
            entry = at + madt_off;
        else if (dom0_acpi_allowed(in->table[i].sig))
            entry = in->table[i].addr;
        else
            continue;
        memcpy(xsdt + len, &entry, sizeof(entry));
        len += sizeof(entry);
    }
    finish((struct acpi_header *)xsdt, "XSDT", 1, len, in);
    memcpy(r->sig, "RSD PTR ", 8);
    memcpy(r->oem, in->oem, sizeof(r->oem));
    r->rev = 2;
    r->length = sizeof(*r);
    r->xsdt = at + RSDP_ROOM;
    r->checksum = checksum(r, 20);
    r->ext_checksum = checksum(r, sizeof(*r));
    return at;
}
