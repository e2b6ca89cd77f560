// uses: view.wgsl
// Brings changed pages in: copies their bytes to their slots and works out what they look like,
// one word (see Look) for each 64 bytes, each 512 bytes and each page. One work group does one
// change, so a frame's dirty pages cost only themselves.

@group(0) @binding(1) var<storage, read_write> ram0: array<u32>;
@group(0) @binding(2) var<storage, read_write> ram1: array<u32>;
@group(0) @binding(3) var<storage, read_write> ram2: array<u32>;
@group(0) @binding(4) var<storage, read_write> ram3: array<u32>;
@group(0) @binding(5) var<storage, read_write> features: array<u32>;  // LOOKS words for each slot
@group(0) @binding(6) var<storage, read_write> pages: array<vec4<u32>>;
@group(0) @binding(7) var<storage, read> changes: array<vec4<u32>>;   // count, then two for each
@group(0) @binding(10) var<storage, read> source: array<u32>;

// A change: (page, slot, attributes, time of writing), (page in `source` or NONE, look or NONE, -, -).

const LOOKS = 73u;  // 64 of 64 bytes, 8 of 512, 1 of the page

var<workgroup> bytes: array<u32, 1088>;  // 17 words for each 16, so that threads do not collide
var<workgroup> looks: array<vec4<f32>, 64>;

struct Sums {
  nonzero: u32,
  text: u32,
  total: u32,
  seen: vec2<u32>,  // which of 64 groups of 4 byte values occur
}

fn store(slot: u32, word: u32, value: u32) {
  let at = ((slot & ((1u << view.bank_shift) - 1u)) << 10u) | word;
  switch slot >> view.bank_shift {
    case 0u: { ram0[at] = value; }
    case 1u: { ram1[at] = value; }
    case 2u: { ram2[at] = value; }
    default: { ram3[at] = value; }
  }
}

fn add_word(sums: Sums, w: u32) -> Sums {
  var s = sums;
  let low = w & 0x7f7f7f7fu;
  s.nonzero += countOneBits(((low + 0x7f7f7f7fu) | w) & 0x80808080u);
  // Printable, or white space: 0x20 .. 0x7e, 0x09 .. 0x0d.
  let printable = (low + 0x60606060u) & ~(low + 0x01010101u);
  let blank = (low + 0x77777777u) & ~(low + 0x72727272u);
  s.text += countOneBits((printable | blank) & ~w & 0x80808080u);
  let pairs = (w & 0x00ff00ffu) + ((w >> 8u) & 0x00ff00ffu);
  s.total += (pairs & 0xffffu) + (pairs >> 16u);
  for (var i = 0u; i < 32u; i += 8u) {
    let group = (w >> (i + 2u)) & 63u;
    let bit = 1u << (group & 31u);
    s.seen |= select(vec2(0u, bit), vec2(bit, 0u), group < 32u);
  }
  return s;
}

fn look_of_cell(cell: u32) -> vec4<f32> {
  var s = Sums(0u, 0u, 0u, vec2(0u));
  for (var i = 0u; i < 16u; i++) {
    s = add_word(s, bytes[cell * 17u + i]);
  }
  let groups = f32(countOneBits(s.seen.x) + countOneBits(s.seen.y));
  let mean = f32(s.total) / max(f32(s.nonzero), 1.0) / 255.0;
  return vec4(f32(s.nonzero) / 64.0, f32(s.text) / 64.0, mean, saturate((groups - 1.0) / 40.0));
}

// Density rounds up: a cell with one byte in it must not look empty.
fn pack_look(look: vec4<f32>) -> u32 {
  let least = select(0.0, 1.0 / 255.0, look.x > 0.0);
  return pack4x8unorm(vec4(max(look.x, least), look.yzw));
}

// Means over n looks from first on, the value weighed by density.
fn mean_look(first: u32, n: u32) -> vec4<f32> {
  var sum = vec4(0.0);
  for (var i = 0u; i < n; i++) {
    let look = looks[first + i];
    sum += vec4(look.x, look.y, look.z * look.x, look.w);
  }
  return vec4(sum.x / f32(n), sum.y / f32(n), sum.z / max(sum.x, 1e-6), sum.w / f32(n));
}

@compute @workgroup_size(64)
fn bring_pages(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) group: vec3<u32>,
               @builtin(num_workgroups) groups: vec3<u32>) {
  let i = min(group.x + group.y * groups.x, changes[0].x - 1u);
  let change = changes[1u + 2u * i];
  let origin = changes[2u + 2u * i];
  let slot = change.y;
  let has_bytes = origin.x != NONE;
  for (var k = 0u; k < 16u; k++) {
    let word = k * 64u + local;
    var value = 0u;
    if (has_bytes) {
      value = source[origin.x * 1024u + word];
      if (slot != NONE) {
        store(slot, word, value);
      }
    }
    bytes[word + (word >> 4u)] = value;
  }
  workgroupBarrier();
  let look = look_of_cell(local);
  looks[local] = look;
  workgroupBarrier();
  if (has_bytes && slot != NONE) {
    features[LOOKS * slot + local] = pack_look(look);
    if (local < 8u) {
      features[LOOKS * slot + 64u + local] = pack_look(mean_look(8u * local, 8u));
    }
  }
  if (local == 0u) {
    var whole = select(origin.y, pages[change.x].z, origin.y == NONE);
    if (has_bytes) {
      whole = pack_look(mean_look(0u, 64u));
      if (slot != NONE) {
        features[LOOKS * slot + 72u] = whole;
      }
    }
    pages[change.x] = vec4(slot, change.z, whole, change.w);
  }
}
