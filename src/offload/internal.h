/* What the files of the Pixel CPU service share: its loop (pixel_service.c), its kernels
 * (pixel_kernels.c), its requests (pixel_answer.c). Thread: the service's. */
#ifndef OFFLOAD_INTERNAL_H
#define OFFLOAD_INTERNAL_H
#include <stdbool.h>
#include <stdint.h>

#include "mcode/isa.h"
#include "mcode/program.h"
#include "plugin/pixel.h"
struct error;

struct prepared { /* a kernel of a slot */
	uint32_t serial; /* 0: none; also of one that cannot run here */
	struct mcode_kernel *kernel; /* NULL: cannot */
	struct mcode_interp *interp;
	struct offload_gpu_kernel *gpu;
	bool loads_first; /* no load sees what its iteration stored */
};

/* A request that is on the device. */
struct flying {
	unsigned area, flight;
	const struct prepared *p;
	struct gb_pixel_request request; /* the copy that was judged */
	uint64_t taken_ns;
	uint64_t guest[MCODE_GUEST_REGS], slots[MCODE_SLOTS]; /* at the run's start */
};

/* Where the run of an answered request stands, for the one that goes on from there. */
struct answered {
	bool good;
	uint32_t serial;
	uint64_t run, next; /* iterations done of it */
	uint64_t slots[MCODE_SLOTS];
};

struct service {
	const struct pixel_service_params *params;
	struct trace_source *source;
	struct library *library;
	int pixel_fd, ram_fd;
	struct gb_pixel *shared;
	uint8_t *memory; /* guest RAM, then the requests' data */
	uint64_t ram_bytes;
	struct gpu *gpu;
	struct gpu_buffer *buffer; /* memory, imported; or the staging buffer */
	bool imported;
	struct prepared prepared[GB_KERNEL_SLOTS];
	/* A queue: answers come in the order of starts. */
	struct flying flying[GB_PIXEL_REQUESTS];
	unsigned oldest, n_flying;
	struct answered answered[GB_PIXEL_REQUESTS]; /* by area */
	/* The pages of the request started last. */
	uint32_t pages[GB_PIXEL_PAGES];
	uint64_t offsets[GB_PIXEL_PAGES + GB_PIXEL_DATA_PAGES];
	uint32_t first_stored[MCODE_MAX_STREAMS]; /* place of the pages that stores go to */
	uint32_t n_offsets;
};

uint64_t service_now_ns(void);
void service_set_state(struct service *s, enum gb_pixel_service state);

/* Takes up kernels that the plugin has loaded, and drops others. Nothing may be flying. */
struct error *service_look_at_slots(struct service *s);
void service_forget_kernels(struct service *s);

struct gb_pixel_request *service_request_at(struct service *s, unsigned area);
bool service_change(struct gb_pixel_request *r, uint32_t from, uint32_t to);
bool service_anything_asked(struct service *s);

/* Starts the request that was asked first, if there is one, or refuses it. */
struct error *service_start_next(struct service *s, bool *did_ret);
/* Whether the oldest is to be ended now. */
bool service_is_due(struct service *s);
/* Waits for the oldest and answers it. */
struct error *service_end_oldest(struct service *s);
/* Answers all that is flying, the device being lost or not. */
void service_end_all(struct service *s);
#endif
