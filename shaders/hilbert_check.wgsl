// uses: hilbert.wgsl
// Both directions of the transform for a list of indices, so that C and WGSL can be compared.
// items: [order, count, first, -] then for each index its x, y, z and the way back.

@group(0) @binding(0) var<storage, read_write> items: array<u32>;

@compute @workgroup_size(64)
fn hilbert_check(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= items[1]) {
    return;
  }
  let point = hilbert_point(items[0], items[2] + id.x);
  let at = 4u + 4u * id.x;
  items[at] = point.x;
  items[at + 1u] = point.y;
  items[at + 2u] = point.z;
  items[at + 3u] = hilbert_index(items[0], point);
}
