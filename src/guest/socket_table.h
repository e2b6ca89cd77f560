/* Every struct sock that the kernel's protocol tables know, with or without a process that
 * holds it: connections that wait for their end, sockets of the kernel itself, sockets in
 * flight. Thread: that of the guest. */
#ifndef GUEST_SOCKET_TABLE_H
#define GUEST_SOCKET_TABLE_H
#include <stdbool.h>
#include <stdint.h>
struct guest;

/* False from visit ends the walk. A sock may be shown more than once. */
typedef bool guest_sock_fn(void *user, uint64_t sk);
void guest_socks_each(struct guest *guest, guest_sock_fn *visit, void *user);
#endif
