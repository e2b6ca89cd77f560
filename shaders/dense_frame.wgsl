// uses: view.wgsl
// A picture of the dense volume, voxel by voxel, with no light: what the sparse renderer must
// match with FLAG_EXACT and FLAG_FLAT.

@group(0) @binding(8) var<storage, read_write> picture: array<u32>;
@group(0) @binding(12) var volume: texture_3d<u32>;  // four voxels in a texel (dense.wgsl)

fn voxel_at(at: vec3<i32>) -> vec4<f32> {
  let texel = textureLoad(volume, vec3(at.x >> 2u, at.y, at.z), 0);
  let pair = select(texel.xy, texel.zw, (at.x & 2) != 0);
  return unpack4x8unorm(select(pair.x, pair.y, (at.x & 1) != 0));
}

fn first_voxel(origin: vec3<f32>, d: vec3<f32>) -> vec4<f32> {
  let inverse = 1.0 / d;
  let side = f32(1u << view.order);
  let a = -origin * inverse;
  let b = (vec3(side) - origin) * inverse;
  let near = min(a, b);
  let far = max(a, b);
  let t0 = max(max(max(near.x, near.y), near.z), view.forward.w);
  let t1 = min(min(far.x, far.y), far.z);
  if (t0 >= t1) {
    return vec4(0.0);
  }
  let limit = i32(1u << view.order) - 1;
  let forward = d > vec3(0.0);
  var at = clamp(vec3<i32>(floor(origin + d * t0)), vec3(0), vec3(limit));
  for (var i = 0; i < 3 * (limit + 1); i++) {
    let voxel = voxel_at(at);
    if (voxel.w > 0.0) {
      return voxel;
    }
    let t = (vec3<f32>(select(at, at + 1, forward)) - origin) * inverse;
    var axis = 2u;
    if (t.x <= t.y && t.x <= t.z) {
      axis = 0u;
    } else if (t.y <= t.z) {
      axis = 1u;
    }
    at[axis] += select(-1, 1, forward[axis]);
    if (at[axis] < 0 || at[axis] > limit) {
      break;
    }
  }
  return vec4(0.0);
}

@compute @workgroup_size(8, 8)
fn draw_dense(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= view.width || id.y >= view.height) {
    return;
  }
  let pixel = vec2<f32>(id.xy) + 0.5;
  let at = pixel / vec2(f32(view.width), f32(view.height)) * 2.0 - 1.0;
  var d = view.forward.xyz + view.right.xyz * (at.x * view.eye.w * view.right.w) -
          view.up.xyz * (at.y * view.eye.w);
  d = normalize(d);
  d = select(d, vec3(1e-7), abs(d) < vec3(1e-7));
  let voxel = first_voxel(view.eye.xyz, d);
  let y = pixel.y / f32(view.height);
  let behind = mix(view.background_top.xyz, view.background.xyz, smoothstep(0.0, 1.0, y));
  let colour = select(from_linear(behind), voxel.xyz, voxel.w > 0.0);
  picture[id.y * view.width + id.x] = pack4x8unorm(vec4(colour, 1.0));
}
