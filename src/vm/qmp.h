/* A client of QEMU's monitor protocol (QMP). Every wait has a deadline; whatever the peer
 * sends is checked and bounded. Thread: one. */
#ifndef VM_QMP_H
#define VM_QMP_H
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/own.h"
struct error;
struct qmp;

/* Longest message accepted; the longest real one (info mtree -f) is some tens of KiB. */
#define QMP_MESSAGE_LIMIT (16u << 20)

/* Connects to a listening monitor and does the greeting. Caller owns *ret. Fails: ERR_SYSTEM
 * (nothing listens), ERR_PEER (garbage, or silence until the deadline). */
struct error *qmp_connect(const char *path, int timeout_ms, struct qmp **ret);

/* The same over a connected socket, which is taken also on failure. */
struct error *qmp_from_fd(int fd, int timeout_ms, struct qmp **ret);
void qmp_close(struct qmp *qmp);
OWN_DECLARE(own_qmp, struct qmp *, qmp_close)

/* Runs one command; args is borrowed and may be NULL. Caller owns *value_ret; value_ret may be
 * NULL. An error answer of QEMU is ERR_PEER with QEMU's words. */
struct error *qmp_command(struct qmp *qmp, const char *command, json_t *args, int timeout_ms,
			  json_t **value_ret);

/* Like qmp_command with arguments as for json_pack: "{s:s}", "id", "x". */
struct error *qmp_commandf(struct qmp *qmp, json_t **value_ret, const char *command,
			   const char *format, ...);

/* A line of the human monitor; the caller owns *text_ret. */
struct error *qmp_human(struct qmp *qmp, const char *line, char **text_ret);

/* Also passes a descriptor to QEMU under a name (getfd). */
struct error *qmp_give_fd(struct qmp *qmp, int fd, const char *name);

/* Passes a descriptor to QEMU as a new fdset: "/dev/fdset/N" then is a file name to it. */
struct error *qmp_add_fd(struct qmp *qmp, int fd, int64_t *set_ret);

/* Next event that has arrived, or NULL when none waits; never blocks. Caller owns the result.
 * *closed_ret is set when the peer is gone. */
json_t *qmp_next_event(struct qmp *qmp, bool *closed_ret);
int qmp_fd(const struct qmp *qmp); /* for poll */

/* The protocol's framing, pure: finds the first whole line in bytes and parses it. Returns how
 * many bytes it used, 0 when the line is not whole yet; *message_ret is NULL when the line is
 * not a JSON object. */
size_t qmp_parse_line(const char *bytes, size_t length, json_t **message_ret);
#endif
