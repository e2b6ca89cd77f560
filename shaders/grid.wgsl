// uses: view.wgsl
// The page grid: for each 16^3 brick the page that lies there and the orientation of the curve in
// it, or NONE if there is nothing to draw; and for each 128^3 block how many bricks it has.
// One work group does one block.

@group(0) @binding(6) var<storage, read> pages: array<vec4<u32>>;  // slot, attributes, look, written
@group(0) @binding(7) var<storage, read_write> grid: array<u32>;   // tables, blocks, bricks

const GRID_TURNS = 49152u;   // after 24 x 4096 half-words: byte of a voxel, by orientation
const GRID_BLOCKS = 49536u;  // after 24 x 8 digits and 24 x 8 next orientations, one word each

var<workgroup> visible: atomic<u32>;

struct Brick {
  page: u32,
  state: u32,
}

// Which page a brick is, by the orientation table, from the top digit down.
fn brick_at(at: vec3<u32>) -> Brick {
  var brick = Brick(0u, 0u);
  for (var level = view.order - 4u; level > 0u; level--) {
    let bit = (at >> vec3(level - 1u)) & vec3(1u);
    let entry = GRID_TURNS + brick.state * 8u + (bit.x | (bit.y << 1u) | (bit.z << 2u));
    brick.page = (brick.page << 3u) | grid[entry];
    brick.state = grid[entry + 192u];
  }
  return brick;
}

fn entry_of(at: vec3<u32>) -> u32 {
  let brick = brick_at(at);
  if (brick.page >= view.n_pages) {
    return NONE;
  }
  let attributes = pages[brick.page].y;
  if ((attributes & PAGE_HIDDEN) != 0u || (attributes & PAGE_DATA) == 0u) {
    return NONE;
  }
  return brick.page | (brick.state << 27u);
}

@compute @workgroup_size(64)
fn build_grid(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) block: vec3<u32>,
        @builtin(num_workgroups) blocks: vec3<u32>) {
  if (local == 0u) {
    atomicStore(&visible, 0u);
  }
  workgroupBarrier();
  let side = 1u << (view.order - 4u);
  let bricks = GRID_BLOCKS + blocks.x * blocks.y * blocks.z;
  var count = 0u;
  for (var z = 0u; z < 8u; z++) {
    let at = block * 8u + vec3(local & 7u, local >> 3u, z);
    if (all(at < vec3(side))) {
      let entry = entry_of(at);
      grid[bricks + at.x + side * (at.y + side * at.z)] = entry;
      count += select(0u, 1u, entry != NONE);
    }
  }
  atomicAdd(&visible, count);
  workgroupBarrier();
  if (local == 0u) {
    grid[GRID_BLOCKS + block.x + blocks.x * (block.y + blocks.y * block.z)] = atomicLoad(&visible);
  }
}
