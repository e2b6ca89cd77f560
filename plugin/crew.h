/* Threads that help a vCPU's thread with work that falls into pieces, such as copying pages. */
#ifndef PLUGIN_CREW_H
#define PLUGIN_CREW_H
#include <stdint.h>

/* Starts n threads, a few. Thread: any, once. */
void crew_start(unsigned n);

/* Work comes soon: whoever sleeps wakes and looks out for it a while. */
void crew_alert(void);

/* Calls work(arg, i) for 0 <= i < n, at most 2^20, here and on the crew's threads, and returns
 * after the last. One caller at a time has the crew; another does its pieces alone. */
void crew_do(void (*work)(void *arg, uint32_t i), void *arg, uint32_t n);
#endif
