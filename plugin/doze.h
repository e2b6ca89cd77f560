/* Offload that stops listening to translations while it is of no use: plugin/doze.c tells how.
 */
#ifndef PLUGIN_DOZE_H
#define PLUGIN_DOZE_H
#include "internal.h"

/* Whether another state is wanted than the one in force: time for a reset. Any thread. */
bool doze_pending(void);

/* Now and then: whether listening still pays. The helper's thread. */
void doze_weigh(void);

/* While asleep, at an interrupt that cut in at gva: whether a kernel could serve that code. The
 * vCPU's thread, in a callback that may read registers. */
void doze_look(struct vcpu *v, uint64_t gva);

/* Takes over what is wanted. All vCPUs stand still. */
void doze_changed(bool new_request);
#endif
