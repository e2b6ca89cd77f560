"""Copies of a VM's memory: consistent, comparable, restored, warm; and reads that say when they are torn."""
import json
import os
import subprocess

import pytest

from vm_helper import (CACHE, GUEST, PROGRAMS, answer, console, demo_vm, fails, glassbox, nothing_left, state_dir, unique,
                       wait_until)

pytestmark = pytest.mark.skipif(not GUEST.exists(), reason='no demo guest; tools/guest makes it')
PAGE = 4096
# Half of what it writes is new, half what was there already.
WRITE = ('mount -t tmpfs -o size=30m x /mnt; while :; do dd if=/dev/zero of=/mnt/d bs=4k count=1200 conv=notrunc; '
         'dd if=/dev/urandom of=/mnt/d bs=4k count=150 conv=notrunc; done 2>/dev/null & echo wri""ting')


def start_writing(name):
    console(name, WRITE)
    assert wait_until(lambda: b'writing' in (state_dir(name) / 'serial.log').read_bytes(), 60)


def differing(a, b):
    """Page numbers in which two raw dumps differ, by Python's own eyes."""
    a, b = a.read_bytes(), b.read_bytes()
    assert len(a) == len(b)
    return {i // PAGE for i in range(0, len(a), PAGE) if a[i:i + PAGE] != b[i:i + PAGE]}


def pages(rows):
    return {p for row in rows for p in range(int(row['start'], 16) // PAGE, int(row['end'], 16) // PAGE)}


@pytest.mark.parametrize('by', ['threads', 'monitor'])
def test_copies_are_of_one_moment(by):
    with demo_vm('moment', '--mem', '64M') as vm:
        start_writing(vm['name'])
        done = subprocess.run([PROGRAMS / 'snapshot_check', vm['name'], by, '40', '5'], stdout=subprocess.PIPE, timeout=300)
        told = json.loads(done.stdout)
        assert done.returncode == 0 and told['wrong'] == 0 and told['pages_paused'] > 0, told


def test_every_format_holds_the_same_memory(tmp_path):
    with demo_vm('same', '--mem', '64M') as vm:
        name = vm['name']
        answer('dump', name, '-o', tmp_path / 'before')
        start_writing(name)
        assert answer('delta', name, '--wait-ms', 300)
        answer('pause', name)
        assert answer('delta', name, '--wait-ms', 50) == []
        for form in ('raw', 'lime', 'elf'):
            made = answer('dump', name, '-o', tmp_path / form, '--format', form)
            assert made['consistent'] and answer('compare', name, tmp_path / form) == []
        answer('snapshot', name, tmp_path / 'gbs')
    for form in ('lime', 'elf', 'gbs'):
        assert answer('compare', '--file', tmp_path / form, tmp_path / 'raw') == []
    truth = differing(tmp_path / 'before', tmp_path / 'raw')
    assert pages(answer('compare', '--file', tmp_path / 'raw', tmp_path / 'before')) == truth and len(truth) > 1000
    assert answer('ps', '--file', tmp_path / 'gbs') == answer('ps', '--file', tmp_path / 'raw')
    fails('compare', '--file', tmp_path / 'raw', tmp_path / 'nothing', words='nothing')
    fails('delta', name, words='no VM')
    fails('delta', name, '--wait-ms', '9999999', status=1)


def test_torn_reads_are_told():
    with demo_vm('torn', '--mem', '64M') as vm:
        name = vm['name']
        start_writing(name)
        hot = max(answer('delta', name, '--wait-ms', 500), key=lambda row: row['pages'])
        words = ('read', name, hot['start'], min(hot['pages'] * PAGE, 1 << 20), '--retries', 0)
        assert wait_until(lambda: not answer(*words)['stable'], 60)
        answer('pause', name)
        assert answer(*words)['stable']


@pytest.mark.parametrize('options', [
    ('--kaslr',), ('--mem', '3G', '--machine', 'q35', '--cpus', '2'), ('--uefi', '--mem', '256M'),
    ('--i386', '--disk', '{disk}', '--mem', '64M'), ('--profile', '6.1', '--net', '--disk', '{disk}')],
    ids=['kaslr', 'high', 'uefi', 'i386', 'disk'])
def test_machines_come_back(tmp_path, options):
    (tmp_path / 'disk').write_bytes(bytes(4 << 20))
    options = [o.replace('{disk}', str(tmp_path / 'disk')) for o in options]
    with demo_vm('first', *options) as vm:
        assert answer('snapshot', vm['name'], tmp_path / 'file')['consistent']
        before = answer('status', vm['name'])
    name = unique('again')
    try:
        answer('restore', tmp_path / 'file', '--name', name)
        after = answer('status', name)
        assert after['state'] == 'running'
        assert {k: after[k] for k in ('memory', 'machine', 'mem_bytes', 'cpus')} == \
            {k: before[k] for k in ('memory', 'machine', 'mem_bytes', 'cpus')}
        assert after.get('kernel_release') == before.get('kernel_release')
    finally:
        glassbox('stop', name, '--force', check=False)
    assert wait_until(lambda: nothing_left(name))


@pytest.fixture
def own_cache(tmp_path):
    """A cache of the test's own with the same guests, and an environment that names it."""
    top = tmp_path / 'glassbox'
    top.mkdir()
    (top / 'guests').symlink_to(CACHE / 'guests')
    env = {**os.environ, 'XDG_CACHE_HOME': str(tmp_path)}
    qemu = CACHE / 'bin/qemu-system-x86_64'
    if qemu.exists():
        env['GLASSBOX_QEMU'] = str(qemu)
    return top / 'warm', env


def test_a_warm_start_goes_on_from_a_copy(own_cache):
    folder, env = own_cache
    names = [unique(f'warm{i}') for i in range(4)]
    try:
        started = [answer('run', '--warm', '--detach', '--name', name, env=env) for name in names[:2]]
        files = list(folder.iterdir())
        assert len(files) == 1 and all(vm['boot_ms'] > 0 and vm['ready_ms'] is None for vm in started)
        assert not {n for n in os.listdir('/dev/shm') if n.startswith('glassbox-warm-')}
        for name in names[:2]:
            console(name, f'echo I am {name} | tr a-z A-Z')
            assert wait_until(lambda: f'I AM {name}'.upper().encode() in (state_dir(name) / 'serial.log').read_bytes())
        answer('reset', names[0])  # it has its kernel, and boots
        assert wait_until(lambda: b'glassbox guest: ready' in (state_dir(names[0]) / 'serial.log').read_bytes(), 120)
        # Another machine has a copy of its own, and one that is damaged is not used again.
        files[0].write_bytes(files[0].read_bytes()[:100000])
        assert answer('run', '--warm', '--detach', '--name', names[2], env=env)['ready_ms'] > 0
        answer('run', '--warm', '--detach', '--name', names[3], '--mem', '64M', env=env)
        assert len([f for f in folder.iterdir() if f.stat().st_size > 1 << 20]) == 1
        fails('run', '--warm', '--detach', '--name', unique('no'), '--disk', files[0].parent / 'x', env=env, status=2)
    finally:
        for name in names:
            glassbox('stop', name, '--force', check=False)
    assert all(wait_until(lambda: nothing_left(name)) for name in names)
