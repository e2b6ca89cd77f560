// uses: view.wgsl ram.wgsl march.wgsl
// What lies under one pixel: the same walk as the picture.

// page (or NONE), byte in the page, bits of the distance, attributes, x, y, z, side of the cube hit
@group(0) @binding(10) var<storage, read_write> found: array<u32>;

@compute @workgroup_size(1)
fn pick() {
  var ray = ray_of_pixel(vec2(f32(view.pick_x), f32(view.pick_y)) + 0.5);
  let m = march_volume(ray);
  found[0] = m.page;
  found[1] = m.byte;
  found[2] = bitcast<u32>(m.t);
  found[3] = 0u;
  if (m.page != NONE) {
    found[3] = pages[m.page].y;
  }
  found[4] = u32(m.voxel.x);
  found[5] = u32(m.voxel.y);
  found[6] = u32(m.voxel.z);
  found[7] = bitcast<u32>(m.lod);
}
