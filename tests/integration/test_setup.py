"""Set-up and the packing of guests: the same input gives the same bytes, kernels are unpacked right, and a machine
without network and cache is told what is missing. Nothing here boots."""
import hashlib
import importlib.util
import json
import os
import shutil
import struct
import subprocess

import pytest

import house

spec = importlib.util.spec_from_file_location('make_guest', house.TOP / 'tools' / 'make_guest.py')
make_guest = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_guest)


def pack(tmp_path, which):
    """Packs the guest of kernel 6.1 again, with two stand-ins for its programs."""
    out = tmp_path / which
    programs = tmp_path / 'programs'
    out.mkdir()
    programs.mkdir(exist_ok=True)
    for name in ('truth', 'workload'):
        (programs / name).write_bytes(b'\x7fELF ' + name.encode())
    subprocess.run(['/usr/bin/python3', house.TOP / 'tools/make_guest.py', '--profile', '6.1', '--title', 'a title',
                    '--arch', 'amd64', '--kernel', house.CACHE / 'kernels/6.1', '--busybox', '/bin/busybox', '--programs',
                    programs, '--files', house.TOP / 'guest', '--out', out], check=True)
    return {f: hashlib.sha256((out / f).read_bytes()).hexdigest()
            for f in ('initrd.img', 'vmlinux', 'vmlinuz', 'profile.json')}


def test_the_same_input_gives_the_same_bytes(tmp_path):
    first = pack(tmp_path, 'a')
    for path in sorted((tmp_path / 'programs').iterdir()):
        os.utime(path, (1, 1))  # times of the input do not matter
    assert pack(tmp_path, 'b') == first


@pytest.mark.parametrize('profile', house.KERNELS)
def test_the_kernel_inside_the_image_is_an_elf_that_pvh_can_enter(profile):
    folder = house.guest_files(profile)
    elf = (folder / 'vmlinux').read_bytes()
    about = json.loads((folder / 'profile.json').read_text())
    assert elf[:5] == b'\x7fELF\x02'
    assert about['pvh'] and make_guest.has_pvh_note(elf)
    assert f"Linux version {about['release']} ".encode() in elf
    # Every loaded segment lies inside the file: nothing was cut off by the decompression.
    phoff, = struct.unpack_from('<Q', elf, 32)
    size, count = struct.unpack_from('<HH', elf, 54)
    for i in range(count):
        kind, = struct.unpack_from('<I', elf, phoff + i * size)
        offset, = struct.unpack_from('<Q', elf, phoff + i * size + 8)
        length, = struct.unpack_from('<Q', elf, phoff + i * size + 32)
        assert kind != 1 or offset + length <= len(elf)


@pytest.mark.parametrize('profile', house.KERNELS)
def test_the_initrd_leaves_the_last_page_of_ram_to_the_firmware(profile):
    size = (house.guest_files(profile) / 'initrd.img').stat().st_size
    assert 0 < size % 4096 <= 1024


def test_modules_come_after_what_they_need():
    modules = {'a': (b'', ['b', 'c']), 'b': (b'', ['c']), 'c': (b'', []), 'd': (b'', ['gone']), 'e': (b'', ['e'])}
    assert make_guest.closure(modules, ['a', 'd', 'e']) == ['c', 'b', 'a']


def test_files_are_put_behind_an_initrd(tmp_path):
    folder = tmp_path / 'files'
    folder.mkdir()
    files = {'one': b'1' * 5, 'two': os.urandom(4097)}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (tmp_path / 'initrd').write_bytes(b'packed')
    made = subprocess.run(['/usr/bin/python3', house.TOP / 'tools/append_files.py', tmp_path / 'initrd', folder, 'opt/more'],
                          stdout=subprocess.PIPE, check=True).stdout
    assert made[:8] == b'packed\0\0'
    found, at = {}, 8
    while made[at:at + 6] == b'070701':
        fields = [int(made[at + 6 + 8 * i:at + 14 + 8 * i], 16) for i in range(13)]
        name = made[at + 110:at + 109 + fields[11]].decode()
        start = at + (110 + fields[11] + 3) // 4 * 4
        found[name] = fields[1], made[start:start + fields[6]]
        at = start + (fields[6] + 3) // 4 * 4
    assert found.pop('TRAILER!!!')[1] == b'' and not made[at:].strip(b'\0')
    assert found == {'opt': (0o40755, b''), 'opt/more': (0o40755, b''),
                     **{f'opt/more/{name}': (0o100755, data) for name, data in files.items()}}


def without_network(tmp_path):
    """A configuration of apt whose only archive does not answer, and an empty cache."""
    listing = tmp_path / 'sources.list'
    listing.write_text('deb http://127.0.0.1:9/debian/ bookworm main\n')
    config = tmp_path / 'apt.conf'
    config.write_text(f'Dir::Etc::sourcelist "{listing}";\nDir::Etc::sourceparts "/dev/null";\nAcquire::Retries "0";\n'
                      f'Acquire::http::Proxy "DIRECT";\n')
    return {**os.environ, 'APT_CONFIG': str(config), 'XDG_CACHE_HOME': str(tmp_path / 'cache')}


def test_without_network_and_cache_the_set_up_names_what_is_missing(tmp_path):
    env = without_network(tmp_path)
    done = subprocess.run([house.TOP / 'tools/guest', '6.1'], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=house.HANG, check=False)
    assert done.returncode == 1
    assert 'glassbox: error: ' in done.stderr.splitlines()[-1]
    assert 'linux-image-cloud-amd64 of Debian bookworm' in done.stderr.splitlines()[-1]
    assert not (tmp_path / 'cache/glassbox/guests/6.1').exists()


def test_a_second_set_up_does_nothing(tmp_path):
    """With the archive out of reach, everything that is cached is still found."""
    env = {**without_network(tmp_path), 'XDG_CACHE_HOME': str(house.CACHE.parent)}
    before = {p: p.stat().st_mtime_ns for p in (house.CACHE / 'bin').iterdir()}
    for command in (['tools/setup', 'qemu'], ['tools/guest', '--tests']):
        subprocess.run([house.TOP / command[0], *command[1:]], env=env, check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, timeout=house.HANG)
    assert {p: p.stat().st_mtime_ns for p in (house.CACHE / 'bin').iterdir()} == before


@pytest.mark.skipif(not shutil.which('setpriv') or os.geteuid() != 0, reason='needs root to become nobody')
def test_missing_packages_without_root_are_named(tmp_path):
    """As nobody, with a list that asks for one more package: a clear error instead of an attempt."""
    tools = tmp_path / 'tools'
    shutil.copytree(house.TOP / 'tools', tools)
    (tools / 'packages.txt').write_text('make\nno-such-package-anywhere\n')
    subprocess.run(['chmod', '-R', 'a+rX', tmp_path, *[p for p in tmp_path.parents if str(p).startswith('/tmp/pytest')]],
                   check=True)
    done = subprocess.run(['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', 'env', f'HOME={tmp_path}',
                           'PATH=/usr/bin:/bin', tools / 'setup', 'packages'], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=house.HANG, check=False)
    assert done.returncode == 1 and 'apt-get install no-such-package-anywhere' in done.stderr, done.stderr
