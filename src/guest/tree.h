/* The kernel's search trees, walked without trusting them: depth and steps are bounded,
 * children must be nearer to the leaves than their parents. Thread: that of the guest. */
#ifndef GUEST_TREE_H
#define GUEST_TREE_H
#include <stdbool.h>
#include <stdint.h>
struct guest;

/* Gets every entry in ascending order of index. Returns false to end the walk. */
typedef bool guest_visit_fn(void *user, uint64_t index, uint64_t entry);

/* struct xarray, radix_tree_root or the idr_rt of an idr at gva. Value entries are shown as
 * they are (bit 0 set). */
void guest_xarray_each(struct guest *guest, uint64_t gva, guest_visit_fn *visit, void *user);
/* struct maple_tree at gva. */
void guest_maple_each(struct guest *guest, uint64_t gva, guest_visit_fn *visit, void *user);
/* struct rb_root at gva; entry is the rb_node, index counts. */
void guest_rbtree_each(struct guest *guest, uint64_t gva, guest_visit_fn *visit, void *user);
#endif
