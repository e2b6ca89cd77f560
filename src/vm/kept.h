/* Snapshots kept by name, $XDG_DATA_HOME/glassbox/snapshots/NAME.gbs: for those who cannot name
 * files of this machine. Thread: any. */
#ifndef VM_KEPT_H
#define VM_KEPT_H
#include <jansson.h>
struct error;

/* File of a kept snapshot, there or not; its folder is made. Names are as VMs' (vm/state.h).
 * Caller owns *ret. ERR_USAGE for a strange name. */
struct error *kept_path(const char *name, char **ret);

/* Newest first: objects with name, taken (seconds since 1970), bytes (on disk), mem_bytes. What
 * is not a snapshot is left out. Caller owns *ret. */
struct error *kept_list(json_t **ret);

/* ERR_NOT_FOUND when there is none of that name. */
struct error *kept_remove(const char *name);
#endif
