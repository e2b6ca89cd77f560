/* Runs gcc over generated source and loads what comes out. The linker script puts a small table
 * in front of the code, so that the output is one flat file that needs no ELF parsing:
 *
 *   0 plan's offset   4 run's offset   8 size   12 "GBXN"   16 .. code, then constants
 *
 * It refuses anything that would need a relocation or writable data. */
#include "mcode/native.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/error.h"
#include "mcode/native_cache.h"
#include "mcode/program.h"
#include "mcode/work_dir.h"
#include "plugin/kernel_abi.h"

#define IMAGE_TABLE_BYTES 16u
#define IMAGE_MAX_BYTES (1u << 20)
#define COMPILER_CPU_SECONDS 30
#define COMPILER_MEMORY_BYTES (4ull << 30)

_Static_assert((int)MCODE_NATIVE_AVX2 == (int)GB_FEATURE_AVX2, "feature bits are the plugin's");
_Static_assert((int)MCODE_NATIVE_AVX512 == (int)GB_FEATURE_AVX512,
	       "feature bits are the plugin's");

static const char linker_script[] =
	"ENTRY(plan)\n"
	"SECTIONS {\n"
	"  . = 0;\n"
	"  .all : { LONG(plan) LONG(run) LONG(image_end) LONG(0x4e584247)\n"
	"           *(.text .text.*) . = ALIGN(64); *(.rodata .rodata.*) . = ALIGN(16);\n"
	"           image_end = .; }\n"
	"  .data : { *(.data .data.* .bss .bss.* COMMON .tdata .tbss .got .got.* .rela.*) }\n"
	"  ASSERT(SIZEOF(.data) == 0, \"writable data or relocations\")\n"
	"  /DISCARD/ : { *(.comment .note* .eh_frame* .dynamic .dynsym .dynstr .hash .gnu.*"
	" .interp .plt .plt.*) }\n"
	"}\n";

static enum mcode_native_target host_target(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
			       __builtin_cpu_supports("fma")
		       ? MCODE_NATIVE_AVX2
		       : MCODE_NATIVE_SSE2;
}

/* gcc's, before the instruction set; NULL at the end. */
static const char *const compiler_options[] = {
	"-O3",
	"-mprefer-vector-width=256",
	"-fPIE",
	"-ffreestanding",
	"-fno-tree-loop-distribute-patterns",
	"-fno-stack-protector",
	"-fcf-protection=none",
	"-fno-asynchronous-unwind-tables",
	"-fno-jump-tables",
	"-fno-ident",
	"-fvect-cost-model=dynamic",
	"--param=vect-max-peeling-for-alignment=0",
	"-w",
	"-nostdlib",
	"-static-pie",
	"-Wl,--no-dynamic-linker,--build-id=none,--oformat=binary",
	"-Wl,-z,noseparate-code,-T,k.ld",
	"-o",
	"k.bin",
	"k.c",
	NULL
};

static const char *march_option(enum mcode_native_target target)
{
	return target == MCODE_NATIVE_AVX512 ? "-march=x86-64-v4"
	       : target == MCODE_NATIVE_AVX2 ? "-march=x86-64-v3"
					     : "-march=x86-64";
}

/* In the child: limits, quiet, then gcc. Only async-signal-safe calls. */
static _Noreturn void exec_compiler(const struct work_dir *dir, const char *march)
{
	const char *argv[sizeof(compiler_options) / sizeof(*compiler_options) + 2] = { "gcc",
										       march };
	memcpy(argv + 2, compiler_options, sizeof(compiler_options));
	struct rlimit cpu = { COMPILER_CPU_SECONDS, COMPILER_CPU_SECONDS };
	struct rlimit memory = { COMPILER_MEMORY_BYTES, COMPILER_MEMORY_BYTES };
	setrlimit(RLIMIT_CPU, &cpu);
	setrlimit(RLIMIT_AS, &memory);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (chdir(dir->path))
		_exit(126);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int log = open("k.log", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	dup2(null, 0);
	dup2(log, 1);
	dup2(log, 2);
	execvp("gcc", (char *const *)argv);
	_exit(127);
}

static struct error *compiler_failed(const struct work_dir *dir)
{
	char path[96], line[200] = "";
	snprintf(path, sizeof(path), "%s/k.log", dir->path);
	AUTO(own_file) FILE *log = fopen(path, "re");
	if (log && !fgets(line, sizeof(line), log))
		line[0] = 0;
	line[strcspn(line, "\n")] = 0;
	return error_create(ERR_PEER, "gcc refused a generated kernel: %s", line);
}

static struct error *run_compiler(const struct work_dir *dir, const char *march)
{
	int status;
	pid_t child = fork();
	if (child < 0)
		return error_system(errno, "cannot start gcc");
	if (!child)
		exec_compiler(dir, march);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return error_system(errno, "cannot wait for gcc");
	if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL))
		return error_create(ERR_LIMIT, "gcc took more than %d s for a kernel",
				    COMPILER_CPU_SECONDS);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return error_hint(error_create(ERR_NOT_FOUND, "no gcc to compile kernels with"),
				  "apt-get install gcc");
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return compiler_failed(dir);
	return NULL;
}

static struct error *read_image(const struct work_dir *dir, struct mcode_image *image)
{
	char path[96];
	struct stat st;
	snprintf(path, sizeof(path), "%s/k.bin", dir->path);
	AUTO(own_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return error_system(errno, "gcc left no image");
	if (st.st_size < (off_t)IMAGE_TABLE_BYTES || st.st_size > (off_t)IMAGE_MAX_BYTES)
		return error_create(ERR_LIMIT, "a kernel of %lld bytes", (long long)st.st_size);
	AUTO(own_free) uint8_t *bytes = NULL;
	TRY(error_alloc((size_t)st.st_size, 1, &bytes));
	if (pread(fd, bytes, (size_t)st.st_size, 0) != st.st_size)
		return error_system(errno, "cannot read the image");
	image->size_bytes = (size_t)st.st_size;
	image->bytes = TAKE(bytes);
	return NULL;
}

static struct error *read_table(struct mcode_image *image)
{
	const uint8_t *bytes = image->bytes;
	size_t size = image->size_bytes;
	if (size < IMAGE_TABLE_BYTES || memcmp(bytes + 12, "GBXN", 4) != 0 ||
	    load_u32(bytes + 8) != size)
		return error_create(ERR_PEER, "gcc's image has no table");
	image->plan_offset = load_u32(bytes);
	image->run_offset = load_u32(bytes + 4);
	if (image->plan_offset >= size || image->run_offset >= size)
		return error_create(ERR_PEER, "gcc's image has no code");
	return NULL;
}

static void set_masks(const struct mcode_kernel *kernel, struct mcode_image *image)
{
	for (uint32_t i = 0; i < kernel->n_inputs; i++) {
		unsigned guest = kernel->inputs[i].guest;
		if (guest < MCODE_XMM)
			image->in_gpr |= UINT64_C(1) << guest;
		else
			image->in_xmm |= UINT64_C(1) << (guest - MCODE_XMM) / 2;
	}
	for (uint32_t i = 0; i < kernel->n_exits; i++) {
		unsigned guest = kernel->exits[i].guest;
		if (guest < MCODE_XMM)
			image->out_gpr |= UINT64_C(1) << guest;
		else
			image->out_xmm |= UINT64_C(1) << (guest - MCODE_XMM) / 2;
	}
	/* Half of an XMM register is written back with the other half as it came in. */
	image->in_xmm |= image->out_xmm;
}

static struct error *compile(const char *source, const char *march, struct mcode_image *image)
{
	AUTO(work_dir_remove) struct work_dir dir = { .lock = -1 };
	TRY(work_dir_make(&dir));
	TRY(work_dir_write(&dir, "k.c", source));
	TRY(work_dir_write(&dir, "k.ld", linker_script));
	TRY(run_compiler(&dir, march));
	return read_image(&dir, image);
}

/* All that gcc is given, in one string. */
static struct error *make_key(const char *source, const char *march, char **ret)
{
	size_t size;
	FILE *to = open_memstream(ret, &size);
	if (!to)
		return error_create(ERR_MEMORY, "no memory for a kernel's source");
	fprintf(to, "%s\n", march);
	for (const char *const *option = compiler_options; *option; option++)
		fprintf(to, "%s\n", *option);
	fprintf(to, "%s\n%s", linker_script, source);
	return fclose(to) ? error_create(ERR_MEMORY, "no memory for a kernel's source") : NULL;
}

static struct error *compile_new(const char *source, const char *march,
				 struct mcode_image *image)
{
	TRY(compile(source, march, image));
	return read_table(image);
}

static struct error *find_or_compile(const char *source, const char *march,
				     struct mcode_image *image)
{
	AUTO(own_free) char *key = NULL;
	TRY(make_key(source, march, &key));
	image->bytes = native_cache_find(key, IMAGE_MAX_BYTES, &image->size_bytes);
	if (image->bytes) {
		struct error *err = read_table(image);
		if (!err)
			return NULL;
		error_destroy(err);
		mcode_image_free(image);
	}
	TRY(compile_new(source, march, image));
	native_cache_keep(key, image->bytes, image->size_bytes);
	return NULL;
}

typedef struct error *image_getter(const char *source, const char *march,
				   struct mcode_image *image);

static struct error *get_image(const struct mcode_kernel *kernel,
			       enum mcode_native_target target, image_getter *get,
			       struct mcode_image *ret)
{
	AUTO(own_free) char *source = NULL;
	AUTO(mcode_image_free) struct mcode_image image = { 0 };
	if (target == MCODE_NATIVE_HOST)
		target = host_target();
	TRY(mcode_native_source(kernel, &source));
	TRY(get(source, march_option(target), &image));
	image.features = (uint32_t)target;
	set_masks(kernel, &image);
	image.uneven = mcode_body_jumps(kernel);
	*ret = image;
	image.bytes = NULL;
	return NULL;
}

struct error *mcode_native_compile(const struct mcode_kernel *kernel,
				   enum mcode_native_target target, struct mcode_image *ret)
{
	return get_image(kernel, target, compile_new, ret);
}

struct error *mcode_native_get(const struct mcode_kernel *kernel,
			       enum mcode_native_target target, struct mcode_image *ret)
{
	return get_image(kernel, target, find_or_compile, ret);
}

void mcode_image_free(struct mcode_image *image)
{
	free(image->bytes);
	*image = (struct mcode_image){ 0 };
}

struct mcode_native {
	uint8_t *code;
	size_t size_bytes;
	uint32_t plan_offset, run_offset;
};

struct error *mcode_native_load(const struct mcode_image *image, struct mcode_native **ret)
{
	AUTO(own_mcode_native) struct mcode_native *native = NULL;
	TRY(error_alloc(1, sizeof(*native), &native));
	void *code = mmap(NULL, image->size_bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (code == MAP_FAILED)
		return error_system(errno, "cannot map a kernel");
	native->code = code;
	native->size_bytes = image->size_bytes;
	native->plan_offset = image->plan_offset;
	native->run_offset = image->run_offset;
	memcpy(code, image->bytes, image->size_bytes);
	if (mprotect(code, image->size_bytes, PROT_READ | PROT_EXEC))
		return error_system(errno, "cannot make a kernel executable");
	*ret = TAKE(native);
	return NULL;
}

void mcode_native_destroy(struct mcode_native *native)
{
	if (!native)
		return;
	if (native->code)
		munmap(native->code, native->size_bytes);
	free(native);
}

mcode_native_plan *mcode_native_plan_get(const struct mcode_native *native)
{
	return (mcode_native_plan *)(void *)(native->code + native->plan_offset);
}

mcode_native_run *mcode_native_run_get(const struct mcode_native *native)
{
	return (mcode_native_run *)(void *)(native->code + native->run_offset);
}
