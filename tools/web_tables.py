#!/usr/bin/python3
"""Makes a JavaScript module of the orientation tables of a C header: web_tables.py HEADER OUTPUT.js"""
import pathlib
import re
import sys


def main() -> None:
    header, output = sys.argv[1:]
    text = pathlib.Path(header).read_text()
    lines = ["// @ts-check", "// made by tools/web_tables.py"]
    for name in ("HILBERT_OCTANT", "HILBERT_NEXT"):
        body = re.search(rf"{name}\[[^=]*= \{{(.*?)\n\}};", text, re.S).group(1)
        rows = re.findall(r"\{([^}]*)\}", body)
        table = ",".join("[" + ",".join(re.findall(r"\d+", row)) + "]" for row in rows)
        lines.append(f"/** @type {{number[][]}} */ export const {name} = [{table}];")
    pathlib.Path(output).write_text("\n".join(lines) + "\n")


main()
