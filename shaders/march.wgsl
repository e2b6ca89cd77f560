// A ray through the volume: blocks of 128^3 voxels, bricks of 16^3 (a page each), cells of 8^3 and
// 4^3, and single bytes. Uses: view.wgsl ram.wgsl.
//
// 1. At each level the ray visits the cubes it crosses in order; an empty one costs one load.
// 2. How deep it goes inside a brick is decided once for the brick, from how many voxels a pixel
//    covers there. Colours of two levels are blended; which level decides about solidity is
//    dithered per pixel, so nothing jumps while the camera moves.
// 3. Coordinates are local to the brick at the innermost level: large volumes stay precise.
// 4. "Explode" only moves blocks apart: inside a block nothing changes.

@group(0) @binding(5) var<storage, read> features: array<u32>;
@group(0) @binding(6) var<storage, read> pages: array<vec4<u32>>;
@group(0) @binding(7) var<storage, read> grid: array<u32>;

const GRID_BLOCKS = 49536u;
const SOLID = 0.985;

struct Ray {
  origin: vec3<f32>,
  direction: vec3<f32>,
  inverse: vec3<f32>,
  dither: f32,
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

fn largest_axis(v: vec3<f32>) -> u32 {
  if (v.x >= v.y && v.x >= v.z) {
    return 0u;
  }
  return select(2u, 1u, v.y >= v.z);
}

fn smallest_axis(v: vec3<f32>) -> u32 {
  if (v.x <= v.y && v.x <= v.z) {
    return 0u;
  }
  return select(2u, 1u, v.y <= v.z);
}

fn span_of_box(origin: vec3<f32>, inverse: vec3<f32>, low: vec3<f32>, high: vec3<f32>) -> Span {
  let a = (low - origin) * inverse;
  let b = (high - origin) * inverse;
  let near = min(a, b);
  let far = max(a, b);
  return Span(max(max(near.x, near.y), near.z), min(min(far.x, far.y), far.z), largest_axis(near));
}

fn block_side() -> i32 {
  return max(1, i32(1u << view.order) >> 7u);
}

fn grid_entry(brick: vec3<i32>) -> u32 {
  let side = i32(1u << (view.order - 4u));
  if (any(brick < vec3(0)) || any(brick >= vec3(side))) {
    return NONE;
  }
  let blocks = u32(block_side());
  return grid[GRID_BLOCKS + blocks * blocks * blocks +
              u32(brick.x + side * (brick.y + side * brick.z))];
}

// Index inside its page of the byte at a voxel of the brick.
fn byte_at(state: u32, voxel: vec3<i32>) -> u32 {
  let v = vec3<u32>(voxel);
  let i = state * 4096u + (v.x | (v.y << 4u) | (v.z << 8u));
  return (grid[i >> 1u] >> ((i & 1u) * 16u)) & 0xffffu;
}

fn is_cut(voxel: vec3<f32>) -> bool {
  let r = view.sphere.w;
  if (r == 0.0) {
    return false;
  }
  let d = voxel - view.sphere.xyz;
  return (dot(d, d) < r * r) == (r > 0.0);
}

fn face_light(ray: Ray, axis: u32) -> f32 {
  if ((view.flags & FLAG_FLAT) != 0u) {
    return 1.0;
  }
  let towards = select(vec3(0.74, 0.46, 0.60), vec3(0.86, 1.06, 0.70), ray.direction < vec3(0.0));
  return towards[axis];
}

fn mix_look(a: Look, b: Look, t: f32) -> Look {
  return Look(mix(a.density, b.density, t), mix(a.text, b.text, t), mix(a.value, b.value, t),
              mix(a.entropy, b.entropy, t));
}

struct Sample {
  look: Look,
  solid: f32,  // how much of the light along `length` it stops
  voxel: vec3<i32>,
  t: f32,
  axis: u32,
  page: u32,
  byte: u32,
  lod: f32,
}

fn gather(ray: Ray, s: Sample, m: ptr<function, March>) {
  let page = pages[s.page];
  var colour = colour_of(s.look, page.y, page.w);
  var solid = s.solid;
  if ((view.flags & FLAG_SELECT) != 0u && (page.y & PAGE_SELECTED) == 0u) {
    colour = mix(vec3(dot(colour, vec3(0.3, 0.5, 0.2))), colour, 0.25) * 0.5;
    solid *= 0.03;
  }
  if (s.page == view.hovered) {
    colour = colour * 1.6 + 0.06;
  }
  let light = mix(face_light(ray, s.axis), 0.8, smoothstep(2.0, 4.0, s.lod));
  let share = (1.0 - (*m).alpha) * solid;
  (*m).colour += share * colour * select(light, 1.0, (view.flags & FLAG_FLAT) != 0u);
  (*m).alpha += share;
  if ((*m).page == NONE && (*m).alpha > 0.02) {
    (*m).page = s.page;
    (*m).byte = s.byte;
    (*m).t = s.t;
    (*m).axis = s.axis;
    (*m).voxel = s.voxel;
    (*m).lod = s.lod;
  }
}

// Share of light stopped by `length` voxels of stuff of which `density` is there.
fn stopped(density: f32, length: f32) -> f32 {
  return 1.0 - pow(1.0 - min(density, 0.9999) * view.opacity, max(length, 0.0));
}

struct Brick {
  origin: vec3<f32>,  // of the ray, in the brick's coordinates
  corner: vec3<i32>,  // of the brick, in voxels of the volume
  page: u32,
  state: u32,
  slot: u32,
  look: Look,
  lod: f32,
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
  let axis = smallest_axis(t);
  let leave = t[axis];
  var to = clamp(vec3<i32>(floor(origin + ray.direction * leave)), low, low + size - 1);
  to[axis] = select(low[axis] - 1, low[axis] + size, forward[axis]);
  return Step(to, leave, axis);
}

// Bytes: the finest level. Cells of 4^3 without a byte in them are crossed in one step.
fn march_bytes(ray: Ray, brick: Brick, span: Span, m: ptr<function, March>) {
  var at = Step(clamp(vec3<i32>(floor(brick.origin + ray.direction * span.t0)), vec3(0), vec3(15)),
                span.t0, span.axis);
  let coarse = select(smoothstep(0.2, 1.7, brick.lod), 0.0, (view.flags & FLAG_EXACT) != 0u);
  var cell = NONE;
  var around = brick.look;
  for (var i = 0; i < 64; i++) {
    let byte = byte_at(brick.state, at.voxel);
    if ((byte >> 6u) != cell) {
      cell = byte >> 6u;
      around = look_of(features[72u * brick.slot + cell]);
    }
    var size = 4;
    var value = 0u;
    if (around.density > 0.0) {
      size = 1;
      value = ram_byte(brick.slot, byte);
    }
    let next = next_cube(ray, brick.origin, at.voxel, size);
    if (value != 0u && !is_cut(vec3<f32>(brick.corner + at.voxel) + 0.5)) {
      let look = mix_look(look_of_byte(value, around), around, coarse);
      let solid = select(stopped(1.0, min(next.t, span.t1) - at.t), 1.0, view.opacity >= 1.0);
      gather(ray, Sample(look, solid, brick.corner + at.voxel, at.t, at.axis, brick.page, byte,
                         brick.lod), m);
      if ((*m).alpha > SOLID) {
        return;
      }
    }
    if (next.t >= span.t1 || any(next.voxel < vec3(0)) || any(next.voxel > vec3(15))) {
      return;
    }
    at = next;
  }
}

// Cells of side 4 or 8, as haze of their density.
fn march_cells(ray: Ray, brick: Brick, span: Span, size: i32, m: ptr<function, March>) {
  var at = Step(clamp(vec3<i32>(floor(brick.origin + ray.direction * span.t0)), vec3(0), vec3(15)),
                span.t0, span.axis);
  let blend = smoothstep(0.0, 1.0, brick.lod - select(2.0, 3.0, size == 8));
  for (var i = 0; i < 12; i++) {
    let byte = byte_at(brick.state, at.voxel);
    let fine = features[72u * brick.slot + select(byte >> 6u, 64u + (byte >> 9u), size == 8)];
    let next = next_cube(ray, brick.origin, at.voxel, size);
    let look = look_of(fine);
    if (look.density > 0.0 && !is_cut(vec3<f32>(brick.corner + (at.voxel & vec3(-size))) +
                                      0.5 * f32(size))) {
      var shown = look;
      if (size == 4) {
        shown = mix_look(look, look_of(features[72u * brick.slot + 64u + (byte >> 9u)]), blend);
      } else {
        shown = mix_look(look, brick.look, blend);
      }
      let solid = stopped(look.density, min(next.t, span.t1) - at.t);
      gather(ray, Sample(shown, solid, brick.corner + at.voxel, at.t, at.axis, brick.page, byte,
                         brick.lod), m);
      if ((*m).alpha > SOLID) {
        return;
      }
    }
    if (next.t >= span.t1 || any(next.voxel < vec3(0)) || any(next.voxel > vec3(15))) {
      return;
    }
    at = next;
  }
}

fn march_brick(ray: Ray, origin: vec3<f32>, corner: vec3<i32>, entry: u32, whole: Span,
               m: ptr<function, March>) {
  let low = max(vec3(0.0), view.clip_low.xyz - vec3<f32>(corner));
  let high = min(vec3(16.0), view.clip_high.xyz - vec3<f32>(corner));
  var span = span_of_box(origin, ray.inverse, low, high);
  if (span.t0 < whole.t0) {
    span.t0 = whole.t0;
    span.axis = whole.axis;
  }
  span.t1 = min(span.t1, whole.t1);
  if (span.t0 >= span.t1) {
    return;
  }
  let page = entry & 0x7ffffffu;
  let facts = pages[page];
  var lod = log2(max(span.t0 * view.up.w, 1e-4)) + view.lod_bias + ray.dither;
  if ((view.flags & FLAG_SELECT) != 0u && (facts.y & PAGE_SELECTED) == 0u) {
    lod = max(lod, 3.2);
  }
  if (view.opacity < 1.0) {
    lod = max(lod, 2.1);
  }
  if ((view.flags & FLAG_EXACT) != 0u) {
    lod = 0.0;
  }
  let brick = Brick(origin, corner, page, entry >> 27u, facts.x, look_of(facts.z), lod);
  if (facts.x == NONE || lod >= 4.0) {
    if (brick.look.density > 0.0 && !is_cut(vec3<f32>(corner) + 8.0)) {
      gather(ray, Sample(brick.look, stopped(brick.look.density, span.t1 - span.t0), corner + 8,
                         span.t0, span.axis, page, 0u, lod), m);
    }
  } else if (lod >= 3.0) {
    march_cells(ray, brick, span, 8, m);
  } else if (lod >= 1.7) {
    march_cells(ray, brick, span, 4, m);
  } else {
    march_bytes(ray, brick, span, m);
  }
}

// Bricks of one block; origin is the ray's in the block's coordinates.
fn march_block(ray: Ray, origin: vec3<f32>, corner: vec3<i32>, span: Span, m: ptr<function, March>) {
  let forward = ray.direction > vec3(0.0);
  let step = select(vec3(-1), vec3(1), forward);
  var at = clamp(vec3<i32>(floor((origin + ray.direction * span.t0) / 16.0)), vec3(0), vec3(7));
  let plane = vec3<f32>(select(at, at + 1, forward)) * 16.0;
  var t_next = (plane - origin) * ray.inverse;
  let t_step = 16.0 * abs(ray.inverse);
  let base = corner >> vec3(4u);
  var t = span.t0;
  var axis = span.axis;
  for (var i = 0; i < 24; i++) {
    let leave = smallest_axis(t_next);
    let t_leave = t_next[leave];
    let entry = grid_entry(base + at);
    if (entry != NONE) {
      march_brick(ray, origin - vec3<f32>(at * 16), corner + at * 16, entry,
                  Span(t, min(t_leave, span.t1), axis), m);
      if ((*m).alpha > SOLID) {
        return;
      }
    }
    if (t_leave >= span.t1) {
      return;
    }
    at[leave] += step[leave];
    if (at[leave] < 0 || at[leave] > 7) {
      return;
    }
    t = t_leave;
    axis = leave;
    t_next[leave] += t_step[leave];
  }
}

fn march_volume(ray: Ray) -> March {
  var m = March(vec3(0.0), 0.0, 0.0, NONE, 0u, 0u, vec3(0), 0.0);
  let blocks = block_side();
  let pitch = 128.0 * (1.0 + view.explode);
  let end = pitch * f32(blocks - 1) + 128.0;
  let whole = span_of_box(ray.origin, ray.inverse, vec3(0.0), vec3(end));
  var t = max(whole.t0, view.forward.w);
  if (t >= whole.t1) {
    return m;
  }
  let forward = ray.direction > vec3(0.0);
  let step = select(vec3(-1), vec3(1), forward);
  var at = clamp(vec3<i32>(floor((ray.origin + ray.direction * t) / pitch)), vec3(0), vec3(blocks - 1));
  let plane = vec3<f32>(select(at, at + 1, forward)) * pitch;
  var t_next = (plane - ray.origin) * ray.inverse;
  let t_step = pitch * abs(ray.inverse);
  let limit = 3 * blocks;
  for (var i = 0; i < limit; i++) {
    let block = u32(at.x + blocks * (at.y + blocks * at.z));
    if (grid[GRID_BLOCKS + block] != 0u) {
      let corner = at * 128;
      let origin = ray.origin - vec3<f32>(at) * pitch;
      let low = max(vec3(0.0), view.clip_low.xyz - vec3<f32>(corner));
      let high = min(vec3(128.0), view.clip_high.xyz - vec3<f32>(corner));
      var span = span_of_box(origin, ray.inverse, low, high);
      span.t0 = max(span.t0, t);
      if (span.t0 < span.t1) {
        march_block(ray, origin, corner, span, &m);
        if (m.alpha > SOLID) {
          return m;
        }
      }
    }
    let leave = smallest_axis(t_next);
    t = max(t, t_next[leave]);
    at[leave] += step[leave];
    if (t >= whole.t1 || at[leave] < 0 || at[leave] >= blocks) {
      return m;
    }
    t_next[leave] += t_step[leave];
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
  return Ray(view.eye.xyz, d, 1.0 / d, (noise - 0.5) * 0.7);
}
