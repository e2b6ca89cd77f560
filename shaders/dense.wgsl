// uses: view.wgsl ram.wgsl hilbert.wgsl
// The dense volume: one RGBA8 voxel for each byte, by Skilling's loop (dense_skilling) or by the
// orientation table (dense_table). This is the reference that the sparse renderer is compared
// with. Alpha 0: the byte is zero, or there is nothing to draw.

@group(0) @binding(5) var<storage, read> features: array<u32>;
@group(0) @binding(6) var<storage, read> pages: array<vec4<u32>>;
@group(0) @binding(7) var<storage, read> grid: array<u32>;
@group(0) @binding(11) var volume_out: texture_storage_3d<rgba8unorm, write>;

const GRID_BRICKS = 49536u;

fn colour_of_index(page: u32, byte: u32) -> vec4<f32> {
  if (page >= view.n_pages) {
    return vec4(0.0);
  }
  let facts = pages[page];
  if (facts.x == NONE || (facts.y & (PAGE_HIDDEN | PAGE_DATA)) != PAGE_DATA) {
    return vec4(0.0);
  }
  let value = ram_byte(facts.x, byte);
  if (value == 0u) {
    return vec4(0.0);
  }
  let around = look_of(features[73u * facts.x + (byte >> 6u)]);
  return vec4(from_linear(colour_of(look_of_byte(value, around), facts.y, facts.w)), 1.0);
}

@compute @workgroup_size(8, 8, 8)
fn dense_skilling(@builtin(global_invocation_id) at: vec3<u32>) {
  if (any(at >= vec3(1u << view.order))) {
    return;
  }
  let index = hilbert_index(view.order, at);
  textureStore(volume_out, at, colour_of_index(index >> 12u, index & 4095u));
}

var<workgroup> colours: array<u32, 256>;  // of each byte value in the group's page

// A work group lies in one page: the colours of all byte values are worked out once for it, except
// for entropy, which hangs on the bytes around.
@compute @workgroup_size(8, 8, 8)
fn dense_table(@builtin(global_invocation_id) at: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>,
               @builtin(local_invocation_index) local: u32) {
  let side = 1u << (view.order - 4u);
  let brick = group >> vec3(1u);
  let i = GRID_BRICKS + brick.x + side * (brick.y + side * brick.z);
  let entry = grid[i];
  let page = grid[i + side * side * side];
  let facts = pages[min(page, view.n_pages - 1u)];
  let is_empty = (entry & 0x80000000u) != 0u || facts.x == NONE;
  if (local < 256u && !is_empty) {
    let look = look_of_byte(local, Look(1.0, 0.0, 0.0, 0.0));
    let colour = vec4(from_linear(colour_of(look, facts.y, facts.w)), 1.0);
    colours[local] = select(pack4x8unorm(colour), 0u, local == 0u);
  }
  workgroupBarrier();
  if (is_empty) {
    textureStore(volume_out, at, vec4(0.0));
    return;
  }
  let inside = at & vec3(15u);
  let voxel = ((entry >> 22u) & 31u) * 4096u + (inside.x | (inside.y << 4u) | (inside.z << 8u));
  let byte = (grid[voxel >> 1u] >> ((voxel & 1u) * 16u)) & 0xffffu;
  var colour = unpack4x8unorm(colours[ram_byte(facts.x, byte)]);
  if (view.mode == MODE_ENTROPY) {
    colour = colour_of_index(page, byte);
  }
  textureStore(volume_out, at, colour);
}
