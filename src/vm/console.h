/* The keeper's side of a guest's serial console: writes the log, remembers the last output,
 * passes bytes between the guest and any number of attached terminals, and watches for texts
 * (first userspace line, panic). A terminal that falls a megabyte behind loses its connection;
 * none ever stalls the guest. Thread: one. */
#ifndef VM_CONSOLE_H
#define VM_CONSOLE_H
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct console;
struct error;

#define CONSOLE_CLIENTS 8
#define CONSOLE_POLLS (CONSOLE_CLIENTS + 2)

enum console_mark {
	CONSOLE_FIRST = 1 << 0, /* the first userspace line */
	CONSOLE_READY = 1 << 1, /* start-up is finished */
	CONSOLE_PANIC = 1 << 2, /* the kernel panicked */
	CONSOLE_OUTPUT = 1 << 3, /* anything was printed */
};

struct console_params {
	int serial_fd; /* to the guest; taken */
	int listen_fd; /* terminals connect here; taken */
	int log_fd; /* taken */
	const char *first_text, *ready_text; /* borrowed for the console's life; may be NULL */
};

struct error *console_create(const struct console_params *params, struct console **ret);
void console_destroy(struct console *console);

/* Types for the guest. */
void console_type(struct console *console, const char *text);

/* Fills in what to wait for; returns how many entries of polls are used. */
size_t console_polls(const struct console *console, struct pollfd polls[CONSOLE_POLLS]);

/* Handles what poll() found. Returns the enum console_mark seen since the last call. */
unsigned console_handle(struct console *console, const struct pollfd *polls, size_t n_polls);
#endif
