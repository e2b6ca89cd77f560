/* The Pixel CPU's own memory, /dev/shm/glassbox-VM-pixel (plugin/pixel.h), as seen from outside
 * the service. Thread: any. */
#ifndef OFFLOAD_PIXEL_FILE_H
#define OFFLOAD_PIXEL_FILE_H
#include <jansson.h>
#include <stdint.h>
struct error;

/* /dev/shm/glassbox-VM-KIND for reading and writing, and its size. ERR_NOT_FOUND. */
struct error *pixel_file_open(const char *vm, const char *kind, int *fd_ret,
			      uint64_t *bytes_ret);

/* What the last service left as its state: before another is started. */
struct error *pixel_file_forget(const char *vm);

/* {state, pid, device, imported, memory, requests, done, refused, abandoned, iterations, ns,
 * spent_ns}, or null for a VM without the file. state: "off", "starting", "ready", "no device",
 * "lost", "gone" (was ready, but its heart does not beat). Caller owns *ret. */
struct error *pixel_file_report(const char *vm, json_t **ret);
#endif
