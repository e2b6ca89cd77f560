/* Declares every call of the table, file by file. */
#ifndef BOX_CALLS_H
#define BOX_CALLS_H
#include "box/call.h"

/* call_audit_log.c */
extern const struct call call_audit_log;

/* call_bench.c */
extern const struct call call_bench;
/* call_mcode.c */
extern const struct call call_mcode;
/* call_disasm.c */
extern const struct call call_disasm;

/* call_delta.c */
extern const struct call call_compare;
extern const struct call call_delta;

/* call_dump.c */
extern const struct call call_btf;
extern const struct call call_dump;
extern const struct call call_isf;

/* call_facts.c */
extern const struct call call_ask;
extern const struct call call_diff;
extern const struct call call_history;
extern const struct call call_query;
extern const struct call call_timeline;
extern const struct call call_watch;

/* call_kernel.c */
extern const struct call call_cgroups;
extern const struct call call_credentials;
extern const struct call call_dmesg;
extern const struct call call_irqs;
extern const struct call call_stack;

/* call_learn.c */
extern const struct call call_kernels;
extern const struct call call_learn;

/* call_lifecycle.c */
extern const struct call call_attach;
extern const struct call call_ls;
extern const struct call call_pause;
extern const struct call call_reset;
extern const struct call call_resume;
extern const struct call call_run;
extern const struct call call_status;
extern const struct call call_stop;

/* call_memory.c */
extern const struct call call_read;

/* call_page.c */
extern const struct call call_page;
extern const struct call call_regions;

/* call_search.c */
extern const struct call call_search;

/* call_bench.c */

/* call_snapshot.c */
extern const struct call call_forget;
extern const struct call call_restore;
extern const struct call call_snapshot;
extern const struct call call_snapshots;

/* call_program.c */
extern const struct call call_demo;
extern const struct call call_mcp;
extern const struct call call_serve;
/* call_files.c */
extern const struct call call_env;
extern const struct call call_files;
extern const struct call call_lsmod;
extern const struct call call_maps;
extern const struct call call_mounts;
extern const struct call call_sockets;

/* call_process.c */
extern const struct call call_ps;
extern const struct call call_threads;
extern const struct call call_tree;

/* call_symbols.c */
extern const struct call call_symbols;
extern const struct call call_type;
extern const struct call call_vtop;

/* call_offload.c */
extern const struct call call_hybrid;
extern const struct call call_offload;
extern const struct call call_pixel_cpu;

/* call_hot.c, call_trace.c, call_profile.c */
extern const struct call call_hot;
extern const struct call call_trace;
extern const struct call call_profile;
/* call_render.c */
extern const struct call call_render;

/* call_system.c */
extern const struct call call_cached;
extern const struct call call_cpus;
extern const struct call call_kernel;
extern const struct call call_namespaces;
extern const struct call call_slabs;
extern const struct call call_timers;
#endif
