/* What live.c (who follows a VM) and live_write.c (what viewers are sent) share; nobody else
 * includes it. Thread: see live.h; everything below is under live->lock unless it says
 * otherwise. */
#ifndef SERVER_LIVE_STATE_H
#define SERVER_LIVE_STATE_H
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/live.h"
struct live;
struct live_viewer;
struct lives;
struct target;

/* ORDER stream messages: docs/stream.md and web/src/stream.js. Each is: u32 type, u32 length,
 * payload. */
enum message { MESSAGE_HELLO = 1, MESSAGE_PAGES = 2, MESSAGE_COARSE = 3, MESSAGE_STATE = 4 };

enum {
	TICK_MS = 50,
	KINDS_EVERY_TICKS =
		40, /* what pages are for: every two seconds, and at the first tick */
	PAGE_HAS_DATA = 1 << 8, /* in a record's kind word: a byte is not zero */
	PAGE_HAS_BYTES = 1 << 9, /* 4096 bytes follow */
	RECORD_WORDS = 4,
	COARSE_PER_CHUNK = 4000,
};

struct live_viewer {
	struct live_viewer *next;
	struct live *live;
	uint64_t *pending; /* bit per frame: its record must be sent */
	uint64_t n_frames; /* 0 until hello was sent */
	uint64_t scan; /* where the search for bits goes on */
	uint64_t coarse; /* next frame of the first, coarse round */
	uint64_t id;
	struct live_range near[LIVE_MAX_NEAR]; /* nearest to the camera first */
	size_t n_near, near_at; /* no bits before near[near_at] */
	unsigned hello_sent, state_sent; /* number of the hello and the state that went out */
};

struct live {
	struct live *next;
	struct lives *lives;
	char *vm;
	pthread_t thread;
	pthread_mutex_t lock;
	unsigned users; /* under lives->lock */
	bool ends; /* all below: under lock */
	struct live_viewer *viewers;
	struct target *target;
	uint64_t n_frames, top_bytes;
	uint8_t *kind; /* by frame */
	uint32_t *owner;
	uint32_t *written_ms; /* of the clock below; 0: not since we look */
	uint32_t *look;
	char *hello, *state; /* JSON texts, with their numbers */
	unsigned hello_number, state_number;
	bool gone;
};

/* Milliseconds of a clock that never gives 0. */
uint32_t live_clock_ms(void);
#endif
