#include <inttypes.h>
#include <stdio.h>

#include "base/error.h"
#include "box/box.h"
#include "box/call.h"
#include "server/internal.h"

static void print_vms(struct server *server, FILE *to)
{
	json_t *args = json_object(), *vms = NULL;
	struct box_request request = { .call = call_find("ls"),
				       .args = args,
				       .user = "metrics" };
	struct error *err = request.call ? box_call(server->box, &request, &vms) : NULL;
	error_destroy(err);
	fputs("# HELP glassbox_vm_up 1 while the VM's QEMU runs.\n# TYPE glassbox_vm_up "
	      "gauge\n",
	      to);
	size_t i;
	json_t *vm;
	json_array_foreach(vms, i, vm)
	{
		const char *name = json_string_value(json_object_get(vm, "name"));
		const char *state = json_string_value(json_object_get(vm, "state"));
		if (name && state)
			fprintf(to, "glassbox_vm_up{vm=\"%s\",state=\"%s\"} 1\n", name, state);
	}
	json_decref(vms);
	json_decref(args);
}

char *metrics_text(struct server *server)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);
	if (!to)
		return NULL;
#define PRINT_COUNTER(name, help)                                                   \
	fprintf(to,                                                                 \
		"# HELP glassbox_" #name "_total " help ".\n# TYPE glassbox_" #name \
		"_total counter\n"                                                  \
		"glassbox_" #name "_total %" PRIu64 "\n",                           \
		(uint64_t)server->counters.name);
	SERVER_COUNTERS(PRINT_COUNTER)
#undef PRINT_COUNTER
	print_vms(server, to);
	return fclose(to) ? NULL : text;
}
