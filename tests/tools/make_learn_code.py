#!/usr/bin/python3
"""Makes tests/unit/learn_code.c: the loops of learn_sample.c as machine code of several builds by gcc.

    tests/tools/make_learn_code.py        writes the file; run it when learn_sample.c changes
"""
import pathlib
import re
import subprocess
import tempfile

UNIT = pathlib.Path(__file__).resolve().parents[1] / 'unit'
BUILDS = {'scalar': (0x401000, ['-O2', '-fno-tree-vectorize']), 'vector': (0x501000, ['-O3']), 'small': (0x601000, ['-Os'])}


def build(work, base, flags):
    """The text section of a build and the addresses of its functions."""
    program = work / 'loops'
    subprocess.run(['gcc', '-std=gnu17', *flags, '-g0', '-fcf-protection=none', '-fno-asynchronous-unwind-tables', '-static',
                    '-no-pie', '-nostdlib', '-Wl,--build-id=none,-e,0', f'-Wl,-Ttext={base:#x}', '-o', program,
                    UNIT / 'learn_sample.c'], check=True)
    subprocess.run(['objcopy', '-O', 'binary', '-j', '.text', program, work / 'text'], check=True)
    table = subprocess.run(['nm', program], stdout=subprocess.PIPE, text=True, check=True).stdout
    symbols = {words[2]: int(words[0], 16) for words in map(str.split, table.splitlines()) if len(words) == 3}
    return (work / 'text').read_bytes(), symbols


def main():
    rows = re.findall(r'X\((\w+), (\w+), ("[\w ]+"|NULL)\)', (UNIT / 'learn_sample.c').read_text())
    out = ['/* size-ok: made by tests/tools/make_learn_code.py */', '#include "learn_sample.h"', '',
           '#include <stddef.h>', '']
    with tempfile.TemporaryDirectory() as work:
        for name, (base, flags) in BUILDS.items():
            text, symbols = build(pathlib.Path(work), base, flags)
            lines = [', '.join(f'0x{b:02x}' for b in text[i:i + 16]) for i in range(0, len(text), 16)]
            out += [f'static const uint8_t {name}_code[] = {{', *(f'\t{line},' for line in lines), '};', '',
                    f'static const struct sample {name}_samples[] = {{',
                    *(f'\t{{ "{row[0]}", {symbols[row[1]]:#x}, {row[2]} }},' for row in rows), '\t{ NULL, 0, NULL },', '};', '']
    out += ['const struct learn_code learn_code[] = {',
            *(f'\t{{ {base:#x}, sizeof({name}_code), {name}_code, {name}_samples }},' for name, (base, _) in BUILDS.items()), '};', '']
    (UNIT / 'learn_code.c').write_text('// clang-format off\n'.join(['\n'.join(out[:1]) + '\n', '\n'.join(out[1:])]))


if __name__ == '__main__':
    main()
