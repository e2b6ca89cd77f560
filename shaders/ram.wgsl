// Bytes of the guest: bindings 1 .. 4, one bank of pages each. Uses: view.wgsl.

@group(0) @binding(1) var<storage, read> ram0: array<u32>;
@group(0) @binding(2) var<storage, read> ram1: array<u32>;
@group(0) @binding(3) var<storage, read> ram2: array<u32>;
@group(0) @binding(4) var<storage, read> ram3: array<u32>;

// Word 0 .. 1023 of the page in a slot.
fn ram_word(slot: u32, word: u32) -> u32 {
  let at = ((slot & ((1u << view.bank_shift) - 1u)) << 10u) | word;
  switch slot >> view.bank_shift {
    case 0u: { return ram0[at]; }
    case 1u: { return ram1[at]; }
    case 2u: { return ram2[at]; }
    default: { return ram3[at]; }
  }
}

fn ram_byte(slot: u32, byte: u32) -> u32 {
  return (ram_word(slot, byte >> 2u) >> ((byte & 3u) * 8u)) & 0xffu;
}
