#include "box/box.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "box/call.h"
#include "box/call_audit.h"
#include "box/target.h"
#include "vm/vm.h"

/* One VM in use. Lock order: box->lock, then never an entry's lock while holding it. */
struct entry {
	struct entry *next;
	char *vm;
	unsigned users; /* under box->lock: threads that hold or wait for this entry */
	pthread_mutex_t lock; /* held while a call works on target */
	struct target *target; /* under lock; NULL until opened */
};

OWN_DECLARE(own_target, struct target *, target_destroy)

struct box {
	pthread_mutex_t lock;
	struct entry *entries;
};

static void entry_destroy(struct entry *entry)
{
	if (!entry)
		return;
	target_destroy(entry->target);
	pthread_mutex_destroy(&entry->lock);
	free(entry->vm);
	free(entry);
}

static struct error *entry_create(const char *vm, struct entry **ret)
{
	struct entry *entry = NULL;
	TRY(error_alloc(1, sizeof(*entry), &entry));
	pthread_mutex_init(&entry->lock, NULL);
	entry->vm = strdup(vm);
	if (!entry->vm) {
		entry_destroy(entry);
		return error_create(ERR_MEMORY, "no memory for VM '%s'", vm);
	}
	*ret = entry;
	return NULL;
}

struct error *box_create(struct box **ret)
{
	struct box *box = NULL;
	TRY(error_alloc(1, sizeof(*box), &box));
	pthread_mutex_init(&box->lock, NULL);
	*ret = box;
	return NULL;
}

void box_destroy(struct box *box)
{
	if (!box)
		return;
	while (box->entries) {
		struct entry *entry = box->entries;
		CHECK(!entry->users);
		box->entries = entry->next;
		entry_destroy(entry);
	}
	pthread_mutex_destroy(&box->lock);
	free(box);
}

/* Finds or makes the entry and counts us as a user, so that nobody frees it. */
static struct error *entry_acquire(struct box *box, const char *vm, struct entry **ret)
{
	struct error *err = NULL;
	pthread_mutex_lock(&box->lock);
	struct entry *entry = box->entries;
	while (entry && strcmp(entry->vm, vm))
		entry = entry->next;
	if (!entry) {
		err = entry_create(vm, &entry);
		if (!err) {
			entry->next = box->entries;
			box->entries = entry;
		}
	}
	if (!err)
		entry->users++;
	pthread_mutex_unlock(&box->lock);
	if (err)
		return err;
	pthread_mutex_lock(&entry->lock);
	*ret = entry;
	return NULL;
}

/* Unlocks; the last user of an entry without a target removes it. */
static void entry_release(struct box *box, struct entry *entry)
{
	bool is_empty = !entry->target;
	pthread_mutex_unlock(&entry->lock);
	pthread_mutex_lock(&box->lock);
	entry->users--;
	bool is_garbage = is_empty && !entry->users;
	if (is_garbage) {
		struct entry **link = &box->entries;
		while (*link != entry)
			link = &(*link)->next;
		*link = entry->next;
	}
	pthread_mutex_unlock(&box->lock);
	if (is_garbage)
		entry_destroy(entry);
}

/* Opens the target, or opens it again when the VM behind it is gone. */
static struct error *entry_refresh(struct entry *entry)
{
	if (entry->target && !target_alive(entry->target)) {
		target_destroy(entry->target);
		entry->target = NULL;
	}
	if (entry->target)
		return target_vm(entry->target) ? vm_refresh(target_vm(entry->target)) : NULL;
	struct target_params params = { .vm = entry->vm };
	return target_open(&params, &entry->target);
}

/* Forgets a target whose VM ended meanwhile, and gives the entry back. */
static void entry_leave(struct box *box, struct entry *entry)
{
	if (entry->target && !target_alive(entry->target)) {
		target_destroy(entry->target);
		entry->target = NULL;
	}
	entry_release(box, entry);
}

struct error *box_with_target(struct box *box, const char *vm,
			      struct error *(*use)(void *user, struct target *target),
			      void *user)
{
	struct entry *entry = NULL;
	TRY(entry_acquire(box, vm, &entry));
	struct error *err = entry_refresh(entry);
	if (!err)
		err = use(user, entry->target);
	entry_leave(box, entry);
	return err;
}

/* The entry stays ours to lock again: its users are counted. */
static struct error *work_away(struct call_context *context, void (*work)(void *user),
			       void *user)
{
	struct entry *entry = context->away_user;
	pthread_mutex_unlock(&entry->lock);
	work(user);
	pthread_mutex_lock(&entry->lock);
	struct error *err = entry_refresh(entry);
	context->target = entry->target;
	return err;
}

/* A call that takes long, on a target of its own. */
static struct error *run_alone(const struct box_request *request, json_t **ret)
{
	AUTO(own_target) struct target *target = NULL;
	TRY(target_open(&(struct target_params){ .vm = request->vm }, &target));
	struct call_context context = { .target = target, .args = request->args };
	return call_do(request->call, &context, ret);
}

static struct error *run_on_vm(struct box *box, const struct box_request *request, json_t **ret)
{
	struct entry *entry = NULL;
	TRY(entry_acquire(box, request->vm, &entry));
	struct error *err = entry_refresh(entry);
	if (!err) {
		struct call_context context = { .target = entry->target,
						.args = request->args,
						.away = work_away,
						.away_user = entry };
		err = call_do(request->call, &context, ret);
	}
	entry_leave(box, entry);
	return err;
}

static struct error *run_request(struct box *box, const struct box_request *request,
				 json_t **ret)
{
	const struct call *call = request->call;
	TRY(call_check(call, request->args));
	if (!call->run)
		return error_create(ERR_UNSUPPORTED, "%s works only on the command line",
				    call->name);
	if (call->flags & CALL_TARGET && !request->vm)
		return error_create(ERR_USAGE, "%s needs a VM", call->name);
	if (call->flags & CALL_TARGET)
		return call->flags & CALL_SLOW ? run_alone(request, ret)
					       : run_on_vm(box, request, ret);
	struct call_context context = { .args = request->args };
	return call_do(call, &context, ret);
}

struct error *box_call(struct box *box, const struct box_request *request, json_t **ret)
{
	struct error *err = run_request(box, request, ret);
	call_audit(request->call, request->user ? request->user : "network", request->vm,
		   request->args, err);
	return err;
}
