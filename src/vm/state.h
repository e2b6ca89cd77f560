/* The files of the VMs that glassbox runs, and who owns them. Each VM has a folder below the
 * state root and a RAM file in /dev/shm; its keeper process holds a lock on both for as long
 * as it lives, so that what a killed keeper left behind is told from what is in use without
 * trusting any PID. Thread: any; several processes at once. */
#ifndef VM_STATE_H
#define VM_STATE_H
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct error;

/* $XDG_RUNTIME_DIR/glassbox, or /run/glassbox for root, else /tmp/glassbox-UID; made on
 * demand with mode 0700. Caller owns *ret. */
struct error *state_root(char **ret);

/* Path of a file in a VM's folder; file NULL: the folder. Caller owns *ret. */
struct error *state_path(const char *name, const char *file, char **ret);

/* Path of a VM's file in /dev/shm: kind is "ram", "trace", ... Caller owns *ret. */
struct error *state_shm_path(const char *name, const char *kind, char **ret);

/* ERR_USAGE unless name can be a VM's name: letters, digits, '.', '_', '-', 1 to 48 of them,
 * not starting with a dot or a dash, not all digits (that is a PID). */
struct error *state_check_name(const char *name);

/* Makes and locks a VM's folder. Caller owns the descriptor, which holds the lock; it may be
 * inherited. ERR_LIMIT if a VM of that name is running. */
struct error *state_claim(const char *name, int *lock_ret);

/* True if some process holds the folder's lock. */
bool state_is_running(const char *name);

/* vm.json: written whole or not at all. Caller owns *ret. ERR_NOT_FOUND, ERR_BAD_DATA. */
struct error *state_write(const char *name, const json_t *document);
struct error *state_read(const char *name, json_t **ret);

/* Names of running VMs, sorted: a JSON array of strings. Caller owns *ret. */
struct error *state_names(json_t **ret);

/* Removes a VM's folder and its files in /dev/shm. */
void state_remove(const char *name);

/* Removes only the folder: when the files in /dev/shm were not ours to begin with. */
void state_remove_folder(const char *name);

/* Ends the QEMUs and removes the files of VMs whose keeper is gone. Cheap; called by every
 * command that starts or lists VMs. Returns how many VMs were swept up. */
unsigned state_sweep(void);

/* Makes the RAM file (mode 0600, sparse, locked). Caller owns *fd_ret. Fails: ERR_LIMIT when
 * /dev/shm has no room for it. */
struct error *state_ram_create(const char *name, uint64_t size_bytes, int *fd_ret);
#endif
