/* Bytes of a request's answer into the guest. Thread: the vCPU's, inside a callback; threads of
 * the crew help and are waited for. */
#ifndef PLUGIN_PIXEL_COPY_H
#define PLUGIN_PIXEL_COPY_H
#include "pixel_pages.h"

void pixel_copy_open(void); /* once, not before QEMU has forked for good */

/* Copies what the request's first `done` iterations stored, from its data. False: a page of
 * them holds code, and nothing was copied. */
bool pixel_copy(const struct gb_plan *plan, const struct pixel_own *o, const uint8_t *data,
		uint64_t done);
#endif
