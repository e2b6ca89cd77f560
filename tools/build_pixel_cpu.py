#!/usr/bin/python3
"""Compiles the Pixel CPU's WGSL interpreter, its opcode numbers taken from the table in isa.h.
Usage: build_pixel_cpu.py TINT SPIRV_VAL OUT.c ISA.h PIXEL_CPU.wgsl. Without tint (TINT is "-")
the array is empty."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command[0]}: {done.stderr or done.stdout}")


def compile_shader(tint, spirv_val, isa, source):
    rows = re.findall(r"^\s*X\((\w+), (0x[0-9a-f]+),", isa, re.MULTILINE)
    constants = "".join(f"const OP_{name} = {code}u;\n" for name, code in rows)
    with tempfile.TemporaryDirectory() as folder:
        wgsl, spirv = Path(folder) / "pixel_cpu.wgsl", Path(folder) / "pixel_cpu.spv"
        wgsl.write_text(constants + source)
        run([tint, "--format", "spirv", "--entry-point", "pixel_cpu", "-o", str(spirv), str(wgsl)])
        run([spirv_val, "--target-env", "vulkan1.1", str(spirv)])
        return spirv.read_bytes()


def main():
    tint, spirv_val, out, isa, wgsl = sys.argv[1:6]
    code = b"" if tint == "-" else compile_shader(tint, spirv_val, Path(isa).read_text(),
                                                  Path(wgsl).read_text())
    words = [int.from_bytes(code[i:i + 4], "little") for i in range(0, len(code), 4)]
    lines = [", ".join(f"{v:#x}" for v in words[i:i + 8]) for i in range(0, len(words), 8)]
    Path(out).write_text(
        "/* size-ok: made by tools/build_pixel_cpu.py. */\n"
        '#include "offload/pixel_cpu.h"\n\n'
        f"const size_t offload_pixel_cpu_n_words = {len(words)};\n"
        "const uint32_t offload_pixel_cpu_words[] = {\n\t" + ",\n\t".join(lines + ["0"]) + "\n};\n")


main()
