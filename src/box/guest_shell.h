/* Runs commands in a demo guest's shell over its serial console. Thread: one. */
#ifndef BOX_GUEST_SHELL_H
#define BOX_GUEST_SHELL_H
#include "base/own.h"
struct error;
struct guest_shell;

/* Caller owns *ret. Fails: ERR_SYSTEM when the VM has no console. */
struct error *guest_shell_open(const char *vm, struct guest_shell **ret);
void guest_shell_close(struct guest_shell *shell);
OWN_DECLARE(own_guest_shell, struct guest_shell *, guest_shell_close)

/* Types a command and waits until it ended; what it printed is the caller's. Fails: ERR_PEER
 * when the console ends, ERR_LIMIT after timeout_ms. */
struct error *guest_shell_run(struct guest_shell *shell, const char *command, int timeout_ms,
			      char **output_ret);
#endif
