/* Types as C text with offsets, for people. Thread: that of the types. */
#ifndef GUEST_TYPE_PRINT_H
#define GUEST_TYPE_PRINT_H
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
struct btf;

/* "struct list_head *", "char [16]": the type as it would be declared without a name. */
void type_name_text(const struct btf *btf, uint32_t id, char *text, size_t size);

/* The whole layout of a struct, union, enum or typedef, one member a line with its offset. */
void type_print(const struct btf *btf, uint32_t id, FILE *to);
#endif
