/* Reads an ISF file (Volatility 3's JSON) into symbols and types. Pure: bytes in, tables out.
 * Thread: any. */
#ifndef GUEST_ISF_READ_H
#define GUEST_ISF_READ_H
#include <stddef.h>
struct btf;
struct error;
struct symtab;

/* Caller owns both tables. Addresses are as linked. Fails: ERR_BAD_DATA with the offset,
 * ERR_LIMIT, ERR_MEMORY. */
struct error *isf_read(const char *bytes, size_t length_bytes, struct symtab **symbols_ret,
		       struct btf **types_ret);
#endif
