#include "vm/demo_guest.h"

#include <stdio.h>
#include <string.h>

#include "base/cache_path.h"
#include "base/error.h"
#include "base/setup_path.h"
#include "vm/proc.h"

#define DEFAULT_MEM (128u << 20)

void demo_guest_deinit(struct demo_guest *guest)
{
	free(guest->kernel);
	free(guest->initrd);
	json_decref(guest->profile);
	*guest = (struct demo_guest){ 0 };
}

static const char *text(const struct demo_guest *guest, const char *key)
{
	return json_string_value(json_object_get(guest->profile, key));
}

static struct error *join(const char *folder, const char *profile, const char *file, char **ret)
{
	if (asprintf(ret, "%s/%s/%s", folder, profile, file) < 0) {
		*ret = NULL;
		return error_create(ERR_MEMORY, "no memory for a path");
	}
	return NULL;
}

static struct error *load_profile(const char *folder, const char *profile,
				  struct demo_guest *guest)
{
	AUTO(own_free) char *path = NULL;
	AUTO(own_free) char *words = NULL;
	TRY(join(folder, profile, "profile.json", &path));
	if (access(path, R_OK))
		return error_hint(
			error_create(ERR_NOT_FOUND, "there is no demo guest '%s'", profile),
			"`%s guest %s` makes it", setup_path(), profile);
	TRY(proc_read_file(path, 65536, &words, NULL));
	guest->profile = json_loads(words, 0, NULL);
	if (!text(guest, "initrd") || !text(guest, "vmlinuz") || !text(guest, "append"))
		return error_create(ERR_BAD_DATA, "%s is damaged", path);
	return NULL;
}

/* A plain file name inside the profile's folder. */
static struct error *file_path(const char *folder, const char *profile, const char *file,
			       char **ret)
{
	if (strchr(file, '/'))
		return error_create(ERR_BAD_DATA, "profile %s names a strange file", profile);
	return join(folder, profile, file, ret);
}

struct error *demo_guest_fill(const char *profile, bool is_kaslr, struct vm_spec *spec,
			      struct demo_guest *ret)
{
	AUTO(own_free) char *folder = NULL;
	const char *name = profile ? profile : DEMO_GUEST_PROFILE;
	if (strchr(name, '/') || *name == '.')
		return error_create(ERR_USAGE, "'%s' is not a profile", name);
	TRY(cache_path("guests", &folder));
	TRY(load_profile(folder, name, ret));
	bool pvh = json_is_true(json_object_get(ret->profile, "pvh")) && !is_kaslr &&
		   !spec->screen && text(ret, "vmlinux");
	const char *append_kaslr = text(ret, "append_kaslr");
	TRY(file_path(folder, name, text(ret, pvh ? "vmlinux" : "vmlinuz"), &ret->kernel));
	TRY(file_path(folder, name, text(ret, "initrd"), &ret->initrd));
	spec->kernel = ret->kernel;
	spec->initrd = spec->initrd ? spec->initrd : ret->initrd;
	if (!spec->append)
		spec->append = is_kaslr && append_kaslr ? append_kaslr : text(ret, "append");
	bool has_devices = spec->disks || spec->net || spec->forwards;
	/* A kernel sees a VGA screen only on q35, booted through its own real-mode code. */
	if (!spec->machine && !is_kaslr && !spec->is_i386 && !spec->iso && !spec->screen)
		spec->machine = text(ret, has_devices ? "machine_devices" : "machine");
	const char *arch = text(ret, "arch");
	spec->is_i386 = spec->is_i386 || (arch && !strcmp(arch, "i386"));
	if (!spec->mem_bytes)
		spec->mem_bytes = DEFAULT_MEM;
	spec->first_text = text(ret, "first_line");
	spec->ready_text = text(ret, "ready_line");
	spec->profile = text(ret, "profile");
	spec->no_powerdown = true;
	return NULL;
}
