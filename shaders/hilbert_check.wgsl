// uses: hilbert.wgsl
// Skilling's transform both ways, so that C and WGSL can be compared, the table with the loop, and
// the speed be known.

// order, count, first index, -; hilbert_check adds for each index its x, y, z and the way back.
@group(0) @binding(0) var<storage, read_write> items: array<u32>;
@group(0) @binding(1) var<storage, read_write> wrong: array<atomic<u32>>;  // [0]: how many
@group(0) @binding(2) var<storage, read> turns: array<u32>;  // ORDER turns in grid.wgsl

const EACH = 16u;  // indices for a thread of the counting kernels

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

// The way back by the table of orientations, from the top digit down.
fn index_by_table(order: u32, point: vec3<u32>) -> u32 {
  var index = 0u;
  var state = 0u;
  for (var level = order; level > 0u; level--) {
    let bit = (point >> vec3(level - 1u)) & vec3(1u);
    let entry = state * 8u + (bit.x | (bit.y << 1u) | (bit.z << 2u));
    index = (index << 3u) | turns[entry];
    state = turns[entry + 192u];
  }
  return index;
}

// Counts the indices that do not come back.
fn count_wrong(group: u32, local: u32, by_table: bool) {
  let order = items[0];
  for (var i = 0u; i < EACH; i++) {
    let n = (group * EACH + i) * 64u + local;
    if (n < items[1]) {
      let index = items[2] + n;
      let point = hilbert_point(order, index);
      var back: u32;
      if (by_table) {
        back = index_by_table(order, point);
      } else {
        back = hilbert_index(order, point);
      }
      if (back != index) {
        atomicAdd(&wrong[0], 1u);
      }
    }
  }
}

// There and back by the loop.
@compute @workgroup_size(64)
fn hilbert_loop(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
                @builtin(local_invocation_index) local: u32) {
  count_wrong(group.x + group.y * groups.x, local, false);
}

// There by the loop and back by the table: where this counts nothing, both are the same curve.
@compute @workgroup_size(64)
fn hilbert_table(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
                 @builtin(local_invocation_index) local: u32) {
  count_wrong(group.x + group.y * groups.x, local, true);
}
