#include "learn/vex.h"

#include <setjmp.h>
#include <string.h>
#include <valgrind/libvex.h>
#include <valgrind/libvex_guest_amd64.h>

#include "base/error.h"

/* libVEX's failure exit must not return; this is the one place with a long jump. It leaves
 * frames of libVEX only. */
static jmp_buf vex_panic;
extern VexControl vex_control;

__attribute__((noreturn)) static void on_failure(void)
{
	longjmp(vex_panic, 1);
}

static void on_log(const HChar *text, SizeT bytes)
{
	(void)text;
	(void)bytes;
}

static Bool chase_never(void *user, Addr address)
{
	(void)user;
	(void)address;
	return False;
}

static UInt self_check_never(void *user, VexRegisterUpdates *control,
			     const VexGuestExtents *extents)
{
	(void)user;
	(void)control;
	(void)extents;
	return 0;
}

static void no_code(void)
{
}

static void init_once(void)
{
	static bool done;
	if (done)
		return;
	done = true;
	VexControl control;
	LibVEX_default_VexControl(&control);
	control.iropt_unroll_thresh = 0;
	control.iropt_level = 2;
	control.guest_chase = False;
	control.guest_max_insns = VEX_INSNS_MAX;
	control.iropt_register_updates_default = VexRegUpdSpAtMemAccess;
	LibVEX_Init(on_failure, on_log, 0, &control);
}

static void fill_args(VexTranslateArgs *args, const uint8_t *bytes, uint64_t as,
		      VexGuestExtents *extents, UChar *host, Int host_size, Int *host_used)
{
	memset(args, 0, sizeof(*args));
	args->arch_guest = args->arch_host = VexArchAMD64;
	LibVEX_default_VexArchInfo(&args->archinfo_guest);
	args->archinfo_guest.endness = VexEndnessLE;
	args->archinfo_guest.hwcaps = VEX_HWCAPS_AMD64_SSE3 | VEX_HWCAPS_AMD64_SSSE3 |
				      VEX_HWCAPS_AMD64_CX16 | VEX_HWCAPS_AMD64_LZCNT |
				      VEX_HWCAPS_AMD64_AVX | VEX_HWCAPS_AMD64_AVX2 |
				      VEX_HWCAPS_AMD64_BMI;
	args->archinfo_host = args->archinfo_guest;
	LibVEX_default_VexAbiInfo(&args->abiinfo_both);
	args->abiinfo_both.guest_stack_redzone_size = 128;
	args->abiinfo_both.guest_amd64_assume_fs_is_const = True;
	args->abiinfo_both.guest_amd64_assume_gs_is_const = True;
	args->guest_bytes = bytes;
	args->guest_bytes_addr = as;
	args->guest_extents = extents;
	args->chase_into_ok = chase_never;
	args->needs_self_check = self_check_never;
	args->host_bytes = host;
	args->host_bytes_size = host_size;
	args->host_bytes_used = host_used;
	args->disp_cp_chain_me_to_slowEP = (const void *)no_code;
	args->disp_cp_chain_me_to_fastEP = (const void *)no_code;
	args->disp_cp_xindir = (const void *)no_code;
	args->disp_cp_xassisted = (const void *)no_code;
}

static void record_insns(const IRSB *block, uint64_t move, struct vex_block *ret)
{
	for (Int i = 0; i < block->stmts_used; i++) {
		const IRStmt *stmt = block->stmts[i];
		if (stmt->tag != Ist_IMark || ret->n_insns >= VEX_INSNS_MAX)
			continue;
		ret->insns[ret->n_insns++] = stmt->Ist.IMark.addr - move;
		ret->n_bytes = (uint32_t)(stmt->Ist.IMark.addr - move + stmt->Ist.IMark.len -
					  ret->address);
	}
}

struct error *vex_lift(const struct code_source *source, uint64_t gva, uint64_t as,
		       unsigned max_insns, struct vex_block *ret)
{
	static uint8_t bytes[VEX_BLOCK_BYTES_MAX + 64];
	static UChar host[64];
	memset(bytes, 0xf4, sizeof(bytes)); /* hlt beyond what could be read */
	size_t have = source->read(source->user, gva, bytes, VEX_BLOCK_BYTES_MAX);
	if (have == 0)
		return error_create(ERR_FAULT, "no code at 0x%llx", (unsigned long long)gva);
	init_once();
	VexTranslateArgs args;
	VexTranslateResult result;
	VexGuestExtents extents;
	VexRegisterUpdates control = VexRegUpdSpAtMemAccess;
	Int host_used = 0;
	fill_args(&args, bytes, as, &extents, host, sizeof(host), &host_used);
	vex_control.guest_max_insns =
		max_insns && max_insns < VEX_INSNS_MAX ? (Int)max_insns : VEX_INSNS_MAX;
	if (setjmp(vex_panic))
		return error_create(ERR_UNSUPPORTED, "the lifter gave up at 0x%llx",
				    (unsigned long long)gva);
	const IRSB *block = LibVEX_FrontEnd(&args, &result, &control);
	memset(ret, 0, sizeof(*ret));
	ret->address = gva;
	ret->irsb = block;
	record_insns(block, as - gva, ret);
	if (ret->n_insns == 0 || ret->n_bytes > have)
		return error_create(ERR_UNSUPPORTED, "no instruction can be lifted at 0x%llx",
				    (unsigned long long)gva);
	return NULL;
}
