/* The part of QEMU's plugin interface that is used here, declared by hand so that neither
 * QEMU's nor GLib's headers are needed. GB_API is the interface number the object is built for
 * (4: QEMU 9.2 and 10.0, 5: 10.1 and 10.2, 7: 11.1). QEMU checks nothing but that number: a
 * wrong signature is a crash, so every difference between the numbers is in this one file. */
#ifndef PLUGIN_QEMU_API_H
#define PLUGIN_QEMU_API_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef GB_API
#error "GB_API says which interface number to build for"
#endif

#define QEMU_EXPORT __attribute__((visibility("default")))

struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_scoreboard;
struct qemu_plugin_register;
typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
typedef struct {
	struct qemu_plugin_scoreboard *score;
	size_t offset;
} qemu_plugin_u64;

enum qemu_plugin_cb_flags { QEMU_CB_NO_REGS = 0, QEMU_CB_R_REGS = 1, QEMU_CB_RW_REGS = 2 };
enum qemu_plugin_mem_rw { QEMU_MEM_R = 1, QEMU_MEM_W = 2, QEMU_MEM_RW = 3 };
enum qemu_plugin_op { QEMU_INLINE_ADD_U64 = 0, QEMU_INLINE_STORE_U64 = 1 };
enum qemu_plugin_cond { QEMU_COND_EQ = 2, QEMU_COND_NE = 3, QEMU_COND_GE = 7 };
enum { QEMU_DISCON_INTERRUPT = 1, QEMU_DISCON_EXCEPTION = 2 };

struct qemu_info {
	const char *target_name;
	int version_min, version_cur;
	bool system_emulation;
	int smp_vcpus, max_vcpus;
};

/* GLib's arrays, as far as they are looked into. */
struct glib_array {
	char *data;
	unsigned len;
};
struct glib_bytes {
	uint8_t *data;
	unsigned len;
};
struct glib_bytes *g_byte_array_sized_new(unsigned reserved);
char *g_array_free(struct glib_array *array, int free_segment);

struct qemu_plugin_reg_descriptor {
	struct qemu_plugin_register *handle;
	const char *name;
	const char *feature;
#if GB_API >= 7
	bool is_readonly;
#endif
};

/* Callbacks: from interface 7 on they get user data and no plugin id. */
#if GB_API >= 7
typedef void qemu_simple_cb(void *user);
typedef void qemu_vcpu_cb(unsigned vcpu, void *user);
typedef void qemu_tb_cb(struct qemu_plugin_tb *tb, void *user);
typedef void qemu_discon_cb(unsigned vcpu, int type, uint64_t from, uint64_t to, void *user);
#define QEMU_SIMPLE_ARGS void *user
#define QEMU_VCPU_ARGS unsigned vcpu, void *user
#define QEMU_TB_ARGS struct qemu_plugin_tb *tb, void *user
#define QEMU_DISCON_ARGS unsigned vcpu, int type, uint64_t from, uint64_t to, void *user
#define QEMU_USER , NULL
#define QEMU_USER_PARAM , void *user
#else
typedef void qemu_simple_cb(qemu_plugin_id_t id);
typedef void qemu_vcpu_cb(qemu_plugin_id_t id, unsigned vcpu);
typedef void qemu_tb_cb(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void qemu_discon_cb(qemu_plugin_id_t id, unsigned vcpu, int type, uint64_t from,
			    uint64_t to);
#define QEMU_SIMPLE_ARGS qemu_plugin_id_t id
#define QEMU_VCPU_ARGS qemu_plugin_id_t id, unsigned vcpu
#define QEMU_TB_ARGS qemu_plugin_id_t id, struct qemu_plugin_tb *tb
#define QEMU_DISCON_ARGS \
	qemu_plugin_id_t id, unsigned vcpu, int type, uint64_t from, uint64_t to
#define QEMU_USER
#define QEMU_USER_PARAM
#endif
typedef void qemu_exec_cb(unsigned vcpu, void *user);
typedef void qemu_mem_cb(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *user);

/* Lifecycle. */
void qemu_plugin_outs(const char *text);
void qemu_plugin_reset(qemu_plugin_id_t id, qemu_simple_cb *cb QEMU_USER_PARAM);
void qemu_plugin_register_vcpu_init_cb(qemu_plugin_id_t id, qemu_vcpu_cb *cb QEMU_USER_PARAM);
void qemu_plugin_register_vcpu_idle_cb(qemu_plugin_id_t id, qemu_vcpu_cb *cb QEMU_USER_PARAM);
void qemu_plugin_register_vcpu_resume_cb(qemu_plugin_id_t id, qemu_vcpu_cb *cb QEMU_USER_PARAM);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, qemu_tb_cb *cb QEMU_USER_PARAM);
/* Missing before QEMU 10.2, whose interface number did not change: check for NULL. */
__attribute__((weak)) void qemu_plugin_register_vcpu_discon_cb(
	qemu_plugin_id_t id, int types, qemu_discon_cb *cb QEMU_USER_PARAM);

/* Blocks and instructions. */
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *to, size_t length);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
void *qemu_plugin_insn_haddr(const struct qemu_plugin_insn *insn);

/* Instrumentation. */
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, qemu_exec_cb *cb,
					  enum qemu_plugin_cb_flags flags, void *user);
void qemu_plugin_register_vcpu_tb_exec_cond_cb(struct qemu_plugin_tb *tb, qemu_exec_cb *cb,
					       enum qemu_plugin_cb_flags flags,
					       enum qemu_plugin_cond cond,
					       qemu_plugin_u64 entry, uint64_t imm, void *user);
void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(struct qemu_plugin_tb *tb,
						       enum qemu_plugin_op op,
						       qemu_plugin_u64 entry, uint64_t imm);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, qemu_exec_cb *cb,
					    enum qemu_plugin_cb_flags flags, void *user);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn, qemu_mem_cb *cb,
				      enum qemu_plugin_cb_flags flags,
				      enum qemu_plugin_mem_rw rw, void *user);
unsigned qemu_plugin_mem_size_shift(qemu_plugin_meminfo_t info);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t info);

/* Per-vCPU counters that inline operations reach. */
struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t element_bytes);
void *qemu_plugin_scoreboard_find(struct qemu_plugin_scoreboard *score, unsigned vcpu);
int qemu_plugin_num_vcpus(void);

/* Registers. */
struct glib_array *qemu_plugin_get_registers(void);
#if GB_API >= 6
bool qemu_plugin_read_register(struct qemu_plugin_register *handle, struct glib_bytes *to);
bool qemu_plugin_write_register(struct qemu_plugin_register *handle, struct glib_bytes *from);
/* 0 on success. Translations of the page die, dirty logs see it. */
int qemu_plugin_write_memory_hwaddr(uint64_t gpa, struct glib_bytes *from);
#else
int qemu_plugin_read_register(struct qemu_plugin_register *handle, struct glib_bytes *to);
#endif
#endif
