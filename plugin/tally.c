/* Who does the guest's work: processor time of the vCPU threads, and, while every block is
 * counted, how many guest instructions QEMU does in such a time. Together with what kernels did
 * this gives the shares of QEMU and the Pixel CPU without a cost while nothing is counted.
 * Thread: the helper's. */
#include "internal.h"

#include <pthread.h>

static uint64_t last_ns; /* vcpu_ns at the last look */
static uint64_t counted_from_ns; /* vcpu_ns at the last copy of the counts; 0: none yet */

void tally_vcpu(struct vcpu *v)
{
	if (pthread_getcpuclockid(pthread_self(), &v->clock))
		v->clock = CLOCK_THREAD_CPUTIME_ID; /* refused below: not another thread's */
}

static bool seen_before(unsigned index)
{
	for (unsigned i = 0; i < index; i++)
		if (plugin.vcpu[i].present && plugin.vcpu[i].clock == plugin.vcpu[index].clock)
			return true;
	return false;
}

static uint64_t read_vcpus(void)
{
	uint64_t ns = 0;
	for (unsigned i = 0; i < plugin.n_vcpus; i++) {
		const struct vcpu *v = &plugin.vcpu[i];
		struct timespec t;
		if (__atomic_load_n(&v->present, __ATOMIC_ACQUIRE) &&
		    v->clock != CLOCK_THREAD_CPUTIME_ID && !seen_before(i) &&
		    !clock_gettime(v->clock, &t))
			ns += (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
	}
	return ns;
}

void tally_publish(void)
{
	struct gb_control *c = plugin.control;
	uint64_t now = read_vcpus();
	if (now > last_ns) {
		if (c->offload)
			c->offload_vcpu_ns += now - last_ns;
		last_ns = now;
	}
	if (plugin.active.mode != GB_MODE_COUNT)
		counted_from_ns = 0;
	__atomic_store_n(&c->vcpu_ns, now, __ATOMIC_RELAXED);
}

/* Only when all code is counted and no kernel takes work away. */
void tally_counted(uint64_t insns)
{
	struct gb_control *c = plugin.control;
	bool everything = !plugin.active.rings && !plugin.active.range_end && !c->offload;
	uint64_t now = read_vcpus();
	if (everything && counted_from_ns && now > counted_from_ns) {
		c->counted_vcpu_ns += now - counted_from_ns;
		c->counted_insns += insns;
	}
	counted_from_ns = everything ? now : 0;
}
