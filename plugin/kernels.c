/* Native kernels: taken over from the shared file when a request is applied, attached to
 * translated loop heads by their exact bytes. Images are copied into memory of our own that is
 * never writable and executable at once. Thread: loading happens with all vCPUs stopped. */
#include "internal.h"

#include <string.h>
#include <sys/mman.h>

struct loaded kernels_loaded[GB_KERNEL_SLOTS];

static struct gb_kernel *slot_of(unsigned index)
{
	return (struct gb_kernel *)(plugin.file + plugin.control->kernels.offset) + index;
}

static bool host_has(uint32_t features)
{
	__builtin_cpu_init();
	if (features & ~(uint32_t)(GB_FEATURE_AVX2 | GB_FEATURE_AVX512))
		return false;
	if ((features & GB_FEATURE_AVX2) &&
	    !(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
	      __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma")))
		return false;
	return !(features & GB_FEATURE_AVX512) ||
	       (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		__builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
		__builtin_cpu_supports("avx512vl"));
}

/* Which two bytes a known loop head begins with: most blocks are told apart by one bit. */
static uint64_t first_bytes[65536 / 64];

static unsigned first_two(const uint8_t *bytes)
{
	return bytes[0] | (unsigned)bytes[1] << 8;
}

static void note_first_bytes(void)
{
	memset(first_bytes, 0, sizeof(first_bytes));
	for (unsigned i = 0; i < GB_KERNEL_SLOTS; i++) {
		const struct loaded *l = &kernels_loaded[i];
		const uint8_t *head = l->k.loop + l->k.head_offset;
		unsigned rest = l->k.loop_bytes - l->k.head_offset;
		for (unsigned second = 0; l->used && second < 256; second++) {
			uint8_t two[2] = { head[0], rest > 1 ? head[1] : (uint8_t)second };
			first_bytes[first_two(two) / 64] |= 1ull << (first_two(two) % 64);
		}
	}
}

bool kernels_may_begin(const uint8_t *bytes, unsigned n)
{
	unsigned two = n > 1 ? first_two(bytes) : 0;
	return n < 2 || (first_bytes[two / 64] >> (two % 64) & 1);
}

static const uint64_t ALL_REGISTERS = 0xffff, RSP = 1 << 4;

static enum gb_kernel_refusal check(const struct gb_kernel *k)
{
	uint64_t space = plugin.control->kernel_code.bytes;
	if (k->code_offset > space || k->code_bytes > space - k->code_offset ||
	    !k->code_bytes || k->plan_offset >= k->code_bytes || k->run_offset >= k->code_bytes)
		return GB_REFUSAL_IMAGE;
	if (!k->loop_bytes || k->loop_bytes > GB_KERNEL_MAX_LOOP_BYTES ||
	    k->head_offset >= k->loop_bytes)
		return GB_REFUSAL_LOOP;
	if (((k->in_gpr | k->in_xmm | k->out_gpr | k->out_xmm) & ~ALL_REGISTERS) ||
	    (k->out_gpr & RSP))
		return GB_REFUSAL_REGISTERS;
	return host_has(k->features) ? GB_REFUSAL_NONE : GB_REFUSAL_FEATURES;
}

static bool load_image(struct loaded *l)
{
	uint64_t bytes = (l->k.code_bytes + GB_PAGE - 1) & ~(uint64_t)(GB_PAGE - 1);
	uint8_t *image =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (image == MAP_FAILED)
		return false;
	memcpy(image, plugin.file + plugin.control->kernel_code.offset + l->k.code_offset,
	       l->k.code_bytes);
	if (mprotect(image, bytes, PROT_READ | PROT_EXEC)) {
		munmap(image, bytes);
		return false;
	}
	l->image = image;
	l->image_bytes = bytes;
	l->plan = (gb_kernel_plan *)(uintptr_t)(image + l->k.plan_offset);
	l->run = (gb_kernel_run *)(uintptr_t)(image + l->k.run_offset);
	return true;
}

static void unload(struct loaded *l)
{
	if (l->image)
		munmap(l->image, l->image_bytes);
	memset(l, 0, sizeof(*l)); /* what was measured of it as well */
}

static void load(struct loaded *l, struct gb_kernel *slot)
{
	l->k = *slot; /* copied once: the file may change underneath */
	l->shared = slot;
	enum gb_kernel_refusal refusal = check(&l->k);
	if (refusal == GB_REFUSAL_NONE && !load_image(l))
		refusal = GB_REFUSAL_MEMORY;
	slot->refusal = refusal;
	slot->loaded_serial = l->k.serial;
	slot->heads = 0;
	l->used = refusal == GB_REFUSAL_NONE;
	__atomic_store_n(&slot->state, l->used ? GB_KERNEL_LOADED : GB_KERNEL_REFUSED,
			 __ATOMIC_RELEASE); /* pairs: glassbox reading the outcome */
}

/* All vCPUs stand still and no translation is left. */
void kernels_update(void)
{
	for (unsigned i = 0; i < GB_KERNEL_SLOTS; i++) {
		struct gb_kernel *slot = slot_of(i);
		struct loaded *l = &kernels_loaded[i];
		uint32_t state = __atomic_load_n(&slot->state, __ATOMIC_ACQUIRE);
		if (l->used && (state != GB_KERNEL_LOADED || slot->serial != l->k.serial))
			unload(l);
		if (state == GB_KERNEL_READY)
			load(l, slot);
		else if (l->used)
			slot->heads = 0;
	}
	note_first_bytes();
}

/* Whether a block that starts at gva with these bytes starts at the kernel's loop head. The
 * rest of the loop, if the block does not reach to its end, is compared at entry. */
static bool fits(const struct loaded *l, uint64_t gva, const uint8_t *bytes, unsigned n)
{
	unsigned rest = l->k.loop_bytes - l->k.head_offset;
	if (!l->used || (l->k.gva && l->k.gva != gva))
		return false;
	return !memcmp(l->k.loop + l->k.head_offset, bytes, n < rest ? n : rest);
}

struct loaded *kernels_find(uint64_t gva, const uint8_t *bytes, unsigned n)
{
	for (unsigned i = 0; i < GB_KERNEL_SLOTS; i++)
		if (fits(&kernels_loaded[i], gva, bytes, n))
			return &kernels_loaded[i];
	return NULL;
}
