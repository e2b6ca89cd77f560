/* A file with all RAM of a PC back to back, as QEMU keeps it, is not yet a map of addresses:
 * from about 3 GiB on, the RAM behind the PCI hole starts at 4 GiB. Thread: any. */
#ifndef VM_DUMP_HOLE_H
#define VM_DUMP_HOLE_H
#include "vm/dump.h"
struct mapping;

/* Splits the one piece of a raw layout if the firmware's or kernel's memory map, found in the
 * bytes, says that the file has a hole. Otherwise leaves it: offset = address. */
struct error *dump_hole_split(struct mapping *mapping, struct dump_layout *layout);
#endif
