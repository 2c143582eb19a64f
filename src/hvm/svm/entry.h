/* SPDX-License-Identifier: MIT */
/* Flags of svm_vmrun(), for C and assembly. */
#pragma once
#define SVM_FLAG_VERW 1         /* VERW before entry */
#define SVM_FLAG_RSB 2          /* fill the return stack buffer after exit */
