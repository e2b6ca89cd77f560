"""`glassbox mcode`: kernels between text, picture, C and SPIR-V."""
import json
import subprocess

import house

SUM = """.kernel sum_of_bytes
.slots 4
.trip v1
.input v0 rsi
.input v1 rcx
.input v2 rax
.exit rax v2
.stream s0 read base v0 stride 1 window 0 1
.reduce add v2 v3
.guard
	get r1, v1
	cmpltu r0, r1, #4294967296
.body
	ld.8 r1, s0
	put v3, r1
"""


def mcode(*args):
    return subprocess.run([house.GLASSBOX, 'mcode', *map(str, args)], capture_output=True, text=True)


def test_text_picture_text(tmp_path):
    source, picture = tmp_path / 'sum.pxa', tmp_path / 'sum.png'
    source.write_text(SUM)
    assert mcode(source, '--form', 'png', '-o', picture).returncode == 0
    assert picture.read_bytes()[:4] == b'\x89PNG'
    again = mcode(picture)
    assert again.returncode == 0
    assert again.stdout.strip() == mcode(source).stdout.strip()
    document = json.loads(mcode(picture, '--json').stdout)
    assert document['name'] == 'sum_of_bytes' and document['instructions'] == 2


def test_spirv_is_valid_and_c_compiles(tmp_path):
    source = tmp_path / 'sum.pxa'
    source.write_text(SUM)
    assert mcode(source, '--form', 'spirv', '-o', tmp_path / 'sum.spv').returncode == 0
    assert mcode(source, '--form', 'c', '-o', tmp_path / 'sum.c').returncode == 0
    subprocess.run(['spirv-val', '--target-env', 'vulkan1.2', tmp_path / 'sum.spv'], check=True)
    subprocess.run(['gcc', '-ffreestanding', '-fsyntax-only', '-w', tmp_path / 'sum.c'], check=True)


def test_nonsense_is_one_line_and_exit_1(tmp_path):
    for bad in (b'\x89PNG\r\n\x1a\nxx', b'.body\nadd r1, r2, r99\n', b'\xff' * 100):
        (tmp_path / 'bad').write_bytes(bad)
        answer = mcode(tmp_path / 'bad')
        assert answer.returncode == 1
        assert len(answer.stderr.strip().splitlines()) == 1
