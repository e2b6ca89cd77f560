#include "vm/images.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/own.h"

static void close_image(const struct command_image *image)
{
	close(image->fd);
	if (image->read_fd >= 0)
		close(image->read_fd);
}

void images_deinit(struct images *images)
{
	for (size_t i = 0; i < images->count; i++)
		close_image(&images->items[i]);
	free(images->uefi_code);
	*images = (struct images){ 0 };
}

static struct error *add(struct images *images, int fd, const char *format)
{
	if (images->count == MAX_IMAGES) {
		close(fd);
		return error_create(ERR_LIMIT, "more than %u images", MAX_IMAGES);
	}
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	bool writable = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR;
	int read_fd = writable ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	images->items[images->count++] = (struct command_image){ fd, read_fd, format };
	return NULL;
}

/* By the first bytes, not by the name: a raw disk that a guest filled with a qcow2 header must
 * not make QEMU open other files of the host, so that needs the name as well. */
static const char *format_of(const char *path, int fd)
{
	char magic[4] = "";
	const char *dot = strrchr(path, '.');
	bool named = dot && (!strcmp(dot, ".qcow2") || !strcmp(dot, ".qcow"));
	return named && pread(fd, magic, 4, 0) == 4 && !memcmp(magic, "QFI\xfb", 4) ? "qcow2"
										    : "raw";
}

static struct error *open_image(struct images *images, const char *path, bool writable)
{
	AUTO(own_fd) int fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	struct stat info;
	if (fd < 0)
		return error_system(errno, "cannot open the image %s", path);
	if (fstat(fd, &info) || (!S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode)))
		return error_create(ERR_BAD_DATA, "%s is not a disk image", path);
	if (S_ISREG(info.st_mode) && !info.st_size)
		return error_create(ERR_BAD_DATA, "the image %s is empty", path);
	/* QEMU's own locks get into each other's way when it is handed descriptors; this one is
	 * held as long as QEMU has the image open. */
	if (writable && flock(fd, LOCK_EX | LOCK_NB))
		return error_create(ERR_LIMIT, "the image %s is in use by another VM", path);
	const char *format = writable ? format_of(path, fd) : "raw";
	return add(images, own_fd_take(&fd), format);
}

/* Variables are kept in memory: each VM starts with the firmware's own. */
static struct error *copy_variables(struct images *images, const char *path)
{
	AUTO(own_fd) int from = open(path, O_RDONLY | O_CLOEXEC);
	AUTO(own_fd) int to = memfd_create("uefi-variables", MFD_CLOEXEC);
	struct stat info;
	if (from < 0 || to < 0 || fstat(from, &info))
		return error_system(errno, "cannot copy %s", path);
	if (sendfile(to, from, NULL, (size_t)info.st_size) != info.st_size)
		return error_system(errno, "cannot copy %s", path);
	return add(images, own_fd_take(&to), "raw");
}

static struct error *open_firmware(struct images *images)
{
	static const char *const places[][2] = {
		{ "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd" },
		{ "/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd" },
		{ "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
		  "/usr/share/edk2/x64/OVMF_VARS.4m.fd" },
	};
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		if (access(places[i][0], R_OK) || access(places[i][1], R_OK))
			continue;
		images->uefi_code = strdup(places[i][0]);
		return images->uefi_code ? copy_variables(images, places[i][1])
					 : error_create(ERR_MEMORY, "no memory for a path");
	}
	return error_hint(error_create(ERR_NOT_FOUND, "no UEFI firmware found"),
			  "`apt-get install ovmf`");
}

struct error *images_open(const struct vm_spec *spec, struct images *ret)
{
	for (const char *const *disk = spec->disks; disk && *disk; disk++)
		TRY(open_image(ret, *disk, true));
	if (spec->iso)
		TRY(open_image(ret, spec->iso, false));
	return spec->uefi ? open_firmware(ret) : NULL;
}
