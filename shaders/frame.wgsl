// uses: view.wgsl ram.wgsl march.wgsl
// One picture: a thread for each pixel. Writes its colour (sRGB, red in the lowest byte) and, after
// all colours, how far away the first thing is as the bits of a float (0: nothing), so that lines
// and labels can be hidden behind it.

@group(0) @binding(8) var<storage, read_write> picture: array<u32>;

// Density of the 64 bytes at a voxel, and of the page there.
fn density_near(voxel: vec3<i32>) -> f32 {
  let entry = grid_entry(voxel >> vec3(4u));
  let slot = entry & GRID_NO_SLOT;
  if ((entry & GRID_EMPTY) != 0u) {
    return 0.0;
  }
  if (slot == GRID_NO_SLOT) {
    return 1.0;
  }
  let byte = byte_at((entry >> 22u) & 31u, voxel & vec3(15));
  return unpack4x8unorm(features[LOOKS * slot + (byte >> 6u)]).x;
}

// Whether there is a page at all: a guess at its density that costs one load.
fn density_far(voxel: vec3<i32>) -> f32 {
  return select(0.8, 0.0, (grid_entry(voxel >> vec3(4u)) & GRID_EMPTY) != 0u);
}

// How open the surroundings of a face are, at the scale of cells and of pages.
fn openness(m: March, normal: vec3<i32>) -> f32 {
  let u = normal.yzx;
  let v = normal.zxy;
  let near = m.voxel + normal * 3;
  let far = m.voxel + normal * 12;
  var fine = 0.0;
  var wide = 0.0;
  if (m.lod < 8.0) {
    fine = density_near(near + u * 3) + density_near(near - u * 3) + density_near(near + v * 3) +
           density_near(near - v * 3);
  }
  wide = density_far(far + u * 12) + density_far(far - u * 12) + density_far(far + v * 12) +
         density_far(far - v * 12) + density_far(far + normal * 24) + density_far(far);
  return exp(-0.20 * fine - 0.13 * wide);
}

// 1 on the border of pages and, close up, of voxels.
fn edge(m: March, ray: Ray) -> f32 {
  let pitch = 128.0 * view.explode;
  let shift = vec3<f32>(m.voxel >> vec3(7u)) * pitch;
  let p = ray.origin + ray.direction * m.t - shift;
  let pixel = m.t * view.up.w;
  let in_page = abs(fract(p / 16.0 + 0.5) - 0.5) * 16.0;
  let in_voxel = abs(fract(p + 0.5) - 0.5);
  let across = mask_of(m.axis);
  let page_line = least(select(in_page, vec3(1e9), across));
  let voxel_line = least(select(in_voxel, vec3(1e9), across));
  let page_edge = (1.0 - smoothstep(0.6 * pixel, 1.4 * pixel, page_line)) *
                  (1.0 - smoothstep(0.6, 1.6, pixel));
  let voxel_edge = (1.0 - smoothstep(0.5 * pixel, 1.2 * pixel, voxel_line)) *
                   (1.0 - smoothstep(0.06, 0.16, pixel));
  return max(0.42 * page_edge, 0.30 * voxel_edge);
}

fn shade(m: March, ray: Ray) -> vec3<f32> {
  if (m.page == NONE || (view.flags & FLAG_FLAT) != 0u) {
    return m.colour;
  }
  var colour = m.colour;
  if ((view.flags & FLAG_AO) != 0u) {
    let towards = select(vec3(1), vec3(-1), ray.direction > vec3(0.0));
    let normal = select(vec3(0), towards, mask_of(m.axis));
    colour *= openness(m, normal);
  }
  if ((view.flags & FLAG_EDGES) != 0u) {
    colour *= 1.0 - edge(m, ray);
  }
  return colour;
}

fn background_at(y: f32) -> vec3<f32> {
  return mix(view.background_top.xyz, view.background.xyz, smoothstep(0.0, 1.0, y));
}

@compute @workgroup_size(8, 8)
fn draw_frame(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= view.width || id.y >= view.height) {
    return;
  }
  let pixel = vec2<f32>(id.xy) + 0.5;
  let ray = ray_of_pixel(pixel);
  let m = march_volume(ray);
  let i = id.y * view.width + id.x;
  var behind = background_at(pixel.y / f32(view.height));
  if ((view.flags & FLAG_OVER) != 0u) {
    if (m.alpha <= 0.0) {
      return;
    }
    behind = to_linear(unpack4x8unorm(picture[i]).xyz);
  }
  let colour = shade(m, ray) + (1.0 - m.alpha) * behind;
  picture[i] = pack4x8unorm(vec4(from_linear(colour), 1.0));
  if (m.page != NONE || (view.flags & FLAG_OVER) == 0u) {
    picture[view.width * view.height + i] = bitcast<u32>(select(m.t, 0.0, m.page == NONE));
  }
}
