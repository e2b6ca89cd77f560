// A ray through the volume. Uses: view.wgsl ram.wgsl.
//
// 1. The ray goes from cube to cube. At each place one load from the grid says how large an empty
//    cube it is in, or which page lies there; inside a page, cubes of 512 or 64 bytes or single
//    bytes are visited, and those without data are crossed in one step.
// 2. How deep it goes hangs on how many voxels a pixel covers there. Colours of two levels are
//    blended; which level decides about solidity is dithered per pixel, so nothing jumps while
//    the camera moves.
// 3. Finding the next thing and taking up its colour are two loops, one inside the other: pixels
//    that are worked on together search together and colour together.
// 4. "Explode" only moves blocks of 128^3 apart: a block is then walked in its own frame.

@group(0) @binding(5) var<storage, read> features: array<u32>;
@group(0) @binding(6) var<storage, read> pages: array<vec4<u32>>;
@group(0) @binding(7) var<storage, read> grid: array<u32>;

// ORDER grid entries: bit 31: empty, with log2 of the empty cube's side in bits 0 .. 4. Else
// bits 0 .. 21 slot (all ones: none), 22 .. 26 orientation, 27 not selected.
const GRID_BRICKS = 49536u;
const GRID_EMPTY = 0x80000000u;
const GRID_FADED = 0x8000000u;
const GRID_NO_SLOT = 0x3fffffu;
const LOOKS = 73u;  // words in `features` for each slot: 64 of 64 bytes, 8 of 512, 1 of the page
const SOLID = 0.985;

struct Ray {
  origin: vec3<f32>,
  direction: vec3<f32>,
  inverse: vec3<f32>,
  fine: vec3<f32>,  // distances from which 64 bytes, 512 bytes and pages are drawn whole
  lod_shift: f32,   // what is added to log2(voxels per pixel)
}

// What a ray has gathered so far, and the first thing it met.
struct March {
  colour: vec3<f32>,
  alpha: f32,
  t: f32,
  page: u32,
  byte: u32,
  axis: u32,
  voxel: vec3<i32>,
  lod: f32,
}

struct Span {
  t0: f32,
  t1: f32,
  axis: u32,  // of the face through which the ray comes in
}

// Vectors are never indexed by a variable here: compilers without a GPU's registers would keep them
// in memory. A mask with exactly one true component takes the place of an axis number.

fn least_of(v: vec3<f32>) -> vec3<bool> {
  let x = v.x <= v.y && v.x <= v.z;
  let y = !x && v.y <= v.z;
  return vec3(x, y, !x && !y);
}

fn axis_of(mask: vec3<bool>) -> u32 {
  return select(select(2u, 1u, mask.y), 0u, mask.x);
}

fn mask_of(axis: u32) -> vec3<bool> {
  return vec3(axis == 0u, axis == 1u, axis == 2u);
}

fn least(v: vec3<f32>) -> f32 {
  return min(min(v.x, v.y), v.z);
}

fn span_of_box(origin: vec3<f32>, inverse: vec3<f32>, low: vec3<f32>, high: vec3<f32>) -> Span {
  let a = (low - origin) * inverse;
  let b = (high - origin) * inverse;
  let near = min(a, b);
  let far = max(a, b);
  return Span(max(max(near.x, near.y), near.z), least(far), axis_of(least_of(-near)));
}

fn brick_index(brick: vec3<i32>) -> u32 {
  let side = 1u << (view.order - 4u);
  let b = vec3<u32>(brick);
  return b.x + side * (b.y + side * b.z);
}

fn grid_entry(brick: vec3<i32>) -> u32 {
  if (any(brick < vec3(0)) || any(brick >= vec3(i32(1u << (view.order - 4u))))) {
    return GRID_EMPTY | 4u;
  }
  return grid[GRID_BRICKS + brick_index(brick)];
}

fn page_of(brick: vec3<i32>) -> u32 {
  return grid[GRID_BRICKS + (1u << (3u * (view.order - 4u))) + brick_index(brick)];
}

// Index inside its page of the byte at a voxel of the brick.
fn byte_at(state: u32, voxel: vec3<i32>) -> u32 {
  let v = vec3<u32>(voxel);
  let i = state * 4096u + (v.x | (v.y << 4u) | (v.z << 8u));
  return (grid[i >> 1u] >> ((i & 1u) * 16u)) & 0xffffu;
}

fn face_light(ray: Ray, axis: u32) -> f32 {
  let towards = select(vec3(0.74, 0.46, 0.60), vec3(0.86, 1.06, 0.70), ray.direction < vec3(0.0));
  return select(select(towards.z, towards.y, axis == 1u), towards.x, axis == 0u);
}

fn mix_look(a: Look, b: Look, t: f32) -> Look {
  return Look(mix(a.density, b.density, t), mix(a.text, b.text, t), mix(a.value, b.value, t),
              mix(a.entropy, b.entropy, t));
}

// Share of light stopped by `length` voxels of stuff of which `density` is there.
fn stopped(density: f32, length: f32) -> f32 {
  return 1.0 - pow(1.0 - min(density, 0.9999) * view.opacity, max(length, 0.0));
}

// From the cube of side `size` at `voxel` to the next one along the ray.
struct Step {
  voxel: vec3<i32>,
  t: f32,
  axis: u32,
}

fn next_cube(ray: Ray, origin: vec3<f32>, voxel: vec3<i32>, size: i32) -> Step {
  let low = voxel & vec3(-size);
  let forward = ray.direction > vec3(0.0);
  let plane = vec3<f32>(select(low, low + size, forward));
  let t = (plane - origin) * ray.inverse;
  let mask = least_of(t);
  let leave = least(t);
  let across = clamp(vec3<i32>(floor(origin + ray.direction * leave)), low, low + size - 1);
  let beyond = select(low - 1, low + size, forward);
  return Step(select(across, beyond, mask), leave, axis_of(mask));
}

// A place along the ray.
struct Place {
  at: Step,
  size: i32,    // of the cube there
  entry: u32,   // of the grid
  byte: u32,    // inside the page
  word: u32,    // the look of the cube, packed
  leaf: i32,    // side of the smallest cubes drawn here
}

// Side of the smallest cubes drawn at a distance: a byte, 64 bytes, 512 bytes, a page.
fn leaf_side(ray: Ray, t: f32, entry: u32) -> i32 {
  var leaf = select(select(select(1, 4, t >= ray.fine.x), 8, t >= ray.fine.y), 16, t >= ray.fine.z);
  if ((view.flags & FLAG_SELECT) != 0u && (entry & GRID_FADED) != 0u) {
    leaf = max(leaf, 8);
  }
  return select(leaf, 16, (entry & GRID_NO_SLOT) == GRID_NO_SLOT);
}

fn look_index(entry: u32, byte: u32, side: i32) -> u32 {
  let first = LOOKS * (entry & GRID_NO_SLOT);
  return first + select(select(byte >> 6u, 64u + (byte >> 9u), side >= 8), 72u, side >= 16);
}

// The cube at a place, and whether there is anything in it.
fn examine(ray: Ray, at: Step) -> Place {
  let entry = grid[GRID_BRICKS + brick_index(at.voxel >> vec3(4u))];
  var place = Place(at, i32(1u << (entry & 31u)), entry, 0u, 0u, 16);
  if ((entry & GRID_EMPTY) == 0u) {
    place.leaf = leaf_side(ray, at.t, entry);
    place.size = max(place.leaf, 4);
    place.byte = byte_at((entry >> 22u) & 31u, at.voxel & vec3(15));
    place.word = 255u;
    if ((entry & GRID_NO_SLOT) != GRID_NO_SLOT) {
      place.word = features[look_index(entry, place.byte, place.size)];
    }
    if (place.leaf == 1 && (place.word & 0xffu) != 0u) {
      place.size = 1;
    }
  }
  return place;
}

// The value of the byte there, or of the density of a larger cube; 0: nothing.
fn value_at(place: Place) -> u32 {
  if (place.size == 1) {
    return ram_byte(place.entry & GRID_NO_SLOT, place.byte);
  }
  return place.word & 0xffu;
}

// Adds what the cube at a place shows over `length` voxels of the ray.
fn gather(ray: Ray, place: Place, value: u32, length: f32, m: ptr<function, March>) {
  let page = page_of(place.at.voxel >> vec3(4u));
  let facts = pages[page];
  let lod = log2(max(place.at.t * view.up.w, 1e-4)) + ray.lod_shift;
  let is_exact = (view.flags & FLAG_EXACT) != 0u;
  var around = look_of(place.word);
  var look = around;
  if (place.leaf == 1) {
    let blend = select(smoothstep(0.2, 1.7, lod), 0.0, is_exact);
    look = mix_look(look_of_byte(value, around), around, blend);
  } else if (place.leaf < 16) {
    let coarser = look_of(features[look_index(place.entry, place.byte, 2 * place.leaf)]);
    look = mix_look(around, coarser, smoothstep(0.0, 1.0, lod - select(2.0, 3.0, place.leaf == 8)));
  } else {
    look = look_of(facts.z);
    around = look;
  }
  let is_solid = place.leaf == 1 && view.opacity >= 1.0;
  let density = select(around.density, 1.0, place.leaf == 1);
  var share = (1.0 - (*m).alpha) * select(stopped(density, length), 1.0, is_solid);
  if (view.forward.w > 0.0 && !is_exact) {
    share *= saturate(place.at.t / view.forward.w - 1.0);
  }
  var colour = colour_of(look, facts.y, facts.w);
  if ((view.flags & FLAG_SELECT) != 0u && (place.entry & GRID_FADED) != 0u) {
    colour = mix(vec3(dot(colour, vec3(0.3, 0.5, 0.2))), colour, 0.25) * 0.5;
    share *= 0.012;
  }
  if (page == view.hovered) {
    colour = colour * 1.6 + 0.06;
  }
  let is_flat = (view.flags & FLAG_FLAT) != 0u;
  let light = mix(face_light(ray, place.at.axis), 0.8, smoothstep(2.0, 4.0, lod));
  (*m).colour += share * colour * select(light, 1.0, is_flat);
  (*m).alpha += share;
  if ((*m).page == NONE && (*m).alpha > 0.02) {
    (*m).page = page;
    (*m).byte = place.byte;
    (*m).t = place.at.t;
    (*m).axis = place.at.axis;
    (*m).voxel = place.at.voxel;
    (*m).lod = f32(place.leaf);
  }
}

// Walks the voxels low .. high; origin is the ray's in their frame.
fn march_cube(ray: Ray, origin: vec3<f32>, low: vec3<i32>, high: vec3<i32>, span: Span,
              m: ptr<function, March>) {
  let inside = vec3<i32>(floor(origin + ray.direction * span.t0));
  var at = Step(clamp(inside, low, high), span.t0, span.axis);
  for (var things = 0; things < 512; things++) {
    var place: Place;
    var next: Step;
    var value = 0u;
    for (var steps = 0; steps < 2048; steps++) {
      place = examine(ray, at);
      next = next_cube(ray, origin, at.voxel, place.size);
      value = value_at(place);
      if (value != 0u || next.t >= span.t1 || any(next.voxel < low) || any(next.voxel > high)) {
        break;
      }
      at = next;
    }
    if (value == 0u) {
      return;
    }
    gather(ray, place, value, min(next.t, span.t1) - at.t, m);
    if ((*m).alpha > SOLID || next.t >= span.t1 || any(next.voxel < low) || any(next.voxel > high)) {
      return;
    }
    at = next;
  }
}

// Where a ray is inside the clip sphere; t0 > t1: nowhere.
fn span_of_sphere(origin: vec3<f32>, direction: vec3<f32>) -> vec2<f32> {
  let away = origin - view.sphere.xyz;
  let b = dot(away, direction);
  let inside = b * b - dot(away, away) + view.sphere.w * view.sphere.w;
  if (inside <= 0.0) {
    return vec2(1.0, 0.0);
  }
  return vec2(-b - sqrt(inside), -b + sqrt(inside));
}

// Walks the part of a cube that the clip box and the clip sphere keep, which may be in two pieces;
// shift is how far explosion moved the cube.
fn march_clipped(ray: Ray, low: vec3<f32>, high: vec3<f32>, shift: vec3<f32>, t0: f32,
                 m: ptr<function, March>) {
  let origin = ray.origin - shift;
  let first = max(low, view.clip_low.xyz);
  let last = min(high, view.clip_high.xyz);
  let whole = span_of_box(origin, ray.inverse, first, last);
  var gap = vec2(1e30, 1e30);
  if (view.sphere.w != 0.0) {
    gap = span_of_sphere(origin, ray.direction);
    gap = select(gap, vec2(1e30), gap.x > gap.y);
  }
  let keeps_inside = view.sphere.w < 0.0;
  let facing = axis_of(least_of(-abs(ray.direction)));
  let pieces = select(2, 1, gap.x > whole.t1 || gap.y < max(whole.t0, t0) || keeps_inside);
  for (var piece = 0; piece < pieces; piece++) {
    var span = whole;
    if (keeps_inside) {
      span = Span(max(whole.t0, gap.x), min(whole.t1, gap.y), whole.axis);
    } else if (pieces == 2 && piece == 0) {
      span.t1 = gap.x;
    } else if (piece == 1) {
      span = Span(gap.y, whole.t1, facing);
    }
    span.t0 = max(span.t0, t0);
    if (span.t0 < span.t1 && all(first < last) && (*m).alpha < SOLID) {
      march_cube(ray, origin, vec3<i32>(floor(first)), vec3<i32>(ceil(last)) - 1, span, m);
    }
  }
}

fn march_blocks(ray: Ray, m: ptr<function, March>) {
  let blocks = max(1, i32(1u << view.order) >> 7u);
  let gap = 128.0 * view.explode;
  let pitch = 128.0 + gap;
  let whole = span_of_box(ray.origin, ray.inverse, vec3(0.0), vec3(pitch * f32(blocks) - gap));
  var t = max(whole.t0, view.forward.w);
  let forward = ray.direction > vec3(0.0);
  let step = select(vec3(-1), vec3(1), forward);
  let inside = vec3<i32>(floor((ray.origin + ray.direction * t) / pitch));
  var at = clamp(inside, vec3(0), vec3(blocks - 1));
  var t_next = (vec3<f32>(select(at, at + 1, forward)) * pitch - ray.origin) * ray.inverse;
  for (var i = 0; i < 3 * blocks && t < whole.t1; i++) {
    let low = vec3<f32>(at * 128);
    march_clipped(ray, low, low + 128.0, vec3<f32>(at) * gap, t, m);
    if ((*m).alpha > SOLID) {
      return;
    }
    let leave = least_of(t_next);
    t = max(t, least(t_next));
    at = select(at, at + step, leave);
    if (any(at < vec3(0)) || any(at >= vec3(blocks))) {
      return;
    }
    t_next = select(t_next, t_next + pitch * abs(ray.inverse), leave);
  }
}

fn march_volume(ray: Ray) -> March {
  var m = March(vec3(0.0), 0.0, 0.0, NONE, 0u, 0u, vec3(0), 0.0);
  if (view.explode > 0.0) {
    march_blocks(ray, &m);
  } else {
    march_clipped(ray, vec3(0.0), vec3(f32(1u << view.order)), vec3(0.0), view.forward.w, &m);
  }
  return m;
}

fn ray_of_pixel(pixel: vec2<f32>) -> Ray {
  let at = pixel / vec2(f32(view.width), f32(view.height)) * 2.0 - 1.0;
  var d = view.forward.xyz + view.right.xyz * (at.x * view.eye.w * view.right.w) -
          view.up.xyz * (at.y * view.eye.w);
  d = normalize(d);
  d = select(d, vec3(1e-7), abs(d) < vec3(1e-7));
  // Interleaved gradient noise: the same for a pixel in every frame.
  let noise = fract(52.9829189 * fract(dot(floor(pixel), vec2(0.06711056, 0.00583715))));
  let lod_shift = view.lod_bias + (noise - 0.5) * 0.5;
  var fine = exp2(vec3(1.7, 3.0, 4.0) - lod_shift) / view.up.w;
  fine.x = select(fine.x, 0.0, view.opacity < 1.0);
  fine = select(fine, vec3(1e30), (view.flags & FLAG_EXACT) != 0u);
  return Ray(view.eye.xyz, d, 1.0 / d, fine, lod_shift);
}
