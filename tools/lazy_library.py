#!/usr/bin/python3
"""Writes the assembly of a library's stand-in, one entry for each of its functions: the first call of any of them loads the
library, later calls jump there (src/base/lazy_library.h).  lazy_library.py COMPILER LIBRARY OUTPUT.S"""
import pathlib
import re
import subprocess
import sys

HEAD = """/* made by tools/lazy_library.py of {path} */
	.section .note.GNU-stack, "", @progbits
	.section .rodata.str1.1, "aMS", @progbits, 1
.Lsoname:	.string "{soname}"
	.data
	.balign 8
	.globl lazy_library_{word}
	.hidden lazy_library_{word}
	.type lazy_library_{word}, @object
lazy_library_{word}:
	.quad .Lsoname, 0
	.size lazy_library_{word}, 16
	.text
.Lload:	endbr64
	pushq %r10
	leaq lazy_library_{word}(%rip), %r11
	pushq %r11
	jmp lazy_library_enter
"""

# r10 and r11 are nobody's at the entry of a function.
ENTRY = """	.text
	.globl {name}
	.hidden {name}
	.type {name}, @function
{name}:	endbr64
	movq .Lslot{n}(%rip), %r11
	testq %r11, %r11
	jz 1f
	jmp *%r11
1:	leaq .Lslot{n}(%rip), %r10
	pushq %r10
	leaq .Lname{n}(%rip), %r10
	jmp .Lload
	.size {name}, . - {name}
	.lcomm .Lslot{n}, 8
	.section .rodata.str1.1
.Lname{n}:	.string "{name}"
"""


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main() -> None:
    compiler, library, target = sys.argv[1:]
    path = output(compiler, f"-print-file-name=lib{library}.so").strip()
    soname = re.search(r"SONAME\s+(\S+)", output("objdump", "-p", path)).group(1)
    symbols = (line.split() for line in output("nm", "-D", "--defined-only", path).splitlines())
    names = sorted({name.split("@")[0] for _, kind, name in symbols if kind in "TWi" and not name.startswith("_")})
    text = HEAD.format(path=path, soname=soname, word=re.sub(r"\W", "_", library))
    text += "".join(ENTRY.format(n=n, name=name) for n, name in enumerate(names))
    pathlib.Path(target).write_text(text)


main()
