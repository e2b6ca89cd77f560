"""`render` on dump files: real PNGs of the asked size, and one-line errors for what cannot be drawn."""
import json
import pathlib
import random
import struct
import subprocess
import zlib

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


def chunks_of(png):
    """(name, data) of every chunk; the checksum of each is right."""
    data, at = pathlib.Path(png).read_bytes(), 8
    while at < len(data):
        length, = struct.unpack_from('>I', data, at)
        name, body = data[at + 4:at + 8], data[at + 8:at + 8 + length]
        assert zlib.crc32(name + body) == struct.unpack_from('>I', data, at + 8 + length)[0]
        yield name.decode(), body
        at += 12 + length


def test_animated_turntable(dump, tmp_path):
    out = tmp_path / 'turn.png'
    done = render('--file', dump, '-o', out, '--size', '64x36', '--turntable', 4, '--fast')
    assert done.returncode == 0, done.stderr
    assert size_of(out) == (64, 36) and [p.name for p in tmp_path.iterdir()] == ['turn.png']
    chunks = list(chunks_of(out))
    assert [body for name, body in chunks if name == 'acTL'] == [struct.pack('>II', 4, 0)]
    numbers = [struct.unpack_from('>I', body)[0] for name, body in chunks if name in ('fcTL', 'fdAT')]
    assert numbers == list(range(len(numbers))) and len([n for n, _ in chunks if n == 'fcTL']) == 4
    frames, now = [], b''
    for name, body in chunks[chunks.index(next(c for c in chunks if c[0] == 'fcTL')) + 1:]:
        if name in ('fcTL', 'IEND'):
            frames.append(zlib.decompress(now))
            now = b''
        else:
            now += body[4:] if name == 'fdAT' else body
    assert len(set(frames)) == 4 and {len(frame) for frame in frames} == {36 * (1 + 3 * 64)}


def pixels_of(path):
    """Rows as bytes, for comparing: the filtered data of the picture."""
    return zlib.decompress(b''.join(body for name, body in chunks_of(path) if name == 'IDAT'))


def test_writing_and_slices(dump, tmp_path):
    pictures = []
    for extra in [], ['--plain'], ['--plain', '--slice', '0-100,0-20,0-100']:
        out = tmp_path / 'a.png'
        done = render('--file', dump, '-o', out, '--size', '480x270', '--fast', *extra)
        assert done.returncode == 0, done.stderr
        pictures.append(pixels_of(out))
    assert len(set(pictures)) == 3


def test_several_memories(dump, tmp_path):
    out, other = tmp_path / 'a.png', tmp_path / 'other.raw'
    other.write_bytes(b'\x55' * (256 << 10))
    done = render('--file', dump, '-o', out, '--size', '480x270', '--fast', '--with', other, '--with', dump, '--json')
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)['memories'] == 3
    for wrong, code in ('no-such-vm', 1), ('pixel-cpu', 2), (tmp_path / 'none.raw', 1):
        out.unlink(missing_ok=True)
        done = render('--file', dump, '-o', out, '--fast', '--with', wrong)
        assert done.returncode == code and not out.exists() and len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_turntable(dump, tmp_path):
    done = render('--file', dump, '-o', tmp_path / 't%02d.png', '--size', '64x36', '--turntable', 3, '--fast')
    assert done.returncode == 0, done.stderr
    pictures = [p.read_bytes() for p in sorted(tmp_path.glob('t*.png'))]
    assert len(pictures) == 3 and len(set(pictures)) == 3


@pytest.mark.parametrize('args, code', [
    (['--size', '0x0'], 2), (['--size', '99999x10'], 2), (['--size', 'big'], 2), (['--mode', 'pretty'], 2),
    (['--camera', 'up'], 2), (['--focus', 'zzz'], 2), (['--explode', '200'], 2), (['--slice', '5'], 2), (['--turntable', '5000'], 2),
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
