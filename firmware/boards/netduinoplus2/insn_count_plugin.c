/* A QEMU plugin for this machine (not for the board): how often each instruction in flash was executed, and how often
 * the next one was not its neighbour (a taken branch).
 *
 *   cc -shared -fPIC -O2 insn_count_plugin.c -o count.so
 *   qemu-system-arm ... -plugin ./count.so,out=counts.txt
 *
 * Writes one line an instruction: address (hexadecimal), executed, taken. Debian packages QEMU without its plugin
 * header, so the few declarations needed are here, as of plugin interface 1 (QEMU 4.2 to 8). */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define FLASH_START 0x08000000u
#define FLASH_SIZE 0x00100000u
#define SLOTS (FLASH_SIZE / 2u)

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*translated_t)(qemu_plugin_id_t id, struct qemu_plugin_tb *block);
typedef void (*executed_t)(unsigned int cpu, void *data);
typedef void (*ended_t)(qemu_plugin_id_t id, void *data);

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, translated_t callback);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, executed_t callback, int flags, void *data);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, ended_t callback, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int count, char **arguments);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

static struct {
  uint64_t executed;
  uint64_t taken;
  uint32_t halfwords; /* length of the instruction */
} slots[SLOTS];
static size_t last = SLOTS; /* executed before, SLOTS: none */
static char path[4096];

static void executed(unsigned int cpu, void *data) {
  (void)cpu;
  const size_t slot = (size_t)(uintptr_t)data;
  slots[slot].executed++;
  if (last < SLOTS && slot != last + slots[last].halfwords) {
    slots[last].taken++;
  }
  last = slot;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
  (void)id;
  for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
    struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
    const uint64_t address = qemu_plugin_insn_vaddr(insn);
    if (address >= FLASH_START && address < FLASH_START + FLASH_SIZE) {
      const size_t slot = (size_t)(address - FLASH_START) / 2u;
      slots[slot].halfwords = (uint32_t)(qemu_plugin_insn_size(insn) / 2u);
      qemu_plugin_register_vcpu_insn_exec_cb(insn, executed, 0, (void *)(uintptr_t)slot);
    }
  }
}

static void ended(qemu_plugin_id_t id, void *data) {
  (void)id;
  (void)data;
  FILE *file = fopen(path, "w");
  if (file == NULL) {
    perror(path);
    return;
  }
  for (size_t slot = 0; slot < SLOTS; slot++) {
    if (slots[slot].executed > 0) {
      (void)fprintf(file, "%08x %llu %llu\n", FLASH_START + 2u * (unsigned)slot,
                    (unsigned long long)slots[slot].executed, (unsigned long long)slots[slot].taken);
    }
  }
  (void)fclose(file);
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int count, char **arguments) {
  (void)info;
  for (int i = 0; i < count; i++) {
    if (strncmp(arguments[i], "out=", 4) == 0) {
      (void)snprintf(path, sizeof path, "%s", arguments[i] + 4);
    }
  }
  if (path[0] == '\0') {
    (void)fprintf(stderr, "insn_count_plugin: give out=FILE\n");
    return -1;
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_atexit_cb(id, ended, NULL);
  return 0;
}
