/* The writing side of a vCPU's ring: how room is found, when the head is shown to the reader.
 *
 *    tail          published head        head            limit
 *  ---|==================|=================|---------------|------> positions, never wrapped
 *     reader may read    written, private   free, checked
 *
 * The vCPU writes below `limit` without looking at anything shared. At `limit` it publishes its
 * head, reads the tail, and moves the limit on by at most RING_STRIDE words. The helper thread
 * publishes in between, so that a vCPU that goes quiet leaves nothing behind. */
#include "internal.h"

enum { RING_STRIDE = 4096 };

/* Shows everything written so far to the reader. The vCPU's thread stores, the helper thread
 * only moves the value on with a compare-exchange: a failed one means the vCPU was newer. */
void ring_publish(struct vcpu *v)
{
	uint64_t shown = __atomic_load_n(&v->shared->head, __ATOMIC_RELAXED);
	uint64_t head = __atomic_load_n(&v->head, __ATOMIC_ACQUIRE); /* pairs: ring_put */
	if (shown != head)
		__atomic_compare_exchange_n(&v->shared->head, &shown, head, false,
					    __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

static uint64_t room(const struct vcpu *v)
{
	uint64_t size = v->mask + 1;
	uint64_t used = v->head - __atomic_load_n(&v->shared->tail, __ATOMIC_ACQUIRE);
	return used > size ? 0 : size - used;
}

static void put_free(struct vcpu *v, uint64_t word)
{
	v->words[v->head & v->mask] = word;
	__atomic_store_n(&v->head, v->head + 1, __ATOMIC_RELEASE);
}

bool ring_refill(struct vcpu *v, unsigned n)
{
	if (v->repeating) {
		watch_settle(v);
		if (v->head + n <= v->limit)
			return true;
	}
	if (v->muted)
		return false;
	__atomic_store_n(&v->shared->head, v->head, __ATOMIC_RELEASE); /* pairs: reader */
	uint64_t left = room(v);
	if (left < n + 2) {
		v->limit = v->head;
		v->unreported++;
		__atomic_store_n(&v->shared->dropped, ++v->dropped, __ATOMIC_RELAXED);
		return false;
	}
	if (v->unreported) {
		put_free(v, gb_record(GB_REC_DROP, v->unreported));
		v->unreported = 0;
		left--;
	}
	put_free(v, gb_record(GB_REC_TIME, plugin_now_ns()));
	left--;
	v->limit = v->head + (left < RING_STRIDE ? left : RING_STRIDE);
	return true;
}

void ring_put_slow(struct vcpu *v, uint64_t word)
{
	if (ring_refill(v, 1))
		put_free(v, word);
}

void ring_put2_slow(struct vcpu *v, uint64_t word0, uint64_t word1)
{
	uint64_t words[2] = { word0, word1 };
	ring_put_many(v, words, 2);
}

void ring_put_many(struct vcpu *v, const uint64_t *words, unsigned n)
{
	if (v->head + n > v->limit && !ring_refill(v, n))
		return;
	for (unsigned i = 0; i < n; i++)
		v->words[(v->head + i) & v->mask] = words[i];
	__atomic_store_n(&v->head, v->head + n, __ATOMIC_RELEASE); /* pairs: ring_publish */
}
