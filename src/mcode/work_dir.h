/* A folder for the files of one compilation, removed with it. What a killed process left behind
 * is removed by the next one: a folder is in use as long as somebody holds its lock. Thread:
 * any.
 */
#ifndef MCODE_WORK_DIR_H
#define MCODE_WORK_DIR_H
#include <stddef.h>
struct error;

struct work_dir {
	char path[64];
	int lock; /* the folder itself, locked; -1: none */
};

struct error *work_dir_make(struct work_dir *dir);
/* Removes the folder and the files in it. */
void work_dir_remove(struct work_dir *dir);
struct error *work_dir_write(const struct work_dir *dir, const char *name, const char *text);
/* Removes folders that nobody holds and that are older than age_s. */
void work_dir_sweep(unsigned age_s);
#endif
