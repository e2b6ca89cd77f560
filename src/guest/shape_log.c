/* The log's ring buffer from VMCOREINFO, which describes it for crash tools: offsets of the
 * parts of each structure, which are added up here. */
#include <stdio.h>

#include "guest/inferred.h"
#include "guest/internal.h"
#include "guest/shape.h"
#include "guest/vmcoreinfo.h"

struct log_member {
	const char *path; /* as dmesg.c asks for it */
	const char *outer, *inner; /* keys of VMCOREINFO; inner may be missing */
	unsigned bytes; /* 0: a pointer or long */
};

static const struct log_member members[] = {
#define RING "printk_ringbuffer.desc_ring"
	{ RING ".count_bits", RING, "prb_desc_ring.count_bits", 4 },
	{ RING ".descs", RING, "prb_desc_ring.descs", 0 },
	{ RING ".infos", RING, "prb_desc_ring.infos", 0 },
	{ RING ".head_id", RING, "prb_desc_ring.head_id", 0 },
	{ RING ".tail_id", RING, "prb_desc_ring.tail_id", 0 },
#undef RING
#define TEXT "printk_ringbuffer.text_data_ring"
	{ TEXT ".size_bits", TEXT, "prb_data_ring.size_bits", 4 },
	{ TEXT ".data", TEXT, "prb_data_ring.data", 0 },
#undef TEXT
	{ "prb_desc.state_var", "prb_desc.state_var", NULL, 0 },
	{ "prb_desc.text_blk_lpos.begin", "prb_desc.text_blk_lpos", "prb_data_blk_lpos.begin",
	  0 },
	{ "prb_desc.text_blk_lpos.next", "prb_desc.text_blk_lpos", "prb_data_blk_lpos.next",
	  0 },
	{ "printk_info.seq", "printk_info.seq", NULL, 8 },
	{ "printk_info.ts_nsec", "printk_info.ts_nsec", NULL, 8 },
	{ "printk_info.text_len", "printk_info.text_len", NULL, 2 },
};

static bool info_number(struct guest *guest, const char *word, const char *name,
			int64_t *value_ret)
{
	char key[96];
	snprintf(key, sizeof(key), "%s(%s)", word, name);
	return vmcoreinfo_number(&guest->info, key, value_ret);
}

void shape_infer_log(struct guest *guest)
{
	int64_t desc_bytes, info_bytes, text_length;
	if (!guest->has_info || !info_number(guest, "SIZE", "prb_desc", &desc_bytes) ||
	    !info_number(guest, "SIZE", "printk_info", &info_bytes) ||
	    !info_number(guest, "OFFSET", "printk_info.text_len", &text_length))
		return;
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		const struct log_member *m = &members[i];
		int64_t outer, inner = 0;
		if (!info_number(guest, "OFFSET", m->outer, &outer) ||
		    (m->inner && !info_number(guest, "OFFSET", m->inner, &inner)) ||
		    outer < 0 || inner < 0 || outer > 65536 || inner > 65536)
			continue;
		inferred_add(guest, m->path, (uint64_t)(outer + inner),
			     m->bytes ? m->bytes : guest->word_bytes);
	}
	/* Behind the length: u8 facility; u8 flags : 5, level : 3. */
	inferred_add(guest, "printk_info.facility", (uint64_t)text_length + 2, 1);
	inferred_add_bits(guest, "printk_info.level", (uint64_t)text_length + 3, 5, 3);
	inferred_add_size(guest, "struct prb_desc", (uint64_t)desc_bytes);
	inferred_add_size(guest, "struct printk_info", (uint64_t)info_bytes);
}
