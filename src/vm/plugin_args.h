/* How QEMU is told to load glassbox's plugin. Thread: any. */
#ifndef VM_PLUGIN_ARGS_H
#define VM_PLUGIN_ARGS_H
struct error;
struct qemu_binary;

/* Value of -plugin for this QEMU and VM (docs/plugin.md). Caller owns *ret. Fails:
 * ERR_UNSUPPORTED (no plugin for this release), ERR_NOT_FOUND (not built or installed). */
struct error *plugin_args(const struct qemu_binary *qemu, const char *vm_name,
			  const char *ram_path, char **ret);
#endif
