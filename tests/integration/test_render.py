"""`render` on dump files: real PNGs of the asked size, and one-line errors for what cannot be drawn."""
import json
import pathlib
import random
import struct
import subprocess

import pytest

import house


def render(*args):
    return subprocess.run([house.GLASSBOX, 'render', *map(str, args)], capture_output=True, text=True, timeout=180)


@pytest.fixture(scope='module')
def dump(tmp_path_factory):
    """1 MiB: text, numbers, random bytes and zeros."""
    random.seed(3)
    parts = [b'a line of text\n' * 8192, bytes(range(256)) * 512, random.randbytes(200 * 1024)]
    path = tmp_path_factory.mktemp('dump') / 'ram.raw'
    path.write_bytes(b''.join(parts).ljust(1 << 20, b'\0'))
    return path


def size_of(png):
    data = pathlib.Path(png).read_bytes()
    assert data[:8] == b'\x89PNG\r\n\x1a\n'
    return struct.unpack('>II', data[16:24])


@pytest.mark.parametrize('mode', ['kind', 'byte'])
def test_png_has_the_size(dump, tmp_path, mode):
    out = tmp_path / 'a.png'
    done = render('--file', dump, '-o', out, '--size', '640x360', '--mode', mode, '--fast', '--json')
    assert done.returncode == 0, done.stderr
    assert size_of(out) == (640, 360)
    answer = json.loads(done.stdout)
    assert answer['ram_pages'] == 256 and 100 < answer['data_pages'] < 256
    assert answer['kinds'] == 'guessed from bytes' and answer['legend']
    assert not list(tmp_path.glob('*.part'))


def test_turntable(dump, tmp_path):
    done = render('--file', dump, '-o', tmp_path / 't%02d.png', '--size', '64x36', '--turntable', 3, '--fast')
    assert done.returncode == 0, done.stderr
    pictures = [p.read_bytes() for p in sorted(tmp_path.glob('t*.png'))]
    assert len(pictures) == 3 and len(set(pictures)) == 3


@pytest.mark.parametrize('args, code', [
    (['--size', '0x0'], 2), (['--size', '99999x10'], 2), (['--size', 'big'], 2), (['--mode', 'pretty'], 2),
    (['--camera', 'up'], 2), (['--focus', 'zzz'], 2), (['--explode', '200'], 2), (['--turntable', '5'], 2),
    (['--focus', '0x7000000000'], 1), (['--device', 'no such card'], 1)])
def test_bad_options(dump, tmp_path, args, code):
    out = tmp_path / 'a.png'
    done = render('--file', dump, '-o', out, '--fast', *args)
    assert done.returncode == code, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and not out.exists()


def test_bad_files(dump, tmp_path):
    empty = tmp_path / 'empty.raw'
    empty.write_bytes(b'')
    for source, out in [(empty, tmp_path / 'a.png'), (tmp_path / 'none.raw', tmp_path / 'a.png'),
                        (dump, tmp_path / 'no' / 'folder.png')]:
        done = render('--file', source, '-o', out, '--size', '64x36', '--fast')
        assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1, done.stderr
