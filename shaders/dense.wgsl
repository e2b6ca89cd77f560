// uses: view.wgsl ram.wgsl hilbert.wgsl
// The dense volume: one RGBA8 voxel for each byte, by Skilling's loop (dense_skilling) or by the
// orientation table (dense_table). This is the reference that the sparse renderer is compared
// with. Alpha 0: the byte is zero, or there is nothing to draw. Four voxels that follow one another
// along x are one texel, since stores of 16 bytes are what memory is fast at.

@group(0) @binding(5) var<storage, read> features: array<u32>;
@group(0) @binding(6) var<storage, read> pages: array<vec4<u32>>;
@group(0) @binding(7) var<storage, read> grid: array<u32>;
@group(0) @binding(11) var volume_out: texture_storage_3d<rgba32uint, write>;

const GRID_BRICKS = 49536u;
const LOOKS = 73u;

fn voxel_colour(look: Look, facts: vec4<u32>) -> u32 {
  return pack4x8unorm(vec4(from_linear(colour_of(look, facts.y, facts.w)), 1.0));
}

fn has_bytes(facts: vec4<u32>) -> bool {
  return facts.x != NONE && (facts.y & (PAGE_HIDDEN | PAGE_DATA)) == PAGE_DATA;
}

// --- by the loop: a work group does 8x8x8 voxels, a thread one ---

var<workgroup> cube: array<u32, 512>;

fn voxel_of_index(page: u32, byte: u32) -> u32 {
  if (page >= view.n_pages) {
    return 0u;
  }
  let facts = pages[page];
  if (!has_bytes(facts)) {
    return 0u;
  }
  let value = ram_byte(facts.x, byte);
  let around = look_of(features[LOOKS * facts.x + (byte >> 6u)]);
  return select(voxel_colour(look_of_byte(value, around), facts), 0u, value == 0u);
}

@compute @workgroup_size(8, 8, 8)
fn dense_skilling(@builtin(global_invocation_id) at: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>,
                  @builtin(local_invocation_index) local: u32) {
  let index = hilbert_index(view.order, at);
  cube[local] = voxel_of_index(index >> 12u, index & 4095u);
  workgroupBarrier();
  if (local < 128u) {
    let i = local * 4u;
    let texel = group * vec3(2u, 8u, 8u) + vec3(local & 1u, (local >> 1u) & 7u, local >> 4u);
    textureStore(volume_out, texel, vec4(cube[i], cube[i + 1u], cube[i + 2u], cube[i + 3u]));
  }
}

// --- by the table: a work group does one brick, which is one page. The page's bytes and the colours
// of all byte values are brought near once; then each thread puts together four texels ---

var<workgroup> words: array<u32, 1024>;
var<workgroup> colours: array<u32, 256>;  // of each byte value; for entropy of each 64 bytes

fn fetch_page(facts: vec4<u32>, local: u32) {
  for (var i = local; i < 1024u; i += 256u) {
    words[i] = ram_word(facts.x, i);
  }
  var look = look_of_byte(local, Look(1.0, 0.0, 0.0, 0.0));
  if (view.mode == MODE_ENTROPY) {
    look = look_of(features[LOOKS * facts.x + (local & 63u)]);
  }
  colours[local] = voxel_colour(look, facts);
}

fn voxel_of_byte(byte: u32) -> u32 {
  let value = (words[byte >> 2u] >> ((byte & 3u) * 8u)) & 0xffu;
  let colour = colours[select(value, byte >> 6u, view.mode == MODE_ENTROPY)];
  return select(colour, 0u, value == 0u);
}

// The voxels of texel i of a brick: the table has two in a word.
fn texel_of_brick(state: u32, i: u32) -> vec4<u32> {
  let at = state * 2048u + i * 2u;
  let a = grid[at];
  let b = grid[at + 1u];
  return vec4(voxel_of_byte(a & 0xffffu), voxel_of_byte(a >> 16u), voxel_of_byte(b & 0xffffu),
              voxel_of_byte(b >> 16u));
}

@compute @workgroup_size(256)
fn dense_table(@builtin(workgroup_id) brick: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let side = 1u << (view.order - 4u);
  let i = GRID_BRICKS + brick.x + side * (brick.y + side * brick.z);
  let entry = grid[i];
  let facts = pages[min(grid[i + side * side * side], view.n_pages - 1u)];
  let is_drawn = (entry & 0x80000000u) == 0u && has_bytes(facts);
  if (is_drawn) {
    fetch_page(facts, local);
  }
  workgroupBarrier();
  for (var texel = local; texel < 1024u; texel += 256u) {
    var voxels = vec4(0u);
    if (is_drawn) {
      voxels = texel_of_brick((entry >> 22u) & 31u, texel);
    }
    let at = vec3(texel & 3u, (texel >> 2u) & 15u, texel >> 6u);
    textureStore(volume_out, brick * vec3(4u, 16u, 16u) + at, voxels);
  }
}
