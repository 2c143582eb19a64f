/* SPDX-License-Identifier: MIT */
/* vm_assist (21). xsm_op and the other absent hypercalls have no row in call.c and answer -ENOSYS (H.3). */
#include "call/call.h"

/* What an HVM-type guest may switch; the others concern PV memory management. */
#define ASSISTS (1u << VMASST_TYPE_runstate_update_flag)

long vm_assist(struct call *c)
{
    struct domain *d = c->v->dom;
    u32 cmd = (u32)c->arg[0], type = (u32)c->arg[1];
    if (type >= 32 || !(ASSISTS >> type & 1)) return -EINVAL;
    switch (cmd) {
    case VMASST_CMD_enable: atomic_or(&d->vm_assist, 1u << type); return 0;
    case VMASST_CMD_disable: atomic_and(&d->vm_assist, ~(1u << type)); return 0;
    }
    return -ENOSYS;
}
