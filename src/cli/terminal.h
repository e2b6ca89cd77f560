/* A guest's console on this terminal: raw mode, an escape key, and back to normal whatever
 * happens. Thread: the main thread. */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H
#include <stdbool.h>
struct error;
struct terminal;

enum terminal_event {
	TERMINAL_NOTHING,
	TERMINAL_NEWS, /* the extra descriptor is readable */
	TERMINAL_DETACH, /* Ctrl-] d */
	TERMINAL_STOP, /* Ctrl-] s, or SIGINT, SIGTERM, SIGHUP */
	TERMINAL_CLOSED, /* the console ended */
};

/* Connects to a VM's console. Caller owns *ret. */
struct error *terminal_open(const char *vm, struct terminal **ret);
void terminal_close(struct terminal *terminal);

/* Passes bytes both ways until something happens; extra_fd may be -1. */
enum terminal_event terminal_run(struct terminal *terminal, int extra_fd);

/* A line of ours between the guest's, on stderr. */
void terminal_say(const struct terminal *terminal, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
#endif
