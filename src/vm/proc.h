/* What /proc says about a process: start time (so that a reused PID is noticed), command line.
 * Thread: any. */
#ifndef VM_PROC_H
#define VM_PROC_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
struct error;

/* Reads a whole small file, at most limit_bytes, NUL added. Caller owns *text_ret. */
struct error *proc_read_file(const char *path, size_t limit_bytes, char **text_ret,
			     size_t *length_ret);

/* Clock ticks since boot at which pid started; 0 if there is no such process or it is a
 * zombie. */
uint64_t proc_start_time(pid_t pid);

/* True if pid still is the process that started at start_time. */
bool proc_is(pid_t pid, uint64_t start_time);

/* Waits until the process is gone. False when it is still there after timeout_ms. */
bool proc_wait_gone(pid_t pid, uint64_t start_time, int timeout_ms);

/* Sends a signal if pid still is that process. */
void proc_signal(pid_t pid, uint64_t start_time, int number);

/* A second descriptor of the same open file with another access mode, as QEMU's fdsets want it;
 * or -1 with errno. */
int proc_reopen(int fd, int flags);

uint64_t clock_now_ns(void); /* CLOCK_MONOTONIC */
#endif
