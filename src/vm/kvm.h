/* Proof that KVM executes guests: runs four instructions in it, with a deadline. Thread: any.
 */
#ifndef VM_KVM_H
#define VM_KVM_H
#include <stdbool.h>

/* Runs in a child process, since a broken KVM may not come back. False after 500 ms. */
bool kvm_self_test(void);
#endif
