#!/usr/bin/python3
"""Writes the instruction table of docs/pixel-cpu.md from src/mcode/isa.h, between the two marks.
Usage: build_isa_doc.py [--check]: with --check only says whether the page is up to date."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- table: made by tools/build_isa_doc.py -->", "<!-- end of table -->"
OPERANDS = {
    "NONE": "", "RR": "rd, rs1", "RRR": "rd, rs1, rs2 or #imm", "RI": "rd, #imm", "J": "label",
    "RJ": "rs1, label", "LD": "rd, sN+imm", "LDX": "rd, sN, rs2+imm", "ST": "sN+imm, rv",
    "STX": "sN, rs2+imm, rv", "GET": "rd, vN", "PUT": "vN, rv",
}


def widths(flags):
    plain = ["64"]
    if "ALU" in flags or "WIDE" in flags:
        plain += ["32", "16", "8"]
    lanes = ["32x2", "16x4", "8x8"] if "ALU" in flags or "CROSS" in flags else []
    if "CROSS" in flags:
        plain = []
    if "NOT8" in flags:
        plain, lanes = [w for w in plain if w != "8"], [w for w in lanes if w != "8x8"]
    if "NOT32" in flags:
        lanes = [w for w in lanes if w != "32x2"]
    return " ".join(plain + lanes)


def table():
    text = (ROOT / "src/mcode/isa.h").read_text().replace("\\\n", " ")
    rows = re.findall(r'X\((\w+), (0x\w\w), (\w+), ([^"]*?), (\w+), (\d+),\s*"([^"]*)"\)', text)
    lines = ["| code | instruction | operands | widths | class | cost | result |", "|---|---|---|---|---|---|---|"]
    for name, code, form, flags, kind, cost, words in rows:
        words = words.replace("|", "\\|")
        lines.append(f"| {code} | {name.lower()} | {OPERANDS[form]} | {widths(flags)} | "
                     f"{kind.lower()} | {cost} | {words} |")
    return "\n".join(lines)


def main():
    page = ROOT / "docs/pixel-cpu.md"
    text = page.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    made = f"{before}{BEGIN}\n{table()}\n{END}{after}"
    if "--check" in sys.argv:
        sys.exit(0 if made == text else "docs/pixel-cpu.md is out of date: run tools/build_isa_doc.py")
    page.write_text(made)


main()
