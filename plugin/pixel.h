/* The shared file between the plugin and the Pixel CPU service: /dev/shm/glassbox-VM-pixel. It
 * is the Pixel CPU's own memory: requests, and the pages that a GPU writes.
 *
 *   0 +------------------+
 *     | struct gb_pixel  |  the service: who, what it can do, what it did
 *  4K +------------------+
 *     | request x 4      |  struct gb_pixel_request, then its page list
 *     +------------------+  GB_PIXEL_DATA_OFFSET
 *     | data x 4         |  32 MiB for each request: private copies of the pages it writes
 *     +------------------+  GB_PIXEL_FILE_BYTES
 *
 * The life of a request, in its `state`; every step is one compare-exchange, so that each state
 * has one owner:
 *
 *   FREE -P-> FILLING -P-> ASKED -S-> RUNNING -S-> DONE or REFUSED -P-> FILLING -P-> FREE
 *                            |           |
 *                            P gives up  P gives up
 *                            v           v
 *                         FILLING     ABANDONED -S, once nothing runs any more-> FREE
 *
 * A run: several requests for consecutive iterations of one loop, asked one after the other
 * without waiting, all with the registers that the loop had at the run's start. The service
 * answers in the order of their tickets. Its answer to one that comes `first` iterations into
 * the run holds the registers after all of them, so that sums go on from the answer to the
 * `previous` one; without a good answer to that one it is refused. So the device works on one
 * request while the plugin copies the last one's bytes into the guest.
 *
 * The fence. The service writes only its copies of pages in the request's data, never guest
 * memory: it is the plugin that copies them into the guest, while the vCPU waits, in the order
 * of iterations, and only after RUNNING became DONE before the plugin gave up. A late service
 * finds ABANDONED and its work is nobody's. A service that is killed changes nothing; the next
 * one waits for the old process to be gone, and with it its GPU work, before it frees the
 * requests it finds.
 *
 * Both sides treat the file as written by a hostile peer. Thread: a request belongs to the vCPU
 * that took it; the service has one thread. P: written by the plugin, S: by the service. */
#ifndef PLUGIN_PIXEL_H
#define PLUGIN_PIXEL_H
#include "control.h"
#include "kernel_abi.h"

#define GB_PIXEL_MAGIC 0x6c65786970626721ull
#define GB_PIXEL_VERSION 2u
#define GB_PIXEL_REQUESTS 4u
#define GB_PIXEL_PAGES 24576u /* of all streams of a request */
#define GB_PIXEL_DATA_PAGES 8192u /* of those, written */
#define GB_PIXEL_SLOT_BYTES (GB_PAGE + GB_PIXEL_PAGES * 4u)
#define GB_PIXEL_DATA_OFFSET (2u << 20)
#define GB_PIXEL_DATA_BYTES (GB_PIXEL_DATA_PAGES * (uint64_t)GB_PAGE)
#define GB_PIXEL_FILE_BYTES (GB_PIXEL_DATA_OFFSET + GB_PIXEL_REQUESTS * GB_PIXEL_DATA_BYTES)
_Static_assert(GB_PAGE + GB_PIXEL_REQUESTS * GB_PIXEL_SLOT_BYTES <= GB_PIXEL_DATA_OFFSET,
	       "requests end before the data");

enum gb_pixel_service {
	GB_PIXEL_OFF = 0,
	GB_PIXEL_STARTING = 1,
	GB_PIXEL_READY = 2,
	GB_PIXEL_NO_DEVICE = 3,
	GB_PIXEL_LOST = 4, /* the device failed; the service has ended */
};

struct gb_pixel {
	uint64_t magic;
	uint32_t version;
	uint32_t service; /* S: enum gb_pixel_service, release */
	uint32_t epoch; /* S: bumped by each service that starts */
	uint32_t pid; /* S */
	uint64_t heartbeat_ns; /* S: CLOCK_MONOTONIC, ten times a second */
	uint32_t deadline_us; /* S: how long the plugin should wait for an answer */
	uint32_t doorbell; /* P: bumped after a request is ASKED; a futex */
	uint32_t imported; /* S: 1 when the device reads guest memory in place */
	uint32_t sleeping; /* S: 1 while it waits on the doorbell */
	uint64_t requests, done, refused, abandoned; /* S */
	uint64_t iterations, bytes, busy_ns; /* S */
	char device[128]; /* S */
	/* Where requests spend their time, added up, in ns. S: until the pages are placed,
	 * until the device has its work, until it has done it. P: looking pages up, waiting
	 * for answers, copying back. */
	uint64_t place_ns, record_ns, wait_ns; /* S */
	uint64_t list_ns, answer_ns, copy_ns; /* P */
	uint8_t pad0[232];
	/* 512: which slots of the kernels area the service can run: their serial, 0: not. S */
	uint32_t serial[GB_KERNEL_SLOTS];
	uint8_t pad1[2560];
};
_Static_assert(sizeof(struct gb_pixel) == GB_PAGE, "gb_pixel is one page");
_Static_assert(__builtin_offsetof(struct gb_pixel, serial) == 512, "serials at 512");

enum gb_pixel_state {
	GB_PIXEL_FREE = 0,
	GB_PIXEL_FILLING,
	GB_PIXEL_ASKED,
	GB_PIXEL_RUNNING,
	GB_PIXEL_DONE,
	GB_PIXEL_REFUSED,
	GB_PIXEL_ABANDONED,
};

/* Guest pages of one stream, consecutive in guest addresses. */
struct gb_pixel_stream {
	uint64_t gva; /* of the first page */
	uint32_t first; /* its place in the page list */
	uint32_t n_pages;
	uint32_t data_page; /* first page of its copies in the request's data */
	uint32_t write;
};
_Static_assert(sizeof(struct gb_pixel_stream) == 24, "gb_pixel_stream is part of the file");

struct gb_pixel_request { /* the page list follows at GB_PAGE: pages of the RAM file */
	uint32_t state; /* enum gb_pixel_state */
	uint32_t answered; /* S: bumped with DONE and REFUSED; a futex */
	/* P */
	uint32_t kernel, serial; /* slot of the kernels area, and which kernel in it */
	uint64_t n; /* iterations; with `first` fewer than the loop has left */
	uint32_t n_streams, n_pages;
	struct gb_regs regs;
	struct gb_pixel_stream stream[GB_KERNEL_MAX_STREAMS];
	/* S */
	uint64_t done;
	uint64_t busy_ns;
	struct gb_regs regs_after;
	/* P */
	uint64_t first; /* iterations of the run before this request's */
	uint64_t run; /* no two runs of a QEMU process have the same */
	uint64_t ticket;
	uint32_t previous; /* the run's request before this one, if first is not 0 */
	uint8_t pad[2484];
};
_Static_assert(sizeof(struct gb_pixel_request) == GB_PAGE, "gb_pixel_request is one page");
#endif
