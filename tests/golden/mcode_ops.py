#!/usr/bin/python3
"""Writes mcode_ops.txt: for every arithmetic opcode and width, lines of
    instruction ; a b d -> result
computed here with Python integers, independently of the C code that is tested against them."""
import random
import sys

M64 = 2**64 - 1


def signed(x, w):
    return x - (1 << w) if x >> (w - 1) else x


def clamp(x, low, high):
    return max(low, min(high, x))


def div_trunc(a, b):
    q = abs(a) // abs(b)
    return q if (a < 0) == (b < 0) else -q


def divs(a, b, w):
    if b == 0:
        return 1 if a < 0 else -1
    return div_trunc(a, b)


def rems(a, b, w):
    return a if b == 0 else a - div_trunc(a, b) * b


def sc(f):  # signed operands
    return lambda a, b, d, w: f(signed(a, w), signed(b, w), w)


def un(f):  # unsigned operands
    return lambda a, b, d, w: f(a, b, w)


def rotl(a, n, w):
    n %= w
    return (a << n | a >> (w - n)) if n else a


BINARY = {
    "add": un(lambda a, b, w: a + b),
    "sub": un(lambda a, b, w: a - b),
    "mul": un(lambda a, b, w: a * b),
    "div": un(lambda a, b, w: a // b if b else -1),
    "rem": un(lambda a, b, w: a % b if b else a),
    "divs": sc(divs),
    "rems": sc(rems),
    "mulhu": un(lambda a, b, w: (a * b) >> w),
    "mulhs": sc(lambda a, b, w: (a * b) >> w),
    "and": un(lambda a, b, w: a & b),
    "or": un(lambda a, b, w: a | b),
    "xor": un(lambda a, b, w: a ^ b),
    "andn": un(lambda a, b, w: a & ~b),
    "shl": un(lambda a, b, w: a << b if b < w else 0),
    "shr": un(lambda a, b, w: a >> b if b < w else 0),
    "sar": lambda a, b, d, w: signed(a, w) >> min(b, w),
    "rol": un(rotl),
    "ror": un(lambda a, b, w: rotl(a, w - b % w, w)),
    "cmpeq": un(lambda a, b, w: a == b),
    "cmpne": un(lambda a, b, w: a != b),
    "cmpltu": un(lambda a, b, w: a < b),
    "cmpleu": un(lambda a, b, w: a <= b),
    "cmplts": sc(lambda a, b, w: a < b),
    "cmples": sc(lambda a, b, w: a <= b),
    "minu": un(lambda a, b, w: min(a, b)),
    "mins": sc(lambda a, b, w: min(a, b)),
    "maxu": un(lambda a, b, w: max(a, b)),
    "maxs": sc(lambda a, b, w: max(a, b)),
    "avgu": un(lambda a, b, w: (a + b + 1) >> 1),
    "addsu": un(lambda a, b, w: min(a + b, 2**w - 1)),
    "subsu": un(lambda a, b, w: max(a - b, 0)),
    "addss": sc(lambda a, b, w: clamp(a + b, -(2 ** (w - 1)), 2 ** (w - 1) - 1)),
    "subss": sc(lambda a, b, w: clamp(a - b, -(2 ** (w - 1)), 2 ** (w - 1) - 1)),
    "cmov": lambda a, b, d, w: b if a else d,
}
UNARY = {
    "neg": lambda a, w: -a,
    "abs": lambda a, w: abs(signed(a, w)),
    "not": lambda a, w: ~a,
    "clz": lambda a, w: w - a.bit_length(),
    "ctz": lambda a, w: (a & -a).bit_length() - 1 if a else w,
    "popcnt": lambda a, w: bin(a).count("1"),
    "bswap": lambda a, w: int.from_bytes(a.to_bytes(w // 8, "little"), "big"),
}


def lanes(x, w):
    return [x >> i & ((1 << w) - 1) for i in range(0, 64, w)]


def join(values, w):
    return sum((v & ((1 << w) - 1)) << (i * w) for i, v in enumerate(values)) & M64


def unpack(a, b, w, high):
    x, y = lanes(a, w), lanes(b, w)
    half = len(x) // 2
    pick = range(half, 2 * half) if high else range(half)
    return join([v for i in pick for v in (x[i], y[i])], w)


def pack(a, b, w, f):
    return join([f(signed(v, w), w // 2) for v in lanes(a, w) + lanes(b, w)], w // 2)


def madd(a, b, w):
    p = [signed(x, w) * signed(y, w) for x, y in zip(lanes(a, w), lanes(b, w))]
    return join([p[i] + p[i + 1] for i in range(0, len(p), 2)], 2 * w)


def perm(a, b, w):
    x = lanes(a, w)
    return join([0 if i >> (w - 1) else x[i % len(x)] for i in lanes(b, w)], w)


CROSS = {
    "unpkl": lambda a, b, w: unpack(a, b, w, False),
    "unpkh": lambda a, b, w: unpack(a, b, w, True),
    "packt": lambda a, b, w: pack(a, b, w, lambda v, h: v),
    "packss": lambda a, b, w: pack(a, b, w, lambda v, h: clamp(v, -(2 ** (h - 1)), 2 ** (h - 1) - 1)),
    "packus": lambda a, b, w: pack(a, b, w, lambda v, h: clamp(v, 0, 2**h - 1)),
    "sadu": lambda a, b, w: sum(abs(x - y) for x, y in zip(lanes(a, w), lanes(b, w))),
    "madd": madd,
    "perm": perm,
}
CROSS_UNARY = {
    "splat": lambda a, w: join([a] * (64 // w), w),
    "movmsk": lambda a, w: sum((v >> (w - 1)) << i for i, v in enumerate(lanes(a, w))),
}

rng = random.Random(20)
EDGES = [0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000,
         0xFFFFFFFF, 2**63 - 1, 2**63, M64, 0x8000800080008000, 0x7F80FF0001FE8081]


def value():
    kind = rng.randrange(4)
    if kind == 0:
        return rng.choice(EDGES)
    if kind == 1:
        return rng.randrange(80)
    return rng.getrandbits(64)


def out(text, a, b, d, result):
    print(f"{text} ; {a:#x} {b:#x} {d:#x} -> {result & M64:#x}")


def suffix(w):
    return "" if w == 64 else f".{w}"


def main():
    for w in (64, 32, 16, 8):
        mask = (1 << w) - 1
        for name, f in BINARY.items():
            for _ in range(6):
                a, b, d = value(), value(), value()
                out(f"{name}{suffix(w)} r3, r1, r2", a, b, d, f(a & mask, b & mask, d & mask, w) & mask)
            imm = rng.randrange(-99, 99)
            a, d = value(), value()
            out(f"{name}{suffix(w)} r3, r1, #{imm}", a, 0, d, f(a & mask, imm & mask, d & mask, w) & mask)
        for name, f in UNARY.items():
            if name == "bswap" and w == 8:
                continue
            for _ in range(4):
                a = value()
                out(f"{name}{suffix(w)} r3, r1", a, 0, 0, f(a & mask, w) & mask)
        for _ in range(3):
            a = value()
            out(f"mov{suffix(w)} r3, r1", a, 0, 0, a & mask)
            out(f"sext{suffix(w)} r3, r1", a, 0, 0, signed(a & mask, w))
    for w in (32, 16, 8):
        for name, f in BINARY.items():
            for _ in range(3):
                a, b, d = value(), value(), value()
                r = join([f(x, y, z, w) for x, y, z in zip(lanes(a, w), lanes(b, w), lanes(d, w))], w)
                out(f"{name}.{w}x{64 // w} r3, r1, r2", a, b, d, r)
        for name, f in UNARY.items():
            if name == "bswap" and w == 8:
                continue
            a = value()
            out(f"{name}.{w}x{64 // w} r3, r1", a, 0, 0, join([f(x, w) for x in lanes(a, w)], w))
        for name, f in CROSS.items():
            if (w == 8 and name in ("packt", "packss", "packus", "madd")) or (w == 32 and name == "madd"):
                continue
            for _ in range(4):
                a, b = value(), value()
                out(f"{name}.{w}x{64 // w} r3, r1, r2", a, b, 0, f(a, b, w))
        for name, f in CROSS_UNARY.items():
            for _ in range(2):
                a = value()
                out(f"{name}.{w}x{64 // w} r3, r1", a, 0, 0, f(a, w))
    for imm in (0, 5, -1, 0x12345678, 0xFFFFFFFF, 0x123456789ABCDEF0):
        text = str(imm) if abs(imm) < 1000000 else hex(imm)
        out(f"ldi r3, #{text}", 0, 0, 0, imm)


if __name__ == "__main__":
    sys.exit(main())
