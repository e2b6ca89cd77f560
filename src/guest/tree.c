#include "guest/tree.h"

#include <string.h>

#include "guest/internal.h"

enum {
	XARRAY_INTERNAL = 2, /* low two bits of a pointer to a node */
	XARRAY_SLOTS_MAX = 64,
	MAPLE_SLOTS_MAX = 63, /* of a dense node on 32 bits */
	MAPLE_DEPTH_MAX = 16,
	RB_DEPTH_MAX = 96,
	ENTRY_POINTER_MIN = 4096, /* below: sibling, retry and zero entries */
};

struct walk {
	struct guest *guest;
	guest_visit_fn *visit;
	void *user;
	bool ended;
};

static bool show(struct walk *walk, uint64_t index, uint64_t entry)
{
	if (!walk->ended && !walk->visit(walk->user, index, entry))
		walk->ended = true;
	return !walk->ended;
}

/* --- xarray ------------------------------------------------------------------------------- */

static bool is_xa_node(uint64_t entry)
{
	return (entry & 3) == XARRAY_INTERNAL && entry > ENTRY_POINTER_MIN;
}

static void xa_node_each(struct walk *walk, uint64_t node, uint64_t base, unsigned shift_above)
{
	struct guest *guest = walk->guest;
	struct field shift_field = guest_field(guest, "xa_node.shift");
	struct field slots_field = guest_field(guest, "xa_node.slots");
	unsigned shift = (unsigned)guest_load(guest, node, shift_field);
	unsigned word = guest->word_bytes;
	unsigned n = slots_field.size_bytes / word;
	if (!slots_field.found || n > XARRAY_SLOTS_MAX || shift >= shift_above) {
		guest_add_note(guest, "a tree of the kernel is malformed at 0x%llx",
			       (unsigned long long)node);
		return;
	}
	uint8_t slots[XARRAY_SLOTS_MAX * 8];
	if (!guest_read(guest, node + slots_field.offset, slots, n * word))
		return;
	for (unsigned i = 0; i < n && !walk->ended && guest_step(guest); i++) {
		uint64_t entry = 0;
		memcpy(&entry, slots + i * word, word);
		uint64_t index = base + ((uint64_t)i << shift);
		if (is_xa_node(entry))
			xa_node_each(walk, entry - XARRAY_INTERNAL, index, shift);
		else if (entry && (entry & 3) != XARRAY_INTERNAL)
			show(walk, index, entry);
	}
}

void guest_xarray_each(struct guest *guest, uint64_t gva, guest_visit_fn *visit, void *user)
{
	struct walk walk = { .guest = guest, .visit = visit, .user = user };
	struct field head = guest_need_field(guest, "xarray.xa_head");
	uint64_t entry = guest_load(guest, gva, head);
	if (is_xa_node(entry))
		xa_node_each(&walk, entry - XARRAY_INTERNAL, 0, 64);
	else if (entry)
		show(&walk, 0, entry);
}

/* --- maple tree ------------------------------------------------------------------------------
 *
 * A pointer to a node carries the node's type in bits 3 to 6; nodes are 256-byte aligned:
 *   dense      slot[31]                          values of consecutive indices
 *   leaf_64    pivot[15] slot[16]                values; pivot[i] is the last index of slot[i]
 *   range_64   pivot[15] slot[16]                children
 *   arange_64  pivot[9]  slot[10] gap[10]        children
 * and about twice as many of each on 32 bits.
 */

enum maple_type { MAPLE_DENSE, MAPLE_LEAF_64, MAPLE_RANGE_64, MAPLE_ARANGE_64, MAPLE_COPY };

struct maple_node {
	unsigned n_slots;
	uint64_t pivots[MAPLE_SLOTS_MAX], slots[MAPLE_SLOTS_MAX];
};

static uint64_t word_at(const uint8_t *bytes, unsigned word, unsigned i)
{
	uint64_t value = 0;
	memcpy(&value, bytes + i * word, word);
	return value;
}

static bool read_maple_node(struct guest *guest, uint64_t gva, enum maple_type type,
			    struct maple_node *ret)
{
	bool arange = type == MAPLE_ARANGE_64;
	struct field pivot =
		guest_field(guest, arange ? "maple_arange_64.pivot" : "maple_range_64.pivot");
	struct field slot = guest_field(guest, type == MAPLE_DENSE ? "maple_node.slot"
					       : arange		   ? "maple_arange_64.slot"
								   : "maple_range_64.slot");
	unsigned word = guest->word_bytes;
	unsigned n_pivots = type == MAPLE_DENSE ? 0 : pivot.size_bytes / word;
	uint8_t bytes[MAPLE_SLOTS_MAX * 8];
	ret->n_slots = slot.size_bytes / word;
	if (!slot.found || !ret->n_slots || ret->n_slots > MAPLE_SLOTS_MAX ||
	    n_pivots > MAPLE_SLOTS_MAX)
		return false;
	memset(ret->pivots, 0xff, sizeof(ret->pivots));
	if (n_pivots && !guest_read(guest, gva + pivot.offset, bytes, n_pivots * word))
		return false;
	for (unsigned i = 0; i < n_pivots; i++)
		ret->pivots[i] = word_at(bytes, word, i);
	if (!guest_read(guest, gva + slot.offset, bytes, ret->n_slots * word))
		return false;
	for (unsigned i = 0; i < ret->n_slots; i++)
		ret->slots[i] = word_at(bytes, word, i);
	return true;
}

static void maple_node_each(struct walk *walk, uint64_t encoded, uint64_t min, uint64_t max,
			    unsigned depth)
{
	struct guest *guest = walk->guest;
	enum maple_type type = (enum maple_type)(encoded >> 3 & 0xf);
	struct maple_node node;
	if (depth > MAPLE_DEPTH_MAX || type > MAPLE_ARANGE_64 ||
	    !read_maple_node(guest, encoded & ~0xffull, type, &node)) {
		guest_add_note(guest, "a tree of the kernel is malformed at 0x%llx",
			       (unsigned long long)encoded);
		return;
	}
	for (unsigned i = 0; i < node.n_slots && !walk->ended && guest_step(guest); i++) {
		uint64_t last = type == MAPLE_DENSE ? min : node.pivots[i];
		/* A pivot of 0 after the first ends the node: the slot reaches to its end. */
		if (last > max || (!last && i))
			last = max;
		if (last < min)
			return;
		uint64_t entry = node.slots[i];
		bool is_leaf = type == MAPLE_DENSE || type == MAPLE_LEAF_64;
		if (entry > ENTRY_POINTER_MIN && !is_leaf)
			maple_node_each(walk, entry, min, last, depth + 1);
		else if (entry > ENTRY_POINTER_MIN)
			show(walk, min, entry);
		if (last == max)
			return;
		min = last + 1;
	}
}

void guest_maple_each(struct guest *guest, uint64_t gva, guest_visit_fn *visit, void *user)
{
	struct walk walk = { .guest = guest, .visit = visit, .user = user };
	struct field root = guest_need_field(guest, "maple_tree.ma_root");
	uint64_t entry = guest_load(guest, gva, root);
	if ((entry & 2) && entry > ENTRY_POINTER_MIN)
		maple_node_each(&walk, entry, 0,
				guest->word_bytes == 8 ? UINT64_MAX : UINT32_MAX, 0);
	else if (entry)
		show(&walk, 0, entry);
}

/* --- red-black tree -------------------------------------------------------------------------
 */

struct rb_walk {
	struct walk walk;
	struct field left, right;
	uint64_t count;
};

static void rb_each(struct rb_walk *rb, uint64_t node, unsigned depth)
{
	struct guest *guest = rb->walk.guest;
	while (node && !rb->walk.ended && guest_step(guest)) {
		if (depth > RB_DEPTH_MAX || !guest_is_kernel_pointer(guest, node)) {
			guest_add_note(guest, "a tree of the kernel is malformed at 0x%llx",
				       (unsigned long long)node);
			return;
		}
		rb_each(rb, guest_load(guest, node, rb->left), depth + 1);
		if (!rb->walk.ended)
			show(&rb->walk, rb->count++, node);
		node = guest_load(guest, node, rb->right);
		depth++;
	}
}

void guest_rbtree_each(struct guest *guest, uint64_t gva, guest_visit_fn *visit, void *user)
{
	struct rb_walk rb = { .walk = { .guest = guest, .visit = visit, .user = user },
			      .left = guest_need_field(guest, "rb_node.rb_left"),
			      .right = guest_need_field(guest, "rb_node.rb_right") };
	rb_each(&rb, guest_load(guest, gva, guest_field(guest, "rb_root.rb_node")), 0);
}
