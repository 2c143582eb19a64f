/* SPDX-License-Identifier: MIT */
/* Speculation defences: collect the facts, decide (spec_policy.c), set the CPUs up, tell. */
#include "boot/cmdline.h"
#include "cpu/internal.h"
#include "cpu/spec.h"
#include "cpu/spec_policy.h"

u32 spec_flags;
static struct spec_decision decision;
static struct spec_options opts = { -1, -1, -1, -1, -1, -1, -1, -1, -1, -1 };

static int opt_spec_ctrl(const char *v)
{
    static const struct { const char *name; s8 *var; } words[] = {
        { "ibpb", &opts.ibpb }, { "md-clear", &opts.md_clear }, { "l1d-flush", &opts.l1d_flush },
        { "rsb", &opts.rsb }, { "ibpb-entry", &opts.ibpb_exit }, { "div-scrub", &opts.div },
        { "ssbd", &opts.ssbd }, { "ibrs", &opts.ibrs }, { "stibp", &opts.stibp },
    };
    int bad = 0;
    while (*v) {
        size_t n = strchr(v, ',') ? (size_t)(strchr(v, ',') - v) : strlen(v);
        const char *w = v;
        size_t len = n;
        s8 val = 1;
        if (len > 3 && !strncmp(w, "no-", 3))
            w += 3, len -= 3, val = 0;
        if (len > 2 && !strncmp(w + len - 2, "=0", 2))
            len -= 2, val = 0;
        else if (len > 2 && !strncmp(w + len - 2, "=1", 2))
            len -= 2;
        unsigned i;
        for (i = 0; i < ARRAY_SIZE(words); i++)
            if (len == strlen(words[i].name) && !strncmp(w, words[i].name, len))
                break;
        if (i < ARRAY_SIZE(words))
            *words[i].var = val;
        else if ((len == 2 && !strncmp(w, "no", 2)) || (len == 3 && !strncmp(w, "off", 3)) || (len == 1 && *w == '0'))
            opts.all = 0;
        else if (!((len == 3 && !strncmp(w, "yes", 3)) || (len == 2 && !strncmp(w, "on", 2)) ||
                   (len == 1 && *w == '1')))
            bad = -EINVAL;
        v += n + (v[n] == ',');
    }
    return bad;
}
BOOT_OPTION(spec_ctrl, "spec-ctrl", OPT_CUSTOM, 0, NULL, opt_spec_ctrl,
            "list of no, [no-]ibpb, ibpb-entry, rsb, md-clear, l1d-flush, div-scrub, ibrs, stibp, ssbd");

static struct spec_facts facts(void)
{
    bool intel = host.vendor == VENDOR_INTEL;
    return (struct spec_facts){
        .vendor = intel ? SPEC_INTEL : host.vendor == VENDOR_OTHER ? SPEC_OTHER : SPEC_AMD,
        .family = host.family, .model = host.model, .smt = host.threads_per_core > 1,
        .under_hypervisor = host.hypervisor,
        .ibpb = cpu_has(FEAT_AMD_IBPB) || cpu_has(FEAT_IBRSB), .ibpb_ret = cpu_has(FEAT_IBPB_RET),
        .ibrs = cpu_has(FEAT_AMD_IBRS) || cpu_has(FEAT_IBRSB),
        .stibp = cpu_has(FEAT_AMD_STIBP) || cpu_has(FEAT_STIBP),
        .ssbd = cpu_has(FEAT_AMD_SSBD) || cpu_has(FEAT_SSBD), .auto_ibrs = cpu_has(FEAT_AUTO_IBRS),
        .eibrs = cpu_has(FEAT_EIBRS), .md_clear = cpu_has(FEAT_MD_CLEAR), .verw_clear = cpu_has(FEAT_VERW_CLEAR),
        .l1d_flush = cpu_has(FEAT_L1D_FLUSH), .ibpb_brtype = cpu_has(FEAT_IBPB_BRTYPE),
        .btc_no = cpu_has(FEAT_BTC_NO), .srso_no = cpu_has(FEAT_SRSO_NO),
        .tsa_no = cpu_has(FEAT_TSA_SQ_NO) && cpu_has(FEAT_TSA_L1_NO), .rdcl_no = cpu_has(FEAT_RDCL_NO),
        .mds_no = cpu_has(FEAT_MDS_NO), .taa_no = cpu_has(FEAT_TAA_NO), .skip_l1dfl = cpu_has(FEAT_SKIP_L1DFL),
        .rtm = cpu_has(FEAT_RTM), .fb_clear = cpu_has(FEAT_FB_CLEAR),
    };
}

/* AMD: without this bit LFENCE does not stop dispatch, and rdtsc_ordered() and the RSB fill rely on that. */
static void lfence_serialise(void)
{
    u64 v;
    if (host.vendor == VENDOR_INTEL || host.family < 0x10 || host.family == 0x11 || cpu_has(FEAT_LFENCE_SERIAL))
        return;
    if (!rdmsr_safe(MSR_AMD_DE_CFG, &v) && !(v & 2))
        (void)!wrmsr_safe(MSR_AMD_DE_CFG, v | 2);
}

/* Zen 2 leaks vector registers through VZEROUPPER (Zenbleed) unless its microcode is recent enough. */
static bool zenbleed(void)
{
    static const struct { u8 first, last; u32 fixed; } zen2[] = {
        { 0x30, 0x31, 0x0830107b }, { 0x60, 0x67, 0x0860010c }, { 0x68, 0x6f, 0x08608107 },
        { 0x70, 0x7f, 0x08701033 }, { 0xa0, 0xaf, 0x08a00009 }, { 0x90, 0x91, ~0u }, { 0x47, 0x47, ~0u },
    };
    u64 rev, cfg;
    if (host.vendor != VENDOR_AMD || host.family != 0x17 || host.hypervisor || rdmsr_safe(MSR_UCODE_REV, &rev))
        return false;
    for (unsigned i = 0; i < ARRAY_SIZE(zen2); i++)
        if (host.model >= zen2[i].first && host.model <= zen2[i].last && (u32)rev < zen2[i].fixed &&
            !rdmsr_safe(MSR_AMD_DE_CFG, &cfg) && !wrmsr_safe(MSR_AMD_DE_CFG, cfg | 1u << 9))
            return true;
    return false;
}

static bool setup_cpu(void)
{
    lfence_serialise();
    errata_fix();
    if (decision.auto_ibrs)
        wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_AIBRSE);
    if (decision.host_spec_ctrl)
        (void)!wrmsr_safe(MSR_SPEC_CTRL, decision.host_spec_ctrl);
    return zenbleed();
}

#ifdef RETPOLINE
#define HOST_DEFENCE "retpolines, return stack filled at exit"
#else
#define HOST_DEFENCE "return stack filled at exit"
#endif

static void print_table(const struct spec_facts *f, bool bleed)
{
    static const struct { const char *name, *how; } issues[ISSUE_NR] = {
        [ISSUE_V2_GUEST] = { "Spectre v2 between vCPUs", "IBPB at vCPU switch" },
        [ISSUE_V2_HOST] = { "Spectre v2 against the hypervisor", HOST_DEFENCE },
        [ISSUE_BTC] = { "Branch Type Confusion (Retbleed)", "IBPB at guest exit" },
        [ISSUE_SRSO] = { "Speculative Return Stack Overflow", "IBPB at guest exit" },
        [ISSUE_MDS] = { "MDS, TAA, MMIO stale data", "VERW at guest entry" },
        [ISSUE_L1TF] = { "L1 Terminal Fault", "L1D flush at guest entry" },
        [ISSUE_TSA] = { "Transient Scheduler Attacks", "VERW at guest entry" },
        [ISSUE_DIV] = { "Divider state leak", "dummy DIV at guest entry" },
    };
    static const char *const words[] = { "not affected", "", "OFF (spec-ctrl=)", "NO DEFENCE: this CPU offers none, newer microcode may" };
    printk(LOG_INFO, "Speculation (spec-ctrl=), hardware:%s%s%s%s%s%s%s%s%s\n", f->ibpb ? " IBPB" : "",
           f->ibpb_ret ? " IBPB_RET" : "", f->ibrs ? " IBRS" : "", f->stibp ? " STIBP" : "", f->ssbd ? " SSBD" : "",
           f->auto_ibrs ? " AUTO_IBRS" : "", f->eibrs ? " EIBRS" : "", f->md_clear ? " MD_CLEAR" : "",
           f->verw_clear ? " VERW_CLEAR" : "");
    for (unsigned i = 0; i < ISSUE_NR; i++)
        if (decision.state[i] != SPEC_NOT_AFFECTED)
            printk(decision.state[i] == SPEC_MITIGATED ? LOG_INFO : LOG_WARN, "  %-34s %s\n", issues[i].name,
                   decision.state[i] == SPEC_MITIGATED ? issues[i].how : words[decision.state[i]]);
    if (bleed)
        printk(LOG_INFO, "  %-34s %s\n", "Zenbleed", "chicken bit");
    if (f->smt)
        printk(LOG_INFO, "  %-34s %s\n", "Hyper-threads",
               "shared between domains; the firmware can switch SMT off");
}

void spec_init(void)
{
    ucode_init();                   /* first: it may bring the means */
    struct spec_facts f = facts();
    decision = spec_decide(&f, &opts);
    bool bleed = setup_cpu();
    print_table(&f, bleed);
    spec_flags = decision.flags;
}

void spec_init_ap(void)
{
    setup_cpu();
}

/* Who ran last on each CPU. Not by address: a new domain's vCPU often gets that of the one just destroyed. */
static u64 last_vcpu[NR_CPUS];

void spec_vcpu_switch_slow(u64 serial)
{
    u64 *last = &last_vcpu[this_cpu()->id];
    if (*last == serial)
        return;
    *last = serial;
    wrmsr(MSR_PRED_CMD, PRED_CMD_IBPB);
}

void spec_guest_entry_slow(void)
{
    if (spec_flags & SPEC_DIV_ENTRY) {
        u32 a = 0, d = 0;
        __asm__ volatile("divl %2" : "+a"(a), "+d"(d) : "r"(1) : "cc");
    }
    if (spec_flags & SPEC_L1D_ENTRY)
        wrmsr(MSR_FLUSH_CMD, FLUSH_CMD_L1D);
    if (spec_flags & SPEC_VERW_ENTRY) {
        static const u16 sel = SEL_DATA;        /* the memory form is the one that clears */
        __asm__ volatile("verw %0" :: "m"(sel) : "cc");
    }
}
