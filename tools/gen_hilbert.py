#!/usr/bin/python3
"""Writes the orientation tables of Skilling's 3D Hilbert curve for C (src/viz/hilbert_table.h).

Skilling's loop, read from the top digit down, is a product of signed axis permutations: a digit d
adds N(d) on the right. The permutations that can occur close under this: 24 orientations. The
unit test compares the tables with the bit loop, so this script only has to be run again when the
layout of the table changes."""

IDENTITY = ((0, 1, 2), 0)  # output axis i takes input axis perm[i], inverted when mask bit i is set


def compose(outer, inner):
    """The transform that applies inner first."""
    perm = tuple(inner[0][outer[0][i]] for i in range(3))
    mask = sum((((outer[1] >> i) ^ (inner[1] >> outer[0][i])) & 1) << i for i in range(3))
    return perm, mask


def apply(transform, bits):
    perm, mask = transform
    return [bits[perm[i]] ^ ((mask >> i) & 1) for i in range(3)]


def gray(digit):
    x = [(digit >> 2) & 1, (digit >> 1) & 1, digit & 1]
    return [x[0], x[0] ^ x[1], x[1] ^ x[2]]


def step(digit):
    """What digit does to all finer digits: Skilling's inner loop, and the carry of its Gray code."""
    g = gray(digit)
    total = ((0, 1, 2), digit & 1)  # X[0] of the next finer level is inverted by this level's last bit
    invert = ((0, 1, 2), 1)
    swaps = {2: ((2, 1, 0), 0), 1: ((1, 0, 2), 0), 0: IDENTITY}
    for axis in (2, 1, 0):
        total = compose(invert if g[axis] else swaps[axis], total)
    return total


def build():
    states, octants, nexts = [IDENTITY], [], []
    for state in states:
        octant_row, next_row = [], []
        for digit in range(8):
            x, y, z = apply(state, gray(digit))
            after = compose(state, step(digit))
            if after not in states:
                states.append(after)
            octant_row.append(x | y << 1 | z << 2)
            next_row.append(states.index(after))
        octants.append(octant_row)
        nexts.append(next_row)
    return octants, nexts


def rows(table):
    return "\n".join("\t{ " + ", ".join(str(v) for v in row) + " }," for row in table)


def main():
    octants, nexts = build()
    digits = [[row.index(octant) for octant in range(8)] for row in octants]
    print("/* size-ok: table made by tools/gen_hilbert.py. Orientations of Skilling's 3D Hilbert curve: in")
    print(" * orientation s the digit d lies in octant x + 2y + 4z = HILBERT_OCTANT[s][d], whose inside has")
    print(" * orientation HILBERT_NEXT[s][d]; HILBERT_DIGIT undoes HILBERT_OCTANT. Thread: any. */")
    print("#ifndef VIZ_HILBERT_TABLE_H\n#define VIZ_HILBERT_TABLE_H\n#include <stdint.h>\n")
    print(f"enum {{ HILBERT_STATES = {len(octants)} }};\n")
    for name, table in (("OCTANT", octants), ("NEXT", nexts), ("DIGIT", digits)):
        print(f"static const uint8_t HILBERT_{name}[HILBERT_STATES][8] = {{\n{rows(table)}\n}};\n")
    print("#endif")


main()
