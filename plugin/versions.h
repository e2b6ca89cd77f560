/* Which plugin file fits which QEMU: one shared object is built per plugin interface number,
 * since QEMU refuses any other. Load it as
 *
 *   -plugin DIR/FILE,control=/dev/shm/glassbox-VM-trace,ram=/dev/shm/glassbox-VM-ram
 *
 * where DIR is plugin/ of the build tree or LIBDIR/glassbox. Thread: any. */
#ifndef PLUGIN_VERSIONS_H
#define PLUGIN_VERSIONS_H
#include <stddef.h>

struct gb_plugin_file {
	int major, minor; /* first QEMU release with this interface */
	const char *file; /* NULL: no plugin is built for it */
};

/* ORDER plugin files: newest first. */
static const struct gb_plugin_file gb_plugin_files[] = {
	{ 11, 1, "glassbox-plugin-7.so" }, /* watching and offload */
	{ 11, 0, NULL }, /* interface 6 */
	{ 10, 1, "glassbox-plugin-5.so" }, /* watching */
	{ 9, 2, "glassbox-plugin-4.so" }, /* watching */
	{ 0, 0, NULL },
};

/* File name for a QEMU release, or NULL: this release gets no plugin. */
static inline const char *gb_plugin_file_for(int major, int minor)
{
	for (size_t i = 0; i < sizeof(gb_plugin_files) / sizeof(*gb_plugin_files); i++) {
		const struct gb_plugin_file *at = &gb_plugin_files[i];
		if (major > at->major || (major == at->major && minor >= at->minor))
			return at->file;
	}
	return NULL;
}
#endif
