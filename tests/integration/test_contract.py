"""The contract of the command line: commands, fields, exit statuses. Programs outside this repository rely on it."""
import json
import os
import re
import subprocess

import house
import pytest

COMMANDS = '''run ls status attach stop pause resume reset snapshot restore ps threads tree maps env files sockets lsmod mounts dmesg
stack irqs cgroups symbols type vtop read page regions search isf btf dump ask render hot kernels learn offload trace serve mcp demo
bench'''.split()

FIELDS = {
    ('ps',): 'pid tgid ppid comm state uid gid task cr3 rss_pages start_ns kthread args',
    ('lsmod',): 'name address size refcount state',
    ('mounts',): 'id parent device mountpoint fstype options ns',
    ('maps', '1'): 'start end perms offset path kind',
    ('files',): 'pid fd path type',
    ('sockets',): 'pid fd family type proto local remote state',
    ('dmesg',): 'time_ns level text',
    ('symbols', 'init_task'): 'name address type',
    ('kernels',): 'id x86_hash address symbol pattern proof tests tier executions speedup state',
}
OBJECTS = {
    ('vtop', 'init_task'): 'virtual physical page_size flags',
    ('page', '0x1000000'): 'physical kind owner_pid owner refcount mapcount flags voxel',
}
HEX = re.compile(r'^0x[0-9a-f]+$')


def test_every_command_is_there():
    text = house.run('help').stdout
    for command in COMMANDS:
        assert re.search(rf'^  {command} ', text, re.M), command
        explained = house.run(command, '--help').stdout
        assert f'glassbox {command}' in explained and '--json' in explained


@pytest.mark.parametrize('words', FIELDS, ids=lambda w: w[0])
def test_fields_of_lists(guest, words):
    rows = guest.answer(*words)
    assert isinstance(rows, list)
    if not rows and words[0] in ('kernels', 'lsmod'):
        pytest.skip('nothing to look at')
    assert rows
    for row in rows:
        assert set(FIELDS[words].split()) <= set(row), row


@pytest.mark.parametrize('words', OBJECTS, ids=lambda w: w[0])
def test_fields_of_objects(guest, words):
    answer = guest.answer(*words)
    assert isinstance(answer, dict) and set(OBJECTS[words].split()) <= set(answer), answer


def test_addresses_are_hex_strings(guest):
    for row in guest.answer('ps'):
        assert HEX.match(row['task']) and (row['cr3'] is None or HEX.match(row['cr3']))
    for row in guest.answer('maps', '1'):
        assert HEX.match(row['start']) and HEX.match(row['end'])
    assert all(HEX.match(s['address']) for s in guest.answer('symbols', 'init_*'))
    page = guest.answer('page', '0x1000000')
    assert HEX.match(page['physical']) and len(page['voxel']) == 3


@pytest.mark.parametrize('words, code', [
    (['ps'], 2), (['nonsense'], 2), (['ps', 'nobody'], 1), (['ps', '--nonsense', 'x'], 2), (['maps', 'nobody'], 2),
    (['vtop', 'nobody', 'zz'], 1), (['run', '--mem', 'much'], 2), (['run', '--kernel', '/does/not/exist'], 1),
    (['ps', '--file', '/does/not/exist'], 1), (['render', 'nobody'], 2), (['type', 'nobody'], 2)])
def test_failures_are_one_line_with_the_right_status(words, code, env):
    house.refused(*words, code=code, env=env)


def test_bad_dumps(tmp_path, env):
    empty, noise, short = tmp_path / 'empty', tmp_path / 'noise', tmp_path / 'short'
    empty.write_bytes(b'')
    noise.write_bytes(bytes((i * 2654435761 >> 13) & 255 for i in range(1 << 20)))
    short.write_bytes(b'\x7fELF\x02\x01\x01')
    for file in (empty, noise, short):
        house.refused('ps', '--file', file, env=env)


def test_json_is_one_document(guest):
    for command in ('ps', 'status', 'lsmod', 'regions'):
        json.loads(guest.run(command, '--json').stdout)


def test_a_reader_may_stop_reading(guest):
    done = subprocess.run(f'{house.GLASSBOX} symbols {guest.name} | head -1', shell=True, capture_output=True, text=True,
                          env={**os.environ, **guest.env}, check=False)
    assert not done.stderr, done.stderr


def test_the_tour_ends_and_leaves_nothing(runtime, tmp_path):
    done = house.run('demo', '--once', '-o', tmp_path / 'tour.png', env={'XDG_RUNTIME_DIR': str(runtime)})
    assert (tmp_path / 'tour.png').read_bytes().startswith(b'\x89PNG')
    assert 'nothing is left behind' in done.stdout
    left = [p.name for p in (runtime / 'glassbox').glob('*')]
    assert left in ([], ['audit.log']), left


@pytest.mark.skipif(os.geteuid() != 0, reason='a small /dev/shm of its own needs root')
def test_a_full_dev_shm_is_said_and_leaves_nothing(runtime, vm_name):
    words = f'run --name {vm_name()} --mem 64M --detach'
    script = f'mount -t tmpfs -o size=32m tmpfs /dev/shm && {{ {house.GLASSBOX} {words}; echo $?; ls /dev/shm; }}'
    done = subprocess.run(['unshare', '-m', 'sh', '-c', script], capture_output=True, text=True, timeout=house.HANG,
                          env={**os.environ, 'XDG_RUNTIME_DIR': str(runtime)}, check=False)
    assert done.stdout.split() == ['1'], (done.stdout, done.stderr)
    assert len(done.stderr.strip().splitlines()) == 1 and '/dev/shm' in done.stderr, done.stderr
