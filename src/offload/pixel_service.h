/* The Pixel CPU service: a process of its own that runs kernels on a GPU for a VM's vCPUs. It
 * alone maps guest RAM writable, because a driver imports only such memory; its GPU programs
 * write private pages (plugin/pixel.h says why). Thread: one. */
#ifndef OFFLOAD_PIXEL_SERVICE_H
#define OFFLOAD_PIXEL_SERVICE_H
#include <stdbool.h>
#include <sys/types.h>
struct error;

struct pixel_service_params {
	const char *vm;
	const char *library; /* NULL: the user's own */
	const char *device; /* part of a device's name, or NULL: the best one */
	bool software; /* a device that is no GPU will do */
	pid_t qemu;
};

/* Serves until offload is switched off or QEMU ends. Fails: ERR_UNSUPPORTED without a fitting
 * device, ERR_GPU when it is lost; the shared file says so too. */
struct error *pixel_service_run(const struct pixel_service_params *params);
#endif
