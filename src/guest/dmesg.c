/* The ring buffer, as printk_ringbuffer.c keeps it:
 *
 *   descs[id % n]   state_var = state << 62 | id;  where its text begins and where the next
 * does infos[id % n]   sequence number, time, level, length of the text data[]          | id |
 * text.. | id | text.. |   positions grow for ever, modulo its size
 *
 * A block never crosses the end of data: it then lies at the start, and its end is one turn
 * further than its beginning. Positions with bit 0 set mean that there is no text.
 */
#include "guest/dmesg.h"

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "guest/internal.h"

enum {
	STATE_COMMITTED = 1,
	STATE_FINALIZED = 2,
	COUNT_BITS_MAX = 20,
	SIZE_BITS_MAX = 28,
};

struct ring {
	struct guest *guest;
	struct field state, begin, next;
	struct field sequence, time, length, facility, level;
	uint64_t count_bits, size_bits, descs, infos, head_id, tail_id;
	uint64_t desc_bytes, info_bytes;
	uint8_t *data; /* owned; the whole text ring */
};

static struct error *find_ring(struct guest *guest, struct ring *ring)
{
	uint64_t pointer;
	if (!guest_symbol(guest, "prb", &pointer) ||
	    !guest_field(guest, "printk_ringbuffer.desc_ring.count_bits").found)
		return error_hint(
			error_create(ERR_NOT_FOUND, "this kernel's log buffer is not known"),
			"kernels since 5.10 with types have one");
	uint64_t rb = guest_read_word(guest, pointer);
#define LOAD(path) guest_load(guest, rb, guest_need_field(guest, "printk_ringbuffer." path))
	ring->guest = guest;
	ring->count_bits = LOAD("desc_ring.count_bits");
	ring->descs = LOAD("desc_ring.descs");
	ring->infos = LOAD("desc_ring.infos");
	ring->head_id = LOAD("desc_ring.head_id");
	ring->tail_id = LOAD("desc_ring.tail_id");
	ring->size_bits = LOAD("text_data_ring.size_bits");
	uint64_t data = LOAD("text_data_ring.data");
#undef LOAD
	if (!ring->count_bits || ring->count_bits > COUNT_BITS_MAX || !ring->size_bits ||
	    ring->size_bits > SIZE_BITS_MAX)
		return error_create(ERR_BAD_DATA, "the kernel's log buffer makes no sense");
	TRY(error_alloc(1, 1ull << ring->size_bits, &ring->data));
	if (!guest_read(guest, data, ring->data, 1ull << ring->size_bits))
		return error_create(ERR_BAD_DATA, "the kernel's log buffer is not in RAM");
	return NULL;
}

static void find_fields(struct ring *ring)
{
	struct guest *guest = ring->guest;
	ring->state = guest_need_field(guest, "prb_desc.state_var");
	ring->begin = guest_need_field(guest, "prb_desc.text_blk_lpos.begin");
	ring->next = guest_need_field(guest, "prb_desc.text_blk_lpos.next");
	ring->sequence = guest_need_field(guest, "printk_info.seq");
	ring->time = guest_need_field(guest, "printk_info.ts_nsec");
	ring->length = guest_need_field(guest, "printk_info.text_len");
	ring->facility = guest_field(guest, "printk_info.facility");
	ring->level = guest_field(guest, "printk_info.level");
	ring->desc_bytes = guest_sizeof(guest, "struct prb_desc");
	ring->info_bytes = guest_sizeof(guest, "struct printk_info");
}

/* Finds the text between two positions; false when there is none. */
static bool find_text(const struct ring *ring, uint64_t begin, uint64_t next, size_t wanted,
		      struct guest_record *record)
{
	uint64_t size = 1ull << ring->size_bits, mask = size - 1;
	uint64_t word = ring->guest->word_bytes;
	uint64_t start = begin & mask, end = next & mask;
	record->text = "";
	record->length = 0;
	if (begin & 1 || next & 1)
		return false;
	if (begin >> ring->size_bits != next >> ring->size_bits) {
		/* Ends exactly at the end of data, or was moved to its start. */
		if (end)
			start = 0;
		else
			end = size;
	}
	if (end < start + word)
		return false;
	record->text = (const char *)ring->data + start + word;
	record->length = (size_t)(end - start - word);
	if (wanted < record->length)
		record->length = wanted;
	return true;
}

/* Reads the record of one id; false when it is not there (any more). */
static bool read_record(const struct ring *ring, uint64_t id, struct guest_record *ret)
{
	struct guest *guest = ring->guest;
	unsigned state_shift = guest->word_bytes * 8 - 2;
	uint64_t index = id & ((1ull << ring->count_bits) - 1);
	uint64_t desc = ring->descs + index * ring->desc_bytes;
	uint64_t info = ring->infos + index * ring->info_bytes;
	uint64_t state_var = guest_load(guest, desc, ring->state);
	if (guest->word_bytes == 4)
		state_var &= UINT32_MAX;
	uint64_t state = state_var >> state_shift;
	if ((state != STATE_COMMITTED && state != STATE_FINALIZED) ||
	    (state_var & ((1ull << state_shift) - 1)) != id)
		return false;
	*ret = (struct guest_record){
		.sequence = guest_load(guest, info, ring->sequence),
		.time_ns = guest_load(guest, info, ring->time),
		.level = (unsigned)guest_load(guest, info, ring->level),
		.facility = (unsigned)guest_load(guest, info, ring->facility),
	};
	find_text(ring, guest_load(guest, desc, ring->begin),
		  guest_load(guest, desc, ring->next),
		  (size_t)guest_load(guest, info, ring->length), ret);
	return true;
}

static void ring_deinit(struct ring *ring)
{
	free(ring->data);
}

struct error *guest_dmesg_each(struct guest *guest, guest_record_fn *visit, void *user)
{
	AUTO(ring_deinit) struct ring ring = { 0 };
	TRY(find_ring(guest, &ring));
	find_fields(&ring);
	uint64_t id_mask = (1ull << (guest->word_bytes * 8 - 2)) - 1;
	uint64_t id = ring.tail_id & id_mask, last = ring.head_id & id_mask;
	for (uint64_t n = 0; n < 1ull << ring.count_bits && guest_step(guest); n++) {
		struct guest_record record;
		if (read_record(&ring, id, &record) && !visit(user, &record))
			break;
		if (id == last)
			break;
		id = (id + 1) & id_mask;
	}
	return NULL;
}
