/* A growing array of any element type, and nothing else. Thread: one. */
#ifndef BASE_VEC_H
#define BASE_VEC_H
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* `VEC(struct task) tasks = {0};` then VEC_PUSH(&tasks, t), tasks.items[i], tasks.count,
 * VEC_FREE. */
#define VEC(type)                       \
	struct {                        \
		type *items;            \
		size_t count, capacity; \
	}

/* True on success, false without memory; the vector is unchanged then. */
#define VEC_RESERVE(vec, wanted) \
	vec_grow((void **)&(vec)->items, &(vec)->capacity, (wanted), sizeof(*(vec)->items))

#define VEC_PUSH(vec, ...)                                           \
	(VEC_RESERVE(vec, (vec)->count + 1)                          \
		 ? ((vec)->items[(vec)->count++] = (__VA_ARGS__), 1) \
		 : 0)

#define VEC_FREE(vec)                               \
	do {                                        \
		free((vec)->items);                 \
		(vec)->items = NULL;                \
		(vec)->count = (vec)->capacity = 0; \
	} while (0)

static inline int vec_grow(void **items, size_t *capacity, size_t wanted, size_t item_bytes)
{
	if (wanted <= *capacity)
		return 1;
	size_t doubled = *capacity ? *capacity * 2 : 16;
	size_t target = doubled > wanted ? doubled : wanted;
	void *grown = reallocarray(*items, target, item_bytes);
	if (!grown)
		return 0;
	*items = grown;
	*capacity = target;
	return 1;
}
#endif
