/* A vCPU's registers by name. QEMU's handle of rax is NULL: absent registers are marked by
 * another value. Handles are found once, in the vCPU's init callback; values are
 * read inside callbacks whose flags allow it. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define ABSENT ((struct qemu_plugin_register *)~(uintptr_t)0)

static const char *const gpr_names[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp",
					   "rsi", "rdi", "r8",	"r9",  "r10", "r11",
					   "r12", "r13", "r14", "r15" };

static struct qemu_plugin_register **place_of(struct vcpu *v, const char *name)
{
	for (int i = 0; i < 16; i++)
		if (!strcmp(name, gpr_names[i]))
			return &v->gpr[i];
	if (!strncmp(name, "xmm", 3)) {
		unsigned long n = strtoul(name + 3, NULL, 10);
		return n < 16 ? &v->xmm[n] : NULL;
	}
	if (!strcmp(name, "cr2"))
		return &v->cr2_reg;
	if (!strcmp(name, "cr3"))
		return &v->cr3_reg;
	if (!strcmp(name, "cr4"))
		return &v->cr4_reg;
	if (!strcmp(name, "cs"))
		return &v->cs_reg;
	if (!strcmp(name, "eflags"))
		return &v->eflags_reg;
	if (!strcmp(name, "efer"))
		return &v->efer_reg;
	return NULL;
}

static void mark_absent(struct vcpu *v)
{
	for (int i = 0; i < 16; i++)
		v->gpr[i] = v->xmm[i] = ABSENT;
	v->cr2_reg = v->cr3_reg = v->cr4_reg = v->cs_reg = v->eflags_reg = v->efer_reg = ABSENT;
}

void registers_find(struct vcpu *v)
{
	v->buffer = g_byte_array_sized_new(256);
	mark_absent(v);
	struct glib_array *all = qemu_plugin_get_registers();
	const struct qemu_plugin_reg_descriptor *list = (void *)all->data;
	for (unsigned i = 0; i < all->len; i++) {
		struct qemu_plugin_register **place = place_of(v, list[i].name);
		if (place)
			*place = list[i].handle;
	}
	g_array_free(all, 1);
}

/* For translation callbacks, which are not told their vCPU. */
uint64_t registers_cr3(void)
{
	static __thread struct glib_bytes *buffer;
	struct qemu_plugin_register *handle = plugin.vcpu[0].cr3_reg;
	uint64_t value = 0;
	if (!buffer)
		buffer = g_byte_array_sized_new(16);
	buffer->len = 0;
	if (handle == ABSENT || qemu_plugin_read_register(handle, buffer) <= 0 ||
	    buffer->len < 8)
		return 0;
	memcpy(&value, buffer->data, 8);
	return value & 0x000ffffffffff000ull;
}

uint64_t registers_read(struct vcpu *v, struct qemu_plugin_register *handle)
{
	uint64_t value = 0;
	v->buffer->len = 0;
	if (handle == ABSENT || qemu_plugin_read_register(handle, v->buffer) <= 0)
		return 0;
	memcpy(&value, v->buffer->data, v->buffer->len < 8 ? v->buffer->len : 8);
	return value;
}

void registers_read_xmm(struct vcpu *v, unsigned index, uint64_t ret[2])
{
	ret[0] = ret[1] = 0;
	v->buffer->len = 0;
	if (v->xmm[index] != ABSENT &&
	    qemu_plugin_read_register(v->xmm[index], v->buffer) > 0 && v->buffer->len >= 16)
		memcpy(ret, v->buffer->data, 16);
}

#if GB_API >= 7
/* An odd handle is a register that may not be written; QEMU would abort. */
void registers_write(struct vcpu *v, struct qemu_plugin_register *handle, const void *value,
		     unsigned bytes)
{
	if (handle == ABSENT || ((uintptr_t)handle & 1))
		return;
	v->buffer->len = bytes;
	memcpy(v->buffer->data, value, bytes);
	qemu_plugin_write_register(handle, v->buffer);
}
#endif
