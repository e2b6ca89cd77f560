// Skilling's 3D Hilbert curve as his bit loop, for orders up to 10 (30-bit indices). The renderer
// goes by tables; this is the definition they are compared with.

fn hilbert_turn(axes: vec3<u32>, i: u32, q: u32) -> vec3<u32> {
  var a = axes;
  let finer = q - 1u;
  if ((a[i] & q) != 0u) {
    a.x ^= finer;
  } else {
    let differ = (a.x ^ a[i]) & finer;
    a.x ^= differ;
    a[i] ^= differ;
  }
  return a;
}

fn hilbert_point(order: u32, index: u32) -> vec3<u32> {
  var a = vec3<u32>(0u);
  for (var bit = 0u; bit < order; bit++) {
    let digit = index >> (3u * bit);
    a |= (vec3(digit >> 2u, digit >> 1u, digit) & vec3(1u)) << vec3(bit);
  }
  let carry = a.z >> 1u;
  a.z ^= a.y;
  a.y ^= a.x;
  a.x ^= carry;
  for (var bit = 1u; bit < order; bit++) {
    let q = 1u << bit;
    a = hilbert_turn(a, 2u, q);
    a = hilbert_turn(a, 1u, q);
    a = hilbert_turn(a, 0u, q);
  }
  return a;
}

fn hilbert_index(order: u32, point: vec3<u32>) -> u32 {
  var a = point;
  for (var bit = order - 1u; bit > 0u; bit--) {
    let q = 1u << bit;
    a = hilbert_turn(a, 0u, q);
    a = hilbert_turn(a, 1u, q);
    a = hilbert_turn(a, 2u, q);
  }
  a.y ^= a.x;
  a.z ^= a.y;
  var flip = 0u;
  for (var bit = order - 1u; bit > 0u; bit--) {
    if ((a.z & (1u << bit)) != 0u) {
      flip ^= (1u << bit) - 1u;
    }
  }
  a ^= vec3(flip);
  var index = 0u;
  for (var bit = 0u; bit < order; bit++) {
    let digit = (a >> vec3(bit)) & vec3(1u);
    index |= ((digit.x << 2u) | (digit.y << 1u) | digit.z) << (3u * bit);
  }
  return index;
}
