#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "box/box.h"
#include "box/call.h"
#include "box/call_offload.h"
#include "server/internal.h"

OWN_DECLARE(own_json, json_t *, json_decref)

/* ORDER kernel metrics: name, field of the kernel, help. */
static const struct kernel_metric {
	const char *name, *field, *help;
} kernel_metrics[] = {
	{ "executions_total", "executions", "Calls of the kernel that did work" },
	{ "iterations_total", "iterations", "Loop iterations done by the kernel" },
	{ "instructions_total", "instructions", "Guest instructions done by the kernel" },
	{ "bytes_total", "bytes", "Bytes of guest memory the kernel worked on" },
	{ "busy_seconds_total", "ns", "Time in calls that did work" },
	{ "idle_seconds_total", "idle_ns", "Time in calls that did nothing" },
	{ "saved_seconds", "saved_ns", "Time saved against TCG, by its measured price" },
	{ "tier_switches_total", "tier_switches", "Changes between native code and GPU" },
	{ "retirements_total", "retirements", "Times the kernel lost against TCG" },
};

static void print_kernel_metric(const struct kernel_metric *metric, const json_t *reports,
				FILE *to)
{
	/* Counted in nanoseconds, shown in Prometheus' unit. */
	double scale = strstr(metric->name, "seconds") ? 1e9 : 1;
	size_t i, k;
	json_t *report, *kernel;
	fprintf(to, "# HELP glassbox_kernel_%s %s.\n# TYPE glassbox_kernel_%s %s\n",
		metric->name, metric->help, metric->name,
		strstr(metric->name, "_total") ? "counter" : "gauge");
	json_array_foreach((json_t *)(uintptr_t)reports, i, report)
	{
		const char *vm = json_string_value(json_object_get(report, "vm"));
		json_array_foreach(json_object_get(report, "kernels"), k, kernel) fprintf(
			to, "glassbox_kernel_%s{vm=\"%s\",kernel=\"%s\"} %.15g\n", metric->name,
			vm, json_string_value(json_object_get(kernel, "id")),
			json_number_value(json_object_get(kernel, metric->field)) / scale);
	}
}

static void print_failures(const json_t *reports, FILE *to)
{
	size_t i, k;
	json_t *report, *kernel, *count;
	const char *reason;
	fputs("# HELP glassbox_kernel_guard_failures_total Calls that left the loop to QEMU.\n"
	      "# TYPE glassbox_kernel_guard_failures_total counter\n",
	      to);
	json_array_foreach((json_t *)(uintptr_t)reports, i, report)
		json_array_foreach(json_object_get(report, "kernels"), k, kernel)
			json_object_foreach(json_object_get(kernel, "failures"), reason, count)
				fprintf(to,
					"glassbox_kernel_guard_failures_total{vm=\"%s\","
					"kernel=\"%s\",reason=\"%s\"} %lld\n",
					json_string_value(json_object_get(report, "vm")),
					json_string_value(json_object_get(kernel, "id")),
					reason, (long long)json_integer_value(count));
}

static void print_shares(const json_t *reports, FILE *to)
{
	static const char *const substrates[] = { "qemu", "native", "gpu" };
	size_t i;
	json_t *report;
	fputs("# HELP glassbox_guest_work_ratio Share of the guest's instructions done by a "
	      "substrate.\n# TYPE glassbox_guest_work_ratio gauge\n",
	      to);
	json_array_foreach((json_t *)(uintptr_t)reports, i, report) for (size_t s = 0; s < 3;
									 s++)
	{
		const json_t *percent =
			json_object_get(json_object_get(report, "share"), substrates[s]);
		if (json_is_number(percent))
			fprintf(to,
				"glassbox_guest_work_ratio{vm=\"%s\",substrate=\"%s\"} "
				"%.6f\n",
				json_string_value(json_object_get(report, "vm")), substrates[s],
				json_number_value(percent) / 100);
	}
}

static struct error *ask_hybrid(void *user, struct target *target)
{
	return hybrid_report(target, user);
}

static void print_hybrid(struct server *server, const json_t *vms, FILE *to)
{
	AUTO(own_json) json_t *reports = json_array();
	size_t i;
	json_t *vm;
	json_array_foreach((json_t *)(uintptr_t)vms, i, vm)
	{
		const char *name = json_string_value(json_object_get(vm, "name"));
		json_t *report = NULL;
		/* A VM without the plugin has nothing to tell. */
		error_destroy(name ? box_with_target(server->box, name, ask_hybrid, &report)
				   : NULL);
		if (report)
			json_array_append_new(reports, report);
	}
	print_shares(reports, to);
	for (size_t m = 0; m < sizeof(kernel_metrics) / sizeof(*kernel_metrics); m++)
		print_kernel_metric(&kernel_metrics[m], reports, to);
	print_failures(reports, to);
}

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
	print_hybrid(server, vms, to);
	json_decref(vms);
	json_decref(args);
}

static void print_number(FILE *to, const char *name, const char *type, const char *help,
			 double value)
{
	fprintf(to, "# HELP glassbox_%s %s.\n# TYPE glassbox_%s %s\nglassbox_%s %.15g\n", name,
		help, name, type, name, value);
}

static void print_recorder(struct server *server, FILE *to)
{
	struct recorder_counts counts = recorder_counts(server->recorder);
	print_number(to, "recorder_vms", "gauge", "VMs whose past is being recorded",
		     (double)counts.vms);
	print_number(to, "recorder_looks_total", "counter", "Looks at a VM for its past",
		     (double)counts.looks);
	print_number(to, "recorder_changes_total", "counter",
		     "Intervals that began or ended in the facts database",
		     (double)counts.changes);
	print_number(to, "recorder_failures_total", "counter",
		     "Times that a facts database could not be written",
		     (double)counts.failures);
	print_number(to, "recorder_cpu_seconds_total", "counter",
		     "Processor time of the recorder", (double)counts.cpu_ns / 1e9);
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
	print_recorder(server, to);
	return fclose(to) ? NULL : text;
}
