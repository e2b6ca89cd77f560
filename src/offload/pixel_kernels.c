/* The service's kernels: those of the plugin's slots, from the library, made for the device. */
#include "offload/internal.h"

#include <stdio.h>

#include "base/error.h"
#include "learn/library.h"
#include "mcode/interp.h"
#include "offload/gpu_run.h"
#include "offload/pixel_request.h"
#include "offload/slots.h"

OWN_DECLARE(own_json, json_t *, json_decref)

static void forget(struct service *s, unsigned i)
{
	struct prepared *p = &s->prepared[i];
	__atomic_store_n(&s->shared->serial[i], 0, __ATOMIC_RELEASE);
	offload_gpu_kernel_destroy(p->gpu);
	mcode_interp_destroy(p->interp);
	mcode_kernel_destroy(p->kernel);
	*p = (struct prepared){ 0 };
}

static struct error *prepare(struct service *s, const struct gb_kernel *slot,
			     struct prepared *p)
{
	AUTO(own_json) json_t *doc = NULL;
	char id[17];
	snprintf(id, sizeof(id), "%016llx", (unsigned long long)slot->id);
	TRY(library_load(s->library, id, &doc));
	TRY(library_kernel(doc, &p->kernel));
	if (!pixel_kernel_suits(p->kernel))
		return error_create(ERR_UNSUPPORTED,
				    "it is serial, or what it writes has gaps");
	TRY(mcode_interp_create(p->kernel, &p->interp));
	p->loads_first = pixel_kernel_loads_first(p->kernel);
	return offload_gpu_kernel_create_paged(s->gpu, p->kernel,
					       GB_PIXEL_PAGES + GB_PIXEL_DATA_PAGES, &p->gpu);
}

/* Compiling takes time in which nothing is answered: the plugin is told not to ask. */
static struct error *look_at_slot(struct service *s, unsigned i)
{
	struct gb_kernel slot;
	bool used;
	struct prepared *p = &s->prepared[i];
	TRY(offload_slot(s->source, i, &slot, &used));
	bool wanted = used && slot.state == GB_KERNEL_LOADED;
	if (p->serial && (!wanted || p->serial != slot.serial))
		forget(s, i);
	if (!wanted || p->serial)
		return NULL;
	service_set_state(s, GB_PIXEL_STARTING);
	p->serial = slot.serial;
	struct error *err = prepare(s, &slot, p);
	if (!err)
		__atomic_store_n(&s->shared->serial[i], slot.serial, __ATOMIC_RELEASE);
	error_destroy(err); /* such a kernel stays native */
	return NULL;
}

struct error *service_look_at_slots(struct service *s)
{
	for (unsigned i = 0; i < GB_KERNEL_SLOTS; i++)
		TRY(look_at_slot(s, i));
	service_set_state(s, GB_PIXEL_READY);
	return NULL;
}

void service_forget_kernels(struct service *s)
{
	for (unsigned i = 0; i < GB_KERNEL_SLOTS; i++)
		forget(s, i);
}
