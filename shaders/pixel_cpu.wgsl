// The Pixel CPU as a compute shader: every invocation runs the same program for its own values of
// k, one instruction pixel at a time. A 64-bit value is a vec2<u32>, low half first. All widths
// share one code path: operands are cut (or sign-extended) to the width, the result is cut. The
// OP_ constants in front of this text are made from the table in src/mcode/isa.h.

const GROUP = 64u;
const PACKED = 0x8000u;
const A_IMM = 0x80000000u;
const A_IMM64 = 0x40000000u;
const NO_SLOT = 0xffffu;

// Words of the argument buffer before the slots.
const ARG_K0 = 0u;
const ARG_N = 2u;
const ARG_SLOTS = 3u;
const ARG_FUEL = 4u;
const ARG_SEARCH = 5u;
const ARG_STREAMS = 6u;
const ARG_REDUCTIONS = 7u;
const ARG_CODE = 8u;
const ARG_TABLES = 9u;
const STREAM_WORDS = 10u; // base, stride, place, low, length
const REDUCTION_WORDS = 4u; // op, width code, packed, value slot

@group(0) @binding(0) var<storage, read_write> memory: array<atomic<u32>>;
@group(0) @binding(1) var<storage, read> arguments: array<u32>;
@group(0) @binding(2) var<storage, read_write> results: array<atomic<u32>>;

var<private> regs: array<vec2<u32>, 32>;
var<private> slots: array<vec2<u32>, 256>;
var<private> accs: array<vec2<u32>, 32>;
var<private> k: vec2<u32>;
var<private> fault: bool;

fn add64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let low = a.x + b.x;
  return vec2(low, a.y + b.y + select(0u, 1u, low < a.x));
}

fn sub64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  return vec2(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x));
}

fn neg64(a: vec2<u32>) -> vec2<u32> {
  return sub64(vec2(0u, 0u), a);
}

// 32 x 32 bits to 64, from 16-bit halves.
fn mul_wide(a: u32, b: u32) -> vec2<u32> {
  let p00 = (a & 0xffffu) * (b & 0xffffu);
  let p01 = (a & 0xffffu) * (b >> 16u);
  let p10 = (a >> 16u) * (b & 0xffffu);
  let middle = (p00 >> 16u) + (p01 & 0xffffu) + (p10 & 0xffffu);
  let high = (a >> 16u) * (b >> 16u) + (p01 >> 16u) + (p10 >> 16u) + (middle >> 16u);
  return vec2((middle << 16u) | (p00 & 0xffffu), high);
}

fn mul64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let low = mul_wide(a.x, b.x);
  return vec2(low.x, low.y + a.x * b.y + a.y * b.x);
}

// High 64 bits of the 128-bit unsigned product.
fn mul_high64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let p00 = mul_wide(a.x, b.x);
  let p01 = mul_wide(a.x, b.y);
  let p10 = mul_wide(a.y, b.x);
  let middle = add64(add64(vec2(p00.y, 0u), vec2(p01.x, 0u)), vec2(p10.x, 0u));
  var high = mul_wide(a.y, b.y);
  high = add64(high, vec2(p01.y, 0u));
  high = add64(high, vec2(p10.y, 0u));
  return add64(high, vec2(middle.y, 0u));
}

fn less_u(a: vec2<u32>, b: vec2<u32>) -> bool {
  return a.y < b.y || (a.y == b.y && a.x < b.x);
}

fn less_s(a: vec2<u32>, b: vec2<u32>) -> bool {
  return bitcast<i32>(a.y) < bitcast<i32>(b.y) || (a.y == b.y && a.x < b.x);
}

fn is_zero(a: vec2<u32>) -> bool {
  return (a.x | a.y) == 0u;
}

// Shifts by n below 64.
fn shl64(a: vec2<u32>, n: u32) -> vec2<u32> {
  if (n == 0u) {
    return a;
  }
  if (n < 32u) {
    return vec2(a.x << n, (a.y << n) | (a.x >> (32u - n)));
  }
  return vec2(0u, a.x << (n - 32u));
}

fn shr64(a: vec2<u32>, n: u32) -> vec2<u32> {
  if (n == 0u) {
    return a;
  }
  if (n < 32u) {
    return vec2((a.x >> n) | (a.y << (32u - n)), a.y >> n);
  }
  return vec2(a.y >> (n - 32u), 0u);
}

fn sar64(a: vec2<u32>, n: u32) -> vec2<u32> {
  let sign = select(0u, 0xffffffffu, (a.y >> 31u) == 1u);
  if (n == 0u) {
    return a;
  }
  if (n < 32u) {
    return vec2((a.x >> n) | (a.y << (32u - n)), (a.y >> n) | (sign << (32u - n)));
  }
  if (n == 32u) {
    return vec2(a.y, sign);
  }
  return vec2((a.y >> (n - 32u)) | (sign << (64u - n)), sign);
}

fn mask_of(w: u32) -> vec2<u32> {
  if (w == 64u) {
    return vec2(0xffffffffu, 0xffffffffu);
  }
  if (w == 32u) {
    return vec2(0xffffffffu, 0u);
  }
  return vec2((1u << w) - 1u, 0u);
}

fn sign_extend(a: vec2<u32>, w: u32) -> vec2<u32> {
  return sar64(shl64(a, 64u - w), 64u - w);
}

// Long division, one bit at a time; quotient in xy, remainder in zw. b is not 0.
fn div_long(a: vec2<u32>, b: vec2<u32>) -> vec4<u32> {
  var quotient = vec2(0u, 0u);
  var rest = vec2(0u, 0u);
  for (var i = 64u; i > 0u; i--) {
    let carry = rest.y >> 31u;
    rest = shl64(rest, 1u);
    rest.x |= shr64(a, i - 1u).x & 1u;
    quotient = shl64(quotient, 1u);
    if (carry == 1u || !less_u(rest, b)) {
      rest = sub64(rest, b);
      quotient.x |= 1u;
    }
  }
  return vec4(quotient, rest);
}

fn divide(a: vec2<u32>, b: vec2<u32>, remainder: bool) -> vec2<u32> {
  if (is_zero(b)) {
    return select(vec2(0xffffffffu, 0xffffffffu), a, remainder);
  }
  let both = div_long(a, b);
  return select(both.xy, both.zw, remainder);
}

// Through magnitudes; x / 0 = -1 times the signs is what SMT-LIB wants, too.
fn divide_signed(sa: vec2<u32>, sb: vec2<u32>, remainder: bool) -> vec2<u32> {
  let a_negative = (sa.y >> 31u) == 1u;
  let b_negative = (sb.y >> 31u) == 1u;
  var result = divide(select(sa, neg64(sa), a_negative), select(sb, neg64(sb), b_negative), remainder);
  result = select(result, neg64(result), a_negative);
  return select(result, neg64(result), b_negative && !remainder);
}

fn clz64(a: vec2<u32>) -> u32 {
  return select(countLeadingZeros(a.y), 32u + countLeadingZeros(a.x), a.y == 0u);
}

fn ctz64(a: vec2<u32>) -> u32 {
  return select(countTrailingZeros(a.x), 32u + countTrailingZeros(a.y), a.x == 0u);
}

fn swap32(a: u32) -> u32 {
  return (a << 24u) | ((a & 0xff00u) << 8u) | ((a >> 8u) & 0xff00u) | (a >> 24u);
}

fn shift_op(op: u32, a: vec2<u32>, b: vec2<u32>, w: u32) -> vec2<u32> {
  let too_far = b.y != 0u || b.x >= w;
  let n = b.x & (w - 1u);
  switch op {
    case OP_SHL: {
      return select(shl64(a, n), vec2(0u, 0u), too_far);
    }
    case OP_SHR: {
      return select(shr64(a, n), vec2(0u, 0u), too_far);
    }
    case OP_SAR: {
      return sar64(sign_extend(a, w), select(n, w - 1u, too_far));
    }
    case OP_ROL: {
      return shl64(a, n) | shr64(a, (w - n) & (w - 1u));
    }
    default: {
      return shr64(a, n) | shl64(a, (w - n) & (w - 1u));
    }
  }
}

// Overflow shows in the sign bits: see spirv_alu.c.
fn saturate_signed(a: vec2<u32>, b: vec2<u32>, r: vec2<u32>, other: vec2<u32>, w: u32) -> vec2<u32> {
  let top_bit = shl64(vec2(1u, 0u), w - 1u);
  let overflow = !is_zero((a ^ r) & other & top_bit);
  let limit = select(sub64(top_bit, vec2(1u, 0u)), top_bit, !is_zero(a & top_bit));
  return select(r, limit, overflow);
}

fn flag(condition: bool) -> vec2<u32> {
  return vec2(select(0u, 1u, condition), 0u);
}

// One lane: a, b, d are cut to w bits; the caller cuts the result.
fn lane_op(op: u32, a: vec2<u32>, b: vec2<u32>, d: vec2<u32>, w: u32) -> vec2<u32> {
  let sa = sign_extend(a, w);
  let sb = sign_extend(b, w);
  switch op {
    case OP_MOV: { return a; }
    case OP_LDI: { return b; }
    case OP_ADD: { return add64(a, b); }
    case OP_SUB: { return sub64(a, b); }
    case OP_MUL: { return mul64(a, b); }
    case OP_DIV: { return divide(a, b, false); }
    case OP_REM: { return divide(a, b, true); }
    case OP_DIVS: { return divide_signed(sa, sb, false); }
    case OP_REMS: { return divide_signed(sa, sb, true); }
    case OP_MULHU: {
      if (w < 64u) {
        return shr64(mul64(a, b), w);
      }
      return mul_high64(a, b);
    }
    case OP_MULHS: {
      if (w < 64u) {
        return shr64(mul64(sa, sb), w);
      }
      var high = mul_high64(a, b);
      high = sub64(high, select(vec2(0u, 0u), b, (a.y >> 31u) == 1u));
      return sub64(high, select(vec2(0u, 0u), a, (b.y >> 31u) == 1u));
    }
    case OP_NEG: { return neg64(a); }
    case OP_ABS: { return select(a, neg64(a), (sa.y >> 31u) == 1u); }
    case OP_AND: { return a & b; }
    case OP_OR: { return a | b; }
    case OP_XOR: { return a ^ b; }
    case OP_NOT: { return ~a; }
    case OP_ANDN: { return a & ~b; }
    case OP_SHL, OP_SHR, OP_SAR, OP_ROL, OP_ROR: { return shift_op(op, a, b, w); }
    case OP_CMPEQ: { return flag(all(a == b)); }
    case OP_CMPNE: { return flag(any(a != b)); }
    case OP_CMPLTU: { return flag(less_u(a, b)); }
    case OP_CMPLEU: { return flag(!less_u(b, a)); }
    case OP_CMPLTS: { return flag(less_s(sa, sb)); }
    case OP_CMPLES: { return flag(!less_s(sb, sa)); }
    case OP_MINU: { return select(b, a, less_u(a, b)); }
    case OP_MINS: { return select(b, a, less_s(sa, sb)); }
    case OP_MAXU: { return select(a, b, less_u(a, b)); }
    case OP_MAXS: { return select(a, b, less_s(sa, sb)); }
    case OP_AVGU: { return sub64(a | b, shr64(a ^ b, 1u)); }
    case OP_ADDSU: {
      let sum = add64(a, b) & mask_of(w);
      return select(sum, mask_of(w), less_u(sum, a));
    }
    case OP_SUBSU: { return select(sub64(a, b), vec2(0u, 0u), less_u(a, b)); }
    case OP_ADDSS: {
      let r = add64(a, b);
      return saturate_signed(a, b, r, b ^ r, w);
    }
    case OP_SUBSS: {
      let r = sub64(a, b);
      return saturate_signed(a, b, r, a ^ b, w);
    }
    case OP_SEXT: { return sa; }
    case OP_CLZ: { return vec2(clz64(a) - (64u - w), 0u); }
    case OP_CTZ: { return vec2(min(ctz64(a), w), 0u); }
    case OP_POPCNT: { return vec2(countOneBits(a.x) + countOneBits(a.y), 0u); }
    case OP_BSWAP: { return shr64(vec2(swap32(a.y), swap32(a.x)), 64u - w); }
    case OP_CMOV: { return select(b, d, is_zero(a)); }
    default: { return vec2(0u, 0u); }
  }
}

fn lane(a: vec2<u32>, i: u32, w: u32) -> vec2<u32> {
  return shr64(a, i * w) & mask_of(w);
}

fn place(a: vec2<u32>, i: u32, w: u32) -> vec2<u32> {
  return shl64(a & mask_of(w), i * w);
}

fn narrow(op: u32, value: vec2<u32>, w: u32) -> vec2<u32> {
  let wide = bitcast<i32>(sign_extend(value, w).x);
  let h = w / 2u;
  if (op == OP_PACKT) {
    return value;
  }
  var low = 0;
  var high = (1i << h) - 1;
  if (op == OP_PACKSS) {
    low = -(1i << (h - 1u));
    high = (1i << (h - 1u)) - 1;
  }
  return vec2(bitcast<u32>(clamp(wide, low, high)), 0u);
}

fn crossing(op: u32, a: vec2<u32>, b: vec2<u32>, w: u32) -> vec2<u32> {
  let n = 64u / w;
  var r = vec2(0u, 0u);
  switch op {
    case OP_SPLAT: {
      for (var i = 0u; i < n; i++) {
        r |= place(a, i, w);
      }
    }
    case OP_MOVMSK: {
      for (var i = 0u; i < n; i++) {
        r.x |= (shr64(a, i * w + w - 1u).x & 1u) << i;
      }
    }
    case OP_UNPKL, OP_UNPKH: {
      let from_lane = select(0u, n / 2u, op == OP_UNPKH);
      for (var i = 0u; i < n / 2u; i++) {
        r |= place(lane(a, from_lane + i, w), 2u * i, w);
        r |= place(lane(b, from_lane + i, w), 2u * i + 1u, w);
      }
    }
    case OP_PACKT, OP_PACKSS, OP_PACKUS: {
      for (var i = 0u; i < n; i++) {
        r |= place(narrow(op, lane(a, i, w), w), i, w / 2u);
        r |= place(narrow(op, lane(b, i, w), w), n + i, w / 2u);
      }
    }
    case OP_SADU: {
      for (var i = 0u; i < n; i++) {
        let x = lane(a, i, w);
        let y = lane(b, i, w);
        r = add64(r, select(sub64(x, y), sub64(y, x), less_u(x, y)));
      }
    }
    case OP_MADD: {
      for (var i = 0u; i < n; i += 2u) {
        let p = mul64(sign_extend(lane(a, i, w), w), sign_extend(lane(b, i, w), w));
        let q = mul64(sign_extend(lane(a, i + 1u, w), w), sign_extend(lane(b, i + 1u, w), w));
        r |= place(add64(p, q), i / 2u, 2u * w);
      }
    }
    default: { // OP_PERM
      for (var i = 0u; i < n; i++) {
        let index = lane(b, i, w).x;
        if ((index >> (w - 1u)) == 0u) {
          r |= place(lane(a, index & (n - 1u), w), i, w);
        }
      }
    }
  }
  return r;
}

fn alu(op: u32, w: u32, packed: bool, a: vec2<u32>, b: vec2<u32>, d: vec2<u32>) -> vec2<u32> {
  let mask = mask_of(w);
  if (op >= OP_SPLAT && op <= OP_PERM) {
    return crossing(op, a, b, w);
  }
  if (!packed) {
    let value = lane_op(op, a & mask, b & mask, d & mask, w);
    return select(value & mask, value, op == OP_SEXT);
  }
  var r = vec2(0u, 0u);
  for (var i = 0u; i < 64u / w; i++) {
    r |= place(lane_op(op, lane(a, i, w), lane(b, i, w), lane(d, i, w), w), i, w);
  }
  return r;
}

fn argument64(at: u32) -> vec2<u32> {
  return vec2(arguments[at], arguments[at + 1u]);
}

// Byte offset in memory of an access, or not inside. Rule 6 of isa.h.
struct Place {
  inside: bool,
  at: u32,
};

fn locate(stream: u32, index: vec2<u32>, bytes: u32) -> Place {
  let row = ARG_TABLES + 2u * arguments[ARG_SLOTS] + STREAM_WORDS * stream;
  let address = add64(add64(argument64(row), mul64(argument64(row + 2u), k)), index);
  let from_low = sub64(index, argument64(row + 6u));
  let length = argument64(row + 8u);
  let size = vec2(bytes, 0u);
  let inside = !less_u(length, size) && !less_u(sub64(length, size), from_low);
  return Place(inside, add64(address, argument64(row + 4u)).x);
}

fn load_bytes(at: u32, bytes: u32) -> vec2<u32> {
  if (bytes >= 4u && (at & 3u) == 0u) {
    let low = atomicLoad(&memory[at >> 2u]);
    if (bytes == 4u) {
      return vec2(low, 0u);
    }
    return vec2(low, atomicLoad(&memory[(at >> 2u) + 1u]));
  }
  var r = vec2(0u, 0u);
  for (var i = 0u; i < bytes; i++) {
    let word = atomicLoad(&memory[(at + i) >> 2u]);
    r |= shl64(vec2((word >> (((at + i) & 3u) * 8u)) & 0xffu, 0u), 8u * i);
  }
  return r;
}

// Other lanes may store to other bytes of the same word at the same time: two atomic steps per
// byte leave theirs alone.
fn store_bytes(at: u32, value: vec2<u32>, bytes: u32) {
  if (bytes >= 4u && (at & 3u) == 0u) {
    atomicStore(&memory[at >> 2u], value.x);
    if (bytes == 8u) {
      atomicStore(&memory[(at >> 2u) + 1u], value.y);
    }
    return;
  }
  for (var i = 0u; i < bytes; i++) {
    let shift = ((at + i) & 3u) * 8u;
    let byte = shr64(value, 8u * i).x & 0xffu;
    atomicAnd(&memory[(at + i) >> 2u], ~(0xffu << shift));
    atomicOr(&memory[(at + i) >> 2u], byte << shift);
  }
}

fn access(op: u32, g: u32, stream: u32, a: u32, offset: vec2<u32>, w: u32) {
  let bytes = w / 8u;
  let indexed = op == OP_LDX || op == OP_STX;
  if (op == OP_STC && is_zero(regs[a])) {
    return;
  }
  let index = select(offset, add64(offset, regs[a]), indexed);
  let place = locate(stream, index, bytes);
  fault = fault || !place.inside;
  if (op == OP_LD || op == OP_LDX) {
    regs[g] = vec2(0u, 0u);
    if (place.inside) {
      regs[g] = load_bytes(place.at, bytes);
    }
  } else if (place.inside) {
    store_bytes(place.at, regs[g], bytes);
  }
}

// One iteration; program counters count pixels of the code.
fn run_body() {
  let count = arguments[ARG_CODE];
  let code = ARG_TABLES + 2u * arguments[ARG_SLOTS] + STREAM_WORDS * arguments[ARG_STREAMS]
      + REDUCTION_WORDS * arguments[ARG_REDUCTIONS];
  var fuel = arguments[ARG_FUEL];
  var at = 0u;
  loop {
    if (at >= count) {
      break;
    }
    let pixel = arguments[code + at];
    let op = pixel & 0xffu;
    let g = (pixel >> 8u) & 31u;
    let b = (pixel >> 16u) & 0xffu;
    let a = (pixel >> 24u) & 31u;
    let w = 64u >> ((pixel >> 13u) & 3u);
    let has_imm = (pixel & A_IMM) != 0u;
    var imm = vec2(0u, 0u);
    var next = at + 1u;
    if (has_imm) {
      imm.x = arguments[code + at + 1u];
      imm.y = select(0u, 0xffffffffu, (imm.x >> 31u) == 1u);
      next++;
      if ((pixel & A_IMM64) != 0u) {
        imm.y = arguments[code + at + 2u];
        next++;
      }
    }
    switch op {
      case OP_NOP: {}
      case OP_HALT: {
        next = count;
      }
      case OP_JMP, OP_JZ, OP_JNZ: {
        let zero = is_zero(regs[b & 31u]);
        if (op == OP_JMP || (op == OP_JZ) == zero) {
          next = imm.x;
          if (imm.x <= at) {
            if (fuel == 0u) {
              fault = true;
              next = count;
            } else {
              fuel--;
            }
          }
        }
      }
      case OP_LD, OP_LDX, OP_ST, OP_STC, OP_STX: {
        access(op, g, b, a, imm, w);
      }
      case OP_GET: {
        regs[g] = slots[b];
      }
      case OP_PUT: {
        slots[b] = regs[g];
      }
      default: {
        regs[g] = alu(op, w, (pixel & PACKED) != 0u, regs[b & 31u],
            select(regs[a], imm, has_imm), regs[g]);
      }
    }
    at = next;
  }
}

fn fold() {
  let rows = ARG_TABLES + 2u * arguments[ARG_SLOTS] + STREAM_WORDS * arguments[ARG_STREAMS];
  for (var r = 0u; r < arguments[ARG_REDUCTIONS]; r++) {
    let row = rows + REDUCTION_WORDS * r;
    accs[r] = alu(arguments[row], 64u >> arguments[row + 1u], arguments[row + 2u] != 0u,
        accs[r], slots[arguments[row + 3u]], vec2(0u, 0u));
  }
}

// accs start as the identities that the host put behind the code.
fn begin_accs() {
  let at = ARG_TABLES + 2u * arguments[ARG_SLOTS] + STREAM_WORDS * arguments[ARG_STREAMS]
      + REDUCTION_WORDS * arguments[ARG_REDUCTIONS] + arguments[ARG_CODE];
  for (var r = 0u; r < arguments[ARG_REDUCTIONS]; r++) {
    accs[r] = argument64(at + 2u * r);
  }
}

@compute @workgroup_size(64)
fn pixel_cpu(@builtin(global_invocation_id) id: vec3<u32>,
             @builtin(num_workgroups) groups: vec3<u32>) {
  let n = arguments[ARG_N];
  let search = arguments[ARG_SEARCH];
  let n_reductions = arguments[ARG_REDUCTIONS];
  begin_accs();
  for (var i = id.x; i < n; i += groups.x * GROUP) {
    k = add64(argument64(ARG_K0), vec2(i, 0u));
    fault = false;
    for (var r = 0u; r < 32u; r++) {
      regs[r] = vec2(0u, 0u);
    }
    regs[0] = k;
    for (var s = 0u; s < arguments[ARG_SLOTS]; s++) {
      slots[s] = argument64(ARG_TABLES + 2u * s);
    }
    run_body();
    if (fault) {
      atomicMin(&results[1], i);
      break;
    }
    if (search != NO_SLOT && !is_zero(slots[search])) {
      atomicMin(&results[0], i);
      break;
    }
    fold();
  }
  for (var r = 0u; r < n_reductions; r++) {
    let at = 2u + 2u * (id.x * n_reductions + r);
    atomicStore(&results[at], accs[r].x);
    atomicStore(&results[at + 1u], accs[r].y);
  }
}
