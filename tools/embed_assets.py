#!/usr/bin/python3
"""Writes a C table of files: embed_assets.py OUTPUT.c FILE..."""
import pathlib
import sys

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".wgsl": "text/plain; charset=utf-8",
}


def main() -> None:
    output, *names = sys.argv[1:]
    lines = ['/* size-ok: made by tools/embed_assets.py */', '#include "server/assets.h"', ""]
    table = []
    for number, name in enumerate(names):
        path = pathlib.Path(name)
        data = path.read_bytes()
        lines.append(f"static const unsigned char bytes_{number}[] = {{")
        for at in range(0, len(data), 24):
            lines.append(",".join(str(byte) for byte in data[at:at + 24]) + ",")
        lines.append("};")
        table.append(f'\t{{ "/{path.name}", "{TYPES[path.suffix]}", bytes_{number}, sizeof(bytes_{number}) }},')
    lines += ["", "const struct asset asset_table[] = {", *table, "\t{ 0 },", "};", ""]
    pathlib.Path(output).write_text("\n".join(lines))


main()
