/* SPDX-License-Identifier: 0BSD
 *
 * mbv2_place.h - where the kernels go: what the project's mbv2_config.h says, if there is one on the include path
 * (or the file that -DMBV2_CONFIG_FILE='"FILE"' names); by default wherever the compiler puts code.
 *
 * MBV2_CODE_ATTRIBUTE    stands before the declarations of all kernels in C: __attribute__((section(".itcm"))), RAMFUNC
 * MBV2_ASSEMBLY_SECTION  is the section of those in assembly: ".itcm"
 *
 * The assembler reads that file too: nothing but #define, or the rest within #ifndef __ASSEMBLER__.
 */
#ifndef MBV2_PLACE_H
#define MBV2_PLACE_H

#if defined(MBV2_CONFIG_FILE)
#include MBV2_CONFIG_FILE
#elif defined(__has_include)
#if __has_include("mbv2_config.h")
#include "mbv2_config.h"
#endif
#endif

#ifndef MBV2_CODE_ATTRIBUTE
#define MBV2_CODE_ATTRIBUTE
#endif

#endif
