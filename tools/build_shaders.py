#!/usr/bin/python3
"""Compiles WGSL modules to SPIR-V with tint, checks them with spirv-val and writes one C file with
all of them. Usage: build_shaders.py TINT SPIRV_VAL OUT.c MODULE.wgsl...

A module's first line may say "// uses: a.wgsl b.wgsl": those files are put in front of it. The
browser does the same. Without tint (TINT is "-") the table is empty and the program says so when
it is asked to draw."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

KIND = {"uniform": "u", "storage": "s", "texture_storage": "i", "texture": "t"}


def source_of(path):
    text = path.read_text()
    uses = re.match(r"// uses: (.*)\n", text)
    parts = [(path.parent / name).read_text() for name in uses.group(1).split()] if uses else []
    return "\n".join(parts + [text])


def bindings_of(source):
    found = {}
    pattern = r"@binding\((\d+)\)\s*var(?:<(\w+)[^>]*>)?\s+\w+\s*:\s*(\w+)"
    for number, space, kind in re.findall(pattern, source):
        if not space:
            space = "texture_storage" if kind.startswith("texture_storage") else "texture"
        found[int(number)] = KIND[space]
    return "".join(found.get(i, "-") for i in range(max(found) + 1))


def run(command, what):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{what}: {done.stderr or done.stdout}")


def compile_entry(tools, source, entry, folder):
    wgsl, spirv = Path(folder) / f"{entry}.wgsl", Path(folder) / f"{entry}.spv"
    wgsl.write_text(source)
    run([tools[0], "--format", "spirv", "--entry-point", entry, "-o", str(spirv), str(wgsl)], entry)
    run([tools[1], "--target-env", "vulkan1.1", str(spirv)], f"spirv-val of {entry}")
    return spirv.read_bytes()


def words(code):
    values = [int.from_bytes(code[i : i + 4], "little") for i in range(0, len(code), 4)]
    lines = [", ".join(f"{v:#x}" for v in values[i : i + 8]) for i in range(0, len(values), 8)]
    return ",\n\t".join(lines)


def main():
    tools, out, modules = sys.argv[1:3], sys.argv[3], [Path(p) for p in sys.argv[4:]]
    arrays, rows = [], []
    with tempfile.TemporaryDirectory() as folder:
        for module in modules if tools[0] != "-" else []:
            source = source_of(module)
            for entry in re.findall(r"@compute[^{]*?\bfn\s+(\w+)", source):
                code = compile_entry(tools, source, entry, folder)
                arrays.append(f"static const uint32_t {entry}_words[] = {{\n\t{words(code)}\n}};\n")
                rows.append(f'\t{{ "{entry}", {entry}_words, sizeof({entry}_words) / 4, '
                            f'"{bindings_of(source)}" }},\n')
    text = ["/* size-ok: made by tools/build_shaders.py from shaders/. */\n",
            '#include "viz/shaders.h"\n\n', *arrays,
            "\nconst struct viz_shader viz_shaders[] = {\n", *rows, "\t{ 0 },\n};\n"]
    Path(out).write_text("".join(text))


main()
