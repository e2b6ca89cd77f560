// What one picture is of: bindings 0, and colours. The C side is struct viz_view (src/viz/view.h).

struct View {
  eye: vec4<f32>,        // voxels; w: tangent of half the vertical angle of view
  right: vec4<f32>,      // unit vectors of the camera; right.w: width / height
  up: vec4<f32>,         // up.w: voxels that one pixel covers at distance 1
  forward: vec4<f32>,    // forward.w: voxels in front of the eye that are left out; up to twice that fades
  clip_low: vec4<f32>,   // the box that is kept, in voxels
  clip_high: vec4<f32>,
  sphere: vec4<f32>,     // centre, radius: its inside is cut out; radius < 0: its inside is kept
  background: vec4<f32>, // bottom of the picture, linear light
  background_top: vec4<f32>,
  explode: f32,          // gap between 128^3 blocks, as a fraction of their side
  opacity: f32,          // 1: solid, less: x-ray
  lod_bias: f32,         // added to log2(voxels per pixel); more is coarser and faster
  contrast: f32,         // how much bytes show through the colour of their page, 0 .. 1
  width: u32,            // pixels
  height: u32,
  order: u32,            // of the curve: the volume has side 2^order
  mode: u32,             // MODE_...
  bank_shift: u32,       // log2 of pages in one RAM bank
  n_pages: u32,          // frames described in `pages`
  now: u32,              // clock of the write times in `pages`
  half_life: f32,        // of heat, in ticks of that clock
  flags: u32,            // FLAG_...
  pick_x: u32,           // pixel of the pick kernel
  pick_y: u32,
  hovered: u32,          // page drawn lit up, or NONE
  palette: array<vec4<f32>, 96>, // linear light; 0 .. 31 page kinds, 32 .. 95 owners
}

@group(0) @binding(0) var<uniform> view: View;

const NONE = 0xffffffffu;
const MODE_KIND = 0u;
const MODE_OWNER = 1u;
const MODE_BYTE = 2u;
const MODE_ENTROPY = 3u;
const MODE_HEAT = 4u;

const FLAG_AO = 1u;      // ambient occlusion
const FLAG_EDGES = 2u;   // outlines of pages and of voxels that are large on the screen
const FLAG_SELECT = 4u;  // pages that are not selected fade
const FLAG_EXACT = 8u;   // single bytes at any distance: for comparing with the dense volume
const FLAG_FLAT = 16u;   // no light at all: colours as they are in the volume
const FLAG_OVER = 32u;   // over what is in the picture already: another volume, which is farther away

// Page flags, bits 16 .. 23 of the attribute word.
const PAGE_HIDDEN = 0x10000u;
const PAGE_SELECTED = 0x20000u;
const PAGE_DATA = 0x40000u;  // has a byte that is not zero

// What a run of bytes looks like; each part is a mean, so coarse is the mean of fine.
struct Look {
  density: f32,  // share of bytes that are not zero
  text: f32,     // share of printable bytes
  value: f32,    // mean of the bytes that are not zero, 0 .. 1
  entropy: f32,  // 0 .. 1
}

fn look_of(word: u32) -> Look {
  let v = unpack4x8unorm(word);
  return Look(v.x, v.y, v.z, v.w);
}

fn is_text(byte: u32) -> bool {
  return (byte >= 0x20u && byte < 0x7fu) || (byte >= 9u && byte <= 13u);
}

fn look_of_byte(byte: u32, around: Look) -> Look {
  return Look(1.0, select(0.0, 1.0, is_text(byte)), f32(byte) / 255.0, around.entropy);
}

fn ramp(t: f32, a: vec3<f32>, b: vec3<f32>, c: vec3<f32>, d: vec3<f32>) -> vec3<f32> {
  let u = clamp(t, 0.0, 1.0) * 3.0;
  return mix(mix(mix(a, b, saturate(u)), c, saturate(u - 1.0)), d, saturate(u - 2.0));
}

fn byte_colour(look: Look) -> vec3<f32> {
  let other = mix(vec3(0.02, 0.22, 0.16), vec3(0.85, 0.22, 0.06), look.value);
  let share = select(0.0, look.text / look.density, look.density > 0.0);
  return mix(other, vec3(0.16, 0.40, 0.95), saturate(share));
}

fn entropy_colour(entropy: f32) -> vec3<f32> {
  return ramp(entropy, vec3(0.012, 0.014, 0.075), vec3(0.24, 0.018, 0.19), vec3(0.80, 0.11, 0.035),
              vec3(0.98, 0.86, 0.35));
}

fn heat_of(written: u32) -> f32 {
  if (written == 0u) {
    return 0.0;
  }
  return exp2(-f32(view.now - min(written, view.now)) / view.half_life);
}

fn heat_colour(heat: f32, look: Look) -> vec3<f32> {
  let cold = mix(vec3(0.018, 0.026, 0.045), vec3(0.085, 0.11, 0.16), look.value);
  return mix(cold, ramp(heat, vec3(0.10, 0.03, 0.14), vec3(0.62, 0.05, 0.05), vec3(0.98, 0.33, 0.02),
                        vec3(1.0, 0.95, 0.62)), saturate(heat * 6.0));
}

// Colour in linear light of bytes that look so, in a page with these attributes.
fn colour_of(look: Look, attributes: u32, written: u32) -> vec3<f32> {
  switch view.mode {
    case MODE_BYTE: { return byte_colour(look); }
    case MODE_ENTROPY: { return entropy_colour(look.entropy); }
    case MODE_HEAT: { return heat_colour(heat_of(written), look); }
    default: {}
  }
  let index = select(attributes & 31u, 32u + ((attributes >> 8u) & 63u), view.mode == MODE_OWNER);
  let base = view.palette[index].xyz;
  let share = select(0.0, look.text / look.density, look.density > 0.0);
  let light = 1.0 + view.contrast * (look.value * 1.5 - 0.75 + 0.35 * saturate(share));
  return base * max(light, 0.05);
}

fn to_linear(c: vec3<f32>) -> vec3<f32> {
  return select(pow((c + 0.055) / 1.055, vec3(2.4)), c / 12.92, c <= vec3(0.04045));
}

fn from_linear(c: vec3<f32>) -> vec3<f32> {
  let v = saturate(c);
  return select(1.055 * pow(v, vec3(1.0 / 2.4)) - 0.055, 12.92 * v, v <= vec3(0.0031308));
}
