/* SPDX-License-Identifier: MIT */
/* Between the files of the fake machine. */
#pragma once
void fake_irq_reset(void);
void fake_hvm_reset(void);
void fake_x86_reset(void);
void fake_domains_reset(void);
void fake_domains_forget(void);
void fake_unpoison_all(void);
