/* SPDX-License-Identifier: Apache-2.0 */
/* count_addresses.c - a plugin for QEMU (API 1) that counts how often the instruction at each address is executed, and
 * writes "ADDRESS COUNT" lines, hexadecimal and decimal, to the file `out=FILE` at the end. Prototypes as in QEMU's
 * qemu-plugin.h, which distributions do not always bring. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *instruction);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *instruction, int add_u64, void *to, uint64_t by);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, void (*call)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*call)(qemu_plugin_id_t, void *), void *data);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

enum { CODE_BYTES = 1 << 20 }; /* of the emulated boards' code memory, which begins at 0 */

static uint64_t counts[CODE_BYTES / 2];
static FILE *file;

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, i);
        const uint64_t address = qemu_plugin_insn_vaddr(instruction);
        if (address < CODE_BYTES) qemu_plugin_register_vcpu_insn_exec_inline(instruction, 0, &counts[address / 2], 1);
    }
}

static void ended(qemu_plugin_id_t id, void *data) {
    (void)id;
    (void)data;
    for (uint32_t i = 0; i < CODE_BYTES / 2; i++) {
        if (counts[i]) fprintf(file, "%" PRIx32 " %" PRIu64 "\n", 2 * i, counts[i]);
    }
    fclose(file);
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv) {
    (void)info;
    if (argc != 1 || strncmp(argv[0], "out=", 4) != 0 || (file = fopen(argv[0] + 4, "w")) == NULL) return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
