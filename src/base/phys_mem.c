#include "base/phys_mem.h"

#include <string.h>

void phys_mem_destroy(struct phys_mem *mem)
{
	if (mem && mem->ops && mem->ops->destroy)
		mem->ops->destroy(mem);
}

const struct phys_segment *phys_mem_segment(const struct phys_mem *mem, uint64_t gpa)
{
	size_t low = 0, high = mem->n_segments;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct phys_segment *segment = &mem->segments[middle];
		if (gpa < segment->gpa)
			high = middle;
		else if (gpa - segment->gpa >= segment->size_bytes)
			low = middle + 1;
		else
			return segment;
	}
	return NULL;
}

const uint8_t *phys_mem_at(const struct phys_mem *mem, uint64_t gpa, size_t length_bytes)
{
	const struct phys_segment *segment = phys_mem_segment(mem, gpa);
	if (!segment || !segment->host)
		return NULL;
	uint64_t offset = gpa - segment->gpa;
	return length_bytes <= segment->size_bytes - offset ? segment->host + offset : NULL;
}

static bool read_in_segment(struct phys_mem *mem, const struct phys_segment *segment,
			    uint64_t gpa, void *to, size_t length_bytes)
{
	if (segment->host) {
		memcpy(to, segment->host + (gpa - segment->gpa), length_bytes);
		return true;
	}
	return mem->ops && mem->ops->read && mem->ops->read(mem, gpa, to, length_bytes);
}

bool phys_mem_read(struct phys_mem *mem, uint64_t gpa, void *to, size_t length_bytes)
{
	uint8_t *out = to;
	while (length_bytes) {
		const struct phys_segment *segment = phys_mem_segment(mem, gpa);
		if (!segment)
			return false;
		uint64_t left = segment->size_bytes - (gpa - segment->gpa);
		size_t part = left < length_bytes ? (size_t)left : length_bytes;
		if (!read_in_segment(mem, segment, gpa, out, part))
			return false;
		out += part;
		gpa += part;
		length_bytes -= part;
	}
	return true;
}

static size_t read_all(void *mem, uint64_t gpa, void *to, size_t length_bytes)
{
	return phys_mem_read(mem, gpa, to, length_bytes) ? length_bytes : 0;
}

enum stable_result phys_mem_read_stable(struct phys_mem *mem, uint64_t gpa, void *to,
					size_t length_bytes, unsigned looks)
{
	struct stable_source source = { read_all, mem };
	if (mem->is_live)
		return stable_read(&source, gpa, to, length_bytes, looks, NULL);
	return phys_mem_read(mem, gpa, to, length_bytes) ? STABLE_YES : STABLE_SHORT;
}

bool phys_mem_next_data(struct phys_mem *mem, uint64_t gpa, uint64_t *start_ret,
			uint64_t *end_ret)
{
	if (mem->ops && mem->ops->next_data)
		return mem->ops->next_data(mem, gpa, start_ret, end_ret);
	for (size_t i = 0; i < mem->n_segments; i++) {
		const struct phys_segment *segment = &mem->segments[i];
		uint64_t end = segment->gpa + segment->size_bytes;
		if (gpa >= end)
			continue;
		*start_ret = gpa > segment->gpa ? gpa : segment->gpa;
		*end_ret = end;
		return true;
	}
	return false;
}

uint64_t phys_mem_size(const struct phys_mem *mem)
{
	uint64_t total = 0;
	for (size_t i = 0; i < mem->n_segments; i++)
		total += mem->segments[i].size_bytes;
	return total;
}

uint64_t phys_mem_end(const struct phys_mem *mem)
{
	if (!mem->n_segments)
		return 0;
	const struct phys_segment *last = &mem->segments[mem->n_segments - 1];
	return last->gpa + last->size_bytes;
}

bool phys_mem_alive(struct phys_mem *mem)
{
	return !mem->ops || !mem->ops->alive || mem->ops->alive(mem);
}

void phys_mem_forget(struct phys_mem *mem, uint64_t gpa, size_t length_bytes)
{
	const uint8_t *host = phys_mem_at(mem, gpa, length_bytes);
	if (host && mem->ops && mem->ops->forget)
		mem->ops->forget(mem, host, length_bytes);
}
