// uses: view.wgsl
// The page grid: for each 16^3 brick, what rays need to know of it (ORDER grid entries in
// march.wgsl), and in a second array of the same shape its page. build_grid does one 128^3 block
// in a work group; widen_grid then lets empty blocks know of still larger empty cubes.

@group(0) @binding(6) var<storage, read> pages: array<vec4<u32>>;  // slot, attributes, look, written
@group(0) @binding(7) var<storage, read_write> grid: array<u32>;   // tables, bricks, pages

const GRID_TURNS = 49152u;   // after 24 x 4096 half-words: byte of a voxel, by orientation
const GRID_BRICKS = 49536u;  // after 24 x 8 digits and 24 x 8 next orientations, one word each
const GRID_EMPTY = 0x80000000u;
const GRID_FADED = 0x8000000u;
const GRID_NO_SLOT = 0x3fffffu;

var<workgroup> filled: array<atomic<u32>, 8>;  // a bit for each 2x2x2 bricks of the block
var<workgroup> empty: atomic<u32>;

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

fn entry_of(brick: Brick) -> u32 {
  if (brick.page >= view.n_pages) {
    return GRID_EMPTY | 4u;
  }
  let facts = pages[brick.page];
  if ((facts.y & PAGE_HIDDEN) != 0u || (facts.y & PAGE_DATA) == 0u) {
    return GRID_EMPTY | 4u;
  }
  let slot = min(facts.x, GRID_NO_SLOT);
  return slot | (brick.state << 22u) | select(GRID_FADED, 0u, (facts.y & PAGE_SELECTED) != 0u);
}

fn group_bit(at: vec3<u32>) -> u32 {
  let g = (at >> vec3(1u)) & vec3(3u);
  return g.x | (g.y << 2u) | (g.z << 4u);
}

fn is_filled(group: vec3<u32>) -> bool {
  let bit = group.x | (group.y << 2u) | (group.z << 4u);
  return (atomicLoad(&filled[bit >> 5u]) & (1u << (bit & 31u))) != 0u;
}

// Level of the largest aligned empty cube around an empty brick, inside its block.
fn empty_level(at: vec3<u32>) -> u32 {
  let group = (at >> vec3(1u)) & vec3(3u);
  if (is_filled(group)) {
    return 4u;
  }
  let half = group & vec3(2u);
  var any_half = false;
  for (var i = 0u; i < 8u; i++) {
    any_half = any_half || is_filled(half + vec3(i & 1u, (i >> 1u) & 1u, i >> 2u));
  }
  if (any_half) {
    return 5u;
  }
  let all_empty = (atomicLoad(&filled[0]) | atomicLoad(&filled[1])) == 0u;
  return select(6u, 7u, all_empty);
}

@compute @workgroup_size(64)
fn build_grid(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) block: vec3<u32>) {
  if (local < 8u) {
    atomicStore(&filled[local], 0u);
  }
  workgroupBarrier();
  let side = 1u << (view.order - 4u);
  for (var z = 0u; z < 8u; z++) {
    let at = block * 8u + vec3(local & 7u, local >> 3u, z);
    if (all(at < vec3(side))) {
      let brick = brick_at(at);
      let entry = entry_of(brick);
      let i = at.x + side * (at.y + side * at.z);
      grid[GRID_BRICKS + i] = entry;
      grid[GRID_BRICKS + side * side * side + i] = brick.page;
      if ((entry & GRID_EMPTY) == 0u) {
        let bit = group_bit(at);
        atomicOr(&filled[bit >> 5u], 1u << (bit & 31u));
      }
    }
  }
  workgroupBarrier();
  for (var z = 0u; z < 8u; z++) {
    let at = block * 8u + vec3(local & 7u, local >> 3u, z);
    let i = GRID_BRICKS + at.x + side * (at.y + side * at.z);
    if (all(at < vec3(side)) && (grid[i] & GRID_EMPTY) != 0u) {
      grid[i] = GRID_EMPTY | min(empty_level(at), view.order);
    }
  }
}

// True when the cube of 2^level blocks a side that holds this block is empty. Corner bricks tell:
// an empty block says 7 or more in each of its bricks.
fn is_empty_cube(block: vec3<u32>, level: u32, local: u32) -> bool {
  let side = 1u << (view.order - 4u);
  let corner = (block >> vec3(level)) << vec3(level);
  for (var i = local; i < 1u << (3u * level); i += 64u) {
    let mask = (1u << level) - 1u;
    let other = corner + vec3(i & mask, (i >> level) & mask, i >> (2u * level));
    let at = other * 8u;
    let entry = grid[GRID_BRICKS + at.x + side * (at.y + side * at.z)];
    if ((entry & GRID_EMPTY) == 0u || (entry & 31u) < 7u) {
      return false;
    }
  }
  return true;
}

@compute @workgroup_size(64)
fn widen_grid(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) block: vec3<u32>) {
  let side = 1u << (view.order - 4u);
  let own = block * 8u;
  let entry = grid[GRID_BRICKS + own.x + side * (own.y + side * own.z)];
  var level = select(0u, 7u, (entry & GRID_EMPTY) != 0u && (entry & 31u) >= 7u);
  for (var up = 1u; up <= min(3u, max(view.order, 7u) - 7u); up++) {
    if (local == 0u) {
      atomicStore(&empty, 1u);
    }
    workgroupBarrier();
    if (!is_empty_cube(block, up, local)) {
      atomicStore(&empty, 0u);
    }
    workgroupBarrier();
    if (level == 6u + up && atomicLoad(&empty) == 1u) {
      level = 7u + up;
    }
    workgroupBarrier();
  }
  if (level < 8u) {
    return;
  }
  for (var z = 0u; z < 8u; z++) {
    let at = block * 8u + vec3(local & 7u, local >> 3u, z);
    grid[GRID_BRICKS + at.x + side * (at.y + side * at.z)] = GRID_EMPTY | level;
  }
}
