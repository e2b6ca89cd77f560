"""QEMUs that somebody else started, in every way that memory is given to them."""
import os
import re

import pytest

from vm_helper import (GUEST, PROGRAMS, Qmp, answer, fails, foreign_qemu, process_alive, system_qemu, unique)
import subprocess

pytestmark = pytest.mark.skipif(not GUEST.exists() or not system_qemu(), reason='no demo guest or no QEMU')

MEMFD = '{"qom-type":"memory-backend-memfd","id":"pc.ram","share":true,"size":201326592}'
WAYS = {
    'private-q35': (['-machine', 'q35', '-m', '192'], 'process'),
    'private-pc': (['-machine', 'pc', '-m', '192'], 'process'),
    'private-microvm': (['-machine', 'microvm,acpi=off', '-m', '192'], 'process'),
    'memfd': (['-machine', 'q35,memory-backend=r', '-m', '192', '-object', 'memory-backend-memfd,id=r,size=192M'], 'memfd'),
    'libvirt': (['-name', 'guest=deb,debug-threads=on', '-machine', 'pc-q35-7.2,memory-backend=pc.ram', '-m',
                 'size=196608k,slots=2,maxmem=1G', '-object', MEMFD], 'memfd'),
    'file': (['-machine', 'pc,memory-backend=r', '-m', '192', '-object',
              'memory-backend-file,id=r,size=192M,mem-path={tmp}/ram,share=on'], 'shared file'),
    'numa': (['-machine', 'q35', '-m', '192', '-smp', '2', '-object', 'memory-backend-memfd,id=a,size=64M', '-object',
              'memory-backend-ram,id=b,size=128M', '-numa', 'node,memdev=a,cpus=0', '-numa', 'node,memdev=b,cpus=1'],
             'process'),
}


@pytest.mark.parametrize('with_qmp', [False, True])
@pytest.mark.parametrize('way', sorted(WAYS))
def test_memory_is_found_and_true(tmp_path, way, with_qmp):
    if with_qmp and way not in ('private-pc', 'memfd', 'numa'):
        pytest.skip('the monitor is tried on three of the ways')
    words, access = WAYS[way]
    sock = tmp_path / 'qmp'
    # A second monitor lets the test ask QEMU itself; its name does not look like one to glassbox.
    args = [w.replace('{tmp}', str(tmp_path)) for w in words]
    args += ['-chardev', f'socket,id=x,path={tmp_path}/second,server=on,wait=off', '-mon', 'chardev=x,mode=control']
    if with_qmp:
        args += ['-qmp', f'unix:{sock},server=on,wait=off']
    with foreign_qemu(tmp_path, *args) as qemu:
        found = answer('attach', qemu.pid)
        assert found['access'].startswith(access)
        assert found['layout_source'].startswith("QEMU's monitor" if with_qmp else 'the rules')
        assert any(vm['pid'] == qemu.pid and not vm['ours'] for vm in answer('ls'))
        assert answer('status', qemu.pid)['kernel_release'].startswith('6.1.')
        truth = Qmp(tmp_path / 'second')
        truth.command('stop')
        for address in (0x1000000, 0x1234000, 0x7000000, 0xbfff000):
            file = tmp_path / 'bytes'
            truth.command('pmemsave', val=address, size=4096, filename=str(file))
            assert answer('read', qemu.pid, hex(address), 4096)['bytes'] == file.read_bytes().hex()
        truth.command('cont')
        if way in ('memfd', 'private-pc') and os.geteuid() == 0:  # stopped by its threads, monitor or not
            made = answer('dump', qemu.pid, '-o', tmp_path / 'dump')
            assert made['consistent'] and made['memory_bytes'] == found['ram_bytes']
            assert answer('ps', '--file', tmp_path / 'dump')
        assert truth.command('query-status')['running']
        truth.close()
        assert process_alive(qemu.pid)


def test_ram_above_the_pci_hole_and_a_dimm(tmp_path):
    args = ['-machine', 'q35,memory-backend=r', '-m', '3G,slots=2,maxmem=6G', '-object', 'memory-backend-memfd,id=r,size=3G',
            '-object', 'memory-backend-memfd,id=d,size=128M', '-device', 'pc-dimm,memdev=d', '-qmp',
            f'unix:{tmp_path}/qmp,server=on,wait=off']
    with foreign_qemu(tmp_path, *args) as qemu:
        ranges = [(int(r['start'], 16), int(r['end'], 16)) for r in answer('status', qemu.pid)['memory']]
        assert (0x100000000, 0x140000000) in ranges and (0x140000000, 0x148000000) in ranges
        assert max(end for start, end in ranges if start < 1 << 32) == 0x80000000
        truth = Qmp(tmp_path / 'qmp')
        truth.command('stop')
        truth.command('pmemsave', val=0x13ffff000, size=4096, filename=str(tmp_path / 'bytes'))
        truth.close()
        assert answer('read', qemu.pid, '0x13ffff000', 4096)['bytes'] == (tmp_path / 'bytes').read_bytes().hex()
        fails('read', qemu.pid, '0x80000000', 16, words='RAM')


def test_dirty_pages_of_private_memory(tmp_path):
    args = ['-machine', 'q35', '-m', '128', '-qmp', f'unix:{tmp_path}/a,server=on,wait=off']
    with foreign_qemu(tmp_path, *args) as qemu:
        done = subprocess.run([PROGRAMS / 'dirty_check', str(qemu.pid), 'hash', '10', '20'], stdout=subprocess.PIPE, text=True)
        assert done.returncode == 0 and re.search(r'"missed": 0,', done.stdout), done.stdout


def test_what_is_no_qemu():
    fails('attach', os.getpid(), words='not a QEMU')
    fails('attach', 999999999, words='not a QEMU')
    fails('attach', unique('nothing'), words='no VM')
