/* Ownership of locals: AUTO(fn) releases a variable when its scope ends, TAKE(p) gives it away.
 * Thread: any. */
#ifndef BASE_OWN_H
#define BASE_OWN_H
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* `AUTO(own_free) char *s = ...;` calls own_free(&s) at the end of the scope. */
#define AUTO(fn) __attribute__((cleanup(fn)))

/* Yields the value of p and leaves NULL behind, so that its AUTO does nothing. */
#define TAKE(p)                                \
	__extension__({                        \
		__auto_type take_value_ = (p); \
		(p) = NULL;                    \
		take_value_;                   \
	})

/* Declares `static inline void name(type *p)`, the AUTO form of a destroy function. */
#define OWN_DECLARE(name, type, destroy)                         \
	__attribute__((unused)) static inline void name(type *p) \
	{                                                        \
		if (*p)                                          \
			destroy(*p);                             \
	}

/* Frees what a pointer of any type points to. */
static inline void own_free(void *pointer_to_pointer)
{
	free(*(void **)pointer_to_pointer);
}

/* Closes a descriptor; -1 means none. */
static inline void own_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void own_file(FILE **file)
{
	if (*file)
		fclose(*file);
}

/* Gives a descriptor away and leaves -1 behind. */
static inline int own_fd_take(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}
#endif
