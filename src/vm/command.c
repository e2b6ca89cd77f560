#include "vm/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

void command_deinit(struct command *command)
{
	for (size_t i = 0; i < command->words.count; i++)
		free(command->words.items[i]);
	VEC_FREE(&command->words);
}

/* Adds one word; failures show as a missing word at the end of command_build. */
static void add(struct command *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void add(struct command *command, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	char *word = NULL;
	if (vasprintf(&word, format, args) < 0)
		word = NULL;
	va_end(args);
	if (!VEC_PUSH(&command->words, word))
		free(word);
}

static void add_pair(struct command *command, const char *option, const char *value)
{
	add(command, "%s", option);
	add(command, "%s", value);
}

/* A path inside a QEMU option: commas are doubled. Caller owns. */
static char *escaped(const char *path)
{
	char *text = malloc(strlen(path) * 2 + 1), *to = text;
	for (; text && *path; path++) {
		if (*path == ',')
			*to++ = ',';
		*to++ = *path;
	}
	if (text)
		*to = 0;
	return text;
}

const char *command_machine(const struct vm_spec *spec)
{
	return spec->machine ? spec->machine : "q35";
}

static bool is_microvm(const struct vm_spec *spec)
{
	return !strncmp(command_machine(spec), "microvm", strlen("microvm"));
}

static void add_machine(const struct command_params *params, struct command *command)
{
	const struct vm_spec *spec = params->spec;
	add(command, "-machine");
	add(command, "%s,memory-backend=ram0", command_machine(spec));
	add(command, "-accel");
	if (params->accel == QEMU_ACCEL_KVM)
		add(command, "kvm");
	else
		add(command, "tcg,thread=multi");
	if (spec->cpu || params->accel == QEMU_ACCEL_KVM) {
		add(command, "-cpu");
		add(command, "%s", spec->cpu ? spec->cpu : "host");
	}
	add(command, "-smp");
	add(command, "%u", spec->cpus);
	add(command, "-m");
	add(command, "%lluK", (unsigned long long)(spec->mem_bytes >> 10));
	AUTO(own_free) char *ram = escaped(params->ram_path);
	add(command, "-object");
	add(command, "memory-backend-file,id=ram0,size=%lluK,mem-path=%s,share=on",
	    (unsigned long long)(spec->mem_bytes >> 10), ram ? ram : "");
}

static void add_channels(const struct command_params *params, struct command *command)
{
	add(command, "-chardev");
	add(command, "socket,id=events,fd=%d", params->events_fd);
	add_pair(command, "-mon", "chardev=events,mode=control");
	add(command, "-chardev");
	add(command, "socket,id=qmp,fd=%d,server=on,wait=off", params->qmp_fd);
	add_pair(command, "-mon", "chardev=qmp,mode=control");
	add(command, "-chardev");
	add(command, "socket,id=serial0,fd=%d", params->serial_fd);
	add_pair(command, "-serial", "chardev:serial0");
}

static bool has_word(const char *text, const char *prefix)
{
	size_t length = strlen(prefix);
	for (const char *at = text; at && *at; at += strcspn(at, " "), at += strspn(at, " "))
		if (!strncmp(at, prefix, length))
			return true;
	return false;
}

static void add_kernel(const struct command_params *params, struct command *command)
{
	const struct vm_spec *spec = params->spec;
	if (!spec->kernel)
		return;
	add_pair(command, "-kernel", spec->kernel);
	if (spec->initrd)
		add_pair(command, "-initrd", spec->initrd);
	char tsc[48] = "";
	/* The kernel then need not measure its clock for 50 ms. Only TCG passes the host's
	 * counter through at its own rate. */
	if (params->tsc_khz && params->accel == QEMU_ACCEL_TCG && spec->profile &&
	    !has_word(spec->append, "tsc_early_khz="))
		snprintf(tsc, sizeof(tsc), " tsc_early_khz=%u", params->tsc_khz);
	const char *console = has_word(spec->append, "console=") ? "" : "console=ttyS0 ";
	/* The last console named is /dev/console: it stays the serial line. */
	add(command, "-append");
	add(command, "%s%s%s%s", spec->screen && spec->profile ? "console=tty0 " : "", console,
	    spec->append ? spec->append : "", tsc);
}

/* Gives QEMU image i and returns its number as an fdset. */
static unsigned add_image(const struct command_params *params, struct command *command,
			  size_t i)
{
	unsigned set = (unsigned)i + 100; /* clear of the sets that monitors make */
	add(command, "-add-fd");
	add(command, "fd=%d,set=%u", params->images[i].fd, set);
	if (params->images[i].read_fd >= 0) {
		add(command, "-add-fd");
		add(command, "fd=%d,set=%u", params->images[i].read_fd, set);
	}
	return set;
}

static void add_disks(const struct command_params *params, struct command *command)
{
	const struct vm_spec *spec = params->spec;
	const char *device = is_microvm(spec) ? "virtio-blk-device" : "virtio-blk-pci";
	size_t index = 0;
	for (const char *const *disk = spec->disks; disk && *disk; disk++, index++) {
		unsigned set = add_image(params, command, index);
		add(command, "-drive");
		add(command,
		    "if=none,id=disk%zu,file=/dev/fdset/%u,format=%s,file.locking=off%s", index,
		    set, params->images[index].format, spec->snapshot ? ",snapshot=on" : "");
		add(command, "-device");
		add(command, "%s,drive=disk%zu%s", device, index,
		    index || is_microvm(spec) ? "" : ",bootindex=2");
	}
	if (spec->iso) {
		unsigned set = add_image(params, command, index);
		add(command, "-drive");
		add(command,
		    "if=none,id=iso,media=cdrom,readonly=on,format=raw,file=/dev/fdset/%u",
		    set);
		add_pair(command, "-device", "ide-cd,drive=iso,bootindex=1");
	}
}

static void add_network(const struct vm_spec *spec, struct command *command)
{
	if (!spec->net && !(spec->forwards && *spec->forwards))
		return;
	char options[1024] = "user,id=net0";
	size_t used = strlen(options);
	for (const char *const *at = spec->forwards; at && *at && used < sizeof(options); at++)
		used += (size_t)snprintf(options + used, sizeof(options) - used, ",hostfwd=%s",
					 *at);
	add_pair(command, "-netdev", options);
	add(command, "-device");
	add(command, "%s,netdev=net0",
	    is_microvm(spec) ? "virtio-net-device" : "virtio-net-pci");
}

/* The screen listens nowhere: viewers are handed to QEMU one by one (vm_screen). */
static void add_screen(const struct vm_spec *spec, struct command *command)
{
	if (!spec->screen)
		return;
	add_pair(command, "-vnc", "none");
	add_pair(command, "-device", "VGA");
	add_pair(command, "-device", "qemu-xhci");
	add_pair(command, "-device", "usb-tablet");
}

static void add_firmware(const struct command_params *params, struct command *command)
{
	const struct vm_spec *spec = params->spec;
	if (spec->uefi) {
		add(command, "-drive");
		add(command, "if=pflash,unit=0,format=raw,readonly=on,file=%s",
		    params->uefi_code);
		unsigned set = add_image(params, command, params->n_images - 1);
		add(command, "-drive");
		add(command, "if=pflash,unit=1,format=raw,file.locking=off,file=/dev/fdset/%u",
		    set);
	} else if ((spec->kernel || spec->restore) && spec->profile && !is_microvm(spec) &&
		   !spec->screen) {
		/* A tenth of a second faster than SeaBIOS. */
		add_pair(command, "-bios", "qboot.rom");
	}
}

static struct error *check_spec(const struct vm_spec *spec)
{
	bool disks = spec->disks && *spec->disks;
	if (!spec->kernel && (spec->initrd || spec->append))
		return error_create(ERR_USAGE, "--initrd and --append need --kernel");
	if (spec->uefi && (is_microvm(spec) || spec->is_i386))
		return error_create(ERR_USAGE, "--uefi needs a 64-bit q35 machine");
	if (is_microvm(spec) && !spec->restore && (spec->iso || (disks && !spec->kernel)))
		return error_create(ERR_USAGE,
				    "a microvm boots a kernel, not a disk or an ISO");
	if (is_microvm(spec) && spec->screen)
		return error_create(ERR_USAGE, "a microvm has no screen");
	if (!spec->kernel && !disks && !spec->iso && !spec->uefi && !spec->restore)
		return error_create(ERR_USAGE, "nothing to boot: no kernel, disk or ISO");
	if (spec->mem_bytes < 1u << 20 || spec->mem_bytes % (1u << 20))
		return error_create(ERR_USAGE, "--mem must be whole MiB");
	if (!spec->cpus || spec->cpus > 64)
		return error_create(ERR_USAGE, "--cpus must be 1 to 64");
	return NULL;
}

struct error *command_build(const struct command_params *params, struct command *ret)
{
	const struct vm_spec *spec = params->spec;
	TRY(check_spec(spec));
	add(ret, "%s", params->qemu->path);
	add(ret, "-name");
	add(ret, "guest=%s", spec->name);
	add(ret, "-nodefaults");
	add(ret, "-no-user-config");
	add_pair(ret, "-display", "none");
	add(ret, "-S");
	add_machine(params, ret);
	add_channels(params, ret);
	add_firmware(params, ret);
	add_kernel(params, ret);
	add_disks(params, ret);
	add_network(spec, ret);
	add_screen(spec, ret);
	if (params->plugin)
		add_pair(ret, "-plugin", params->plugin);
	if (params->sandbox)
		add_pair(ret, "-sandbox",
			 "on,obsolete=deny,elevateprivileges=deny,spawn=deny,"
			 "resourcecontrol=deny");
	if (spec->restore)
		add_pair(ret, "-incoming", "defer");
	for (const char *const *word = spec->qemu_args; word && *word; word++)
		add(ret, "%s", *word);
	for (size_t i = 0; i < ret->words.count; i++)
		if (!ret->words.items[i])
			return error_create(ERR_MEMORY, "no memory for a command line");
	if (!VEC_PUSH(&ret->words, NULL))
		return error_create(ERR_MEMORY, "no memory for a command line");
	return NULL;
}
