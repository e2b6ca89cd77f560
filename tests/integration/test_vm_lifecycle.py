"""A VM's life as a user sees it, and everything that can go wrong in it."""
import json
import os
import pathlib
import signal
import stat
import subprocess
import tempfile
import time

import pytest

from vm_helper import (GLASSBOX, GUEST, PROGRAMS, Qmp, answer, console, demo_vm, fails, glassbox, kill, nothing_left, process_alive,
                       shm_files, state_dir, unique, wait_until)

pytestmark = pytest.mark.skipif(not GUEST.exists(), reason='no demo guest; tools/guest makes it')


def test_start_list_read_pause_stop():
    with demo_vm('life') as vm:
        name = vm['name']
        assert vm['boot_ms'] > 0 and vm['accel'] in ('tcg', 'kvm')
        assert stat.S_IMODE(os.stat(f'/dev/shm/glassbox-{name}-ram').st_mode) == 0o600
        assert stat.S_IMODE(os.stat(state_dir(name)).st_mode) == 0o700
        status = answer('status', name)
        assert status['state'] == 'running' and status['ram_bytes'] == 128 << 20
        assert status['kernel_release'] and not status['doubts']
        assert any(v['name'] == name and v['ours'] for v in answer('ls'))
        assert answer('status', vm['pid'])['name'] == name

        assert answer('pause', name)['state'] == 'paused'
        assert wait_until(lambda: answer('status', name)['state'] == 'paused')
        before = answer('read', name, '0x1000', '1M')['bytes']
        truth = Qmp(state_dir(name) / 'qmp.sock')
        assert truth.command('query-status')['status'] == 'paused'
        truth.close()
        assert answer('read', name, '0x1000', '1M')['bytes'] == before
        answer('resume', name)
        assert wait_until(lambda: answer('status', name)['state'] == 'running')
        assert 'glassbox guest: ready' in (state_dir(name) / 'serial.log').read_text(errors='replace')
        fails('run', '--detach', '--name', name, words='running already')
        assert answer('stop', name)['state'] == 'stopped'
        assert nothing_left(name) and not process_alive(vm['pid'])
        fails('status', name, words='no VM')


def test_reset_boots_again():
    with demo_vm('reset') as vm:
        log = state_dir(vm['name']) / 'serial.log'
        answer('reset', vm['name'])
        assert wait_until(lambda: log.read_bytes().count(b'glassbox guest: ready') == 2, 90)
        assert answer('status', vm['name'])['resets'] == 1


def test_memory_is_checked_at_its_ends():
    with demo_vm('ends') as vm:
        assert answer('read', vm['name'], hex((128 << 20) - 16), 16)['length'] == 16
        fails('read', vm['name'], hex((128 << 20) - 15), 16, words='RAM')
        fails('read', vm['name'], '0xfffffffffffff', 16, words='RAM')
        fails('read', vm['name'], '-1', 16, status=2)
        fails('read', vm['name'], '0', '1G', status=2)


def test_kernel_panic_is_told():
    with demo_vm('panic', '--append', 'console=ttyS0 quiet panic=0 cryptomgr.notests') as vm:
        console(vm['name'], 'echo c > /proc/sysrq-trigger')
        assert wait_until(lambda: answer('status', vm['name'])['state'] == 'panicked', 30)


def test_qemu_told_to_end_leaves_nothing():
    with demo_vm('off') as vm:
        kill(vm['pid'], signal.SIGTERM)
        assert wait_until(lambda: nothing_left(vm['name']))


@pytest.mark.parametrize('arguments,status,words', [
    (['--kernel', '/nonexistent/vmlinuz'], 1, 'vmlinuz'),
    (['--kernel', '/etc/passwd'], 1, 'QEMU'),
    (['--initrd', '/etc/passwd', '--disk', '/etc/passwd'], 2, '--kernel'),
    (['--disk', '/nonexistent/disk'], 1, 'disk'),
    (['--disk', '/dev'], 1, 'folder'),
    (['--iso', '/dev/null'], 1, 'disk image'),
    (['--frobnicate'], 2, 'frobnicate'),
    (['--accel', 'xen'], 2, 'accel'),
    (['--mem', '0'], 2, 'mem'),
    (['--mem', '100K'], 2, 'mem'),
    (['--mem', '900T'], 1, 'room'),
    (['--cpus', '0'], 2, 'cpus'),
    (['--name', '../x'], 2, 'name'),
    (['--name', '123'], 2, 'name'),
    (['--profile', 'nothing'], 1, 'nothing'),
    (['stray'], 2, 'stray'),
    (['--', '-no-such-option'], 1, 'no-such-option'),
])
def test_wrong_start(arguments, status, words):
    before = set(os.listdir('/dev/shm'))
    name = [] if '--name' in arguments else ['--name', unique('wrong')]
    fails('run', '--detach', *name, *arguments, status=status, words=words)
    if name:
        assert nothing_left(name[1])
    assert not {f for f in set(os.listdir('/dev/shm')) - before if f'glassbox-t{os.getpid()}' in f}


@pytest.fixture
def open_folder():
    """A folder that QEMU's own user may enter, unlike tmp_path."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield pathlib.Path(folder)


def test_a_qemu_that_cannot_run_is_noticed_at_once(open_folder):
    wrapper = open_folder / 'qemu'
    wrapper.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "QEMU emulator version 11.1.2" && exit\n'
                       'echo "qemu: where is my library?" >&2; exit 127\n')
    wrapper.chmod(0o755)
    name = unique('wrapper')
    # A second VM keeps descriptors of its own: the end of the first must be seen all the same.
    with demo_vm('bystander'):
        before = time.monotonic()
        fails('run', '--detach', '--name', name, env={**os.environ, 'GLASSBOX_QEMU': str(wrapper)},
              words='QEMU did not start: where is my library?')
        assert time.monotonic() - before < 25  # it is told, not waited for: that would take 30
    assert nothing_left(name)


def test_foreground_killed_hard_takes_the_vm_along():
    name = unique('fg')
    run = subprocess.Popen([GLASSBOX, 'run', '--name', name], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE)
    assert wait_until(lambda: (state_dir(name) / 'vm.json').exists()
                      and json.loads((state_dir(name) / 'vm.json').read_text()).get('state') == 'running', 30)
    pid = json.loads((state_dir(name) / 'vm.json').read_text())['pid']
    run.kill()
    run.communicate()
    assert wait_until(lambda: not process_alive(pid) and nothing_left(name))


def test_foreground_ends_at_sigterm():
    name = unique('term')
    run = subprocess.Popen([GLASSBOX, 'run', '--name', name], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE)
    assert wait_until(lambda: b'glassbox guest: userspace' in
                      ((state_dir(name) / 'serial.log').read_bytes() if (state_dir(name) / 'serial.log').exists() else b''), 60)
    run.terminate()
    out, err = run.communicate(timeout=30)
    assert run.returncode == 0 and b'first userspace line after' in err and nothing_left(name)


def test_keeper_killed_hard_next_command_cleans_up():
    with demo_vm('keeper') as vm:
        keeper = answer('status', vm['name'])['keeper']
        kill(keeper)
        assert wait_until(lambda: not process_alive(vm['pid'])), 'QEMU outlived its keeper'
        assert shm_files(vm['name'])
        glassbox('ls')
        assert nothing_left(vm['name'])


def test_qemu_killed_hard():
    with demo_vm('qemu') as vm:
        kill(vm['pid'])
        assert wait_until(lambda: nothing_left(vm['name']))
        fails('ps', vm['name'], words='no VM')


def test_qemu_killed_during_a_snapshot(tmp_path):
    with demo_vm('mid') as vm:
        done = subprocess.Popen([GLASSBOX, 'snapshot', vm['name'], tmp_path / 'x'], stderr=subprocess.PIPE)
        time.sleep(0.03)
        kill(vm['pid'])
        err = done.communicate(timeout=30)[1].decode()
        assert done.returncode in (0, 1) and len(err.splitlines()) <= 1
        assert list(tmp_path.iterdir()) == ([] if done.returncode else [tmp_path / 'x'])


def test_ram_file_cut_under_the_mapping():
    with demo_vm('cut') as vm:
        name = vm['name']
        answer('pause', name)  # or QEMU itself trips over the missing memory
        os.truncate(f'/dev/shm/glassbox-{name}-ram', 1 << 20)
        for call in (['ps', name], ['read', name, '0x100000', 4096], ['status', name], ['symbols', name, 'init_task']):
            done = glassbox(*call, check=False)
            assert done.returncode in (0, 1) and len(done.stderr.splitlines()) <= 1, (call, done)
        fails('read', name, '0x4000000', 4096)


def test_dead_and_lying_monitors():
    import socket
    import threading
    with demo_vm('mon') as vm:
        path = state_dir(vm['name']) / 'qmp.sock'
        os.rename(path, f'{path}.away')
        fails('pause', vm['name'], words='monitor')
        liar = socket.socket(socket.AF_UNIX)
        liar.bind(str(path))
        liar.listen(8)

        def lie():
            for text in (b'', b'hello\n', b'{"QMP": {}}\n[]\n', b'{"QMP": {}}\n'):
                client = liar.accept()[0]
                client.sendall(text)
                if text.endswith(b'{}}\n'):
                    time.sleep(0.1)
                client.close()
        thread = threading.Thread(target=lie, daemon=True)
        thread.start()
        for _ in range(4):
            fails('pause', vm['name'], words='QEMU')
        liar.close()
        os.unlink(path)
        os.rename(f'{path}.away', path)
        assert answer('pause', vm['name'])['state'] == 'paused'


def test_two_processes_see_one_vm():
    with demo_vm('two') as vm:
        calls = [subprocess.Popen([GLASSBOX, 'ps', vm['name'], '--json'], stdout=subprocess.PIPE) for _ in range(4)]
        answers = [json.loads(c.communicate(timeout=60)[0]) for c in calls]
        assert all({p['pid'] for p in a} == {p['pid'] for p in answers[0]} for a in answers)


def test_isolation_is_what_status_says():
    with demo_vm('iso') as vm:
        told = answer('status', vm['name'])['isolation']
        lines = pathlib.Path(f'/proc/{vm["pid"]}/status').read_text().splitlines()
        field = {line.split(':')[0]: line.split(':')[1].split() for line in lines}
        assert field['NoNewPrivs'] == ['1'] and field['Seccomp'] == ['2']
        if told['uid'] is not None:
            assert field['Uid'] == [str(told['uid'])] * 4 and int(field['CapEff'][0], 16) == 0
        if told['own_files'] and os.geteuid() == 0:
            assert not pathlib.Path(f'/proc/{vm["pid"]}/root/etc/passwd').exists()
        if told['own_network']:
            assert os.readlink(f'/proc/{vm["pid"]}/ns/net') != os.readlink('/proc/self/ns/net')


def test_audit_log_has_every_call():
    with demo_vm('audit') as vm:
        glassbox('ps', vm['name'])
        fails('read', vm['name'], '0xfffffffff000', 16)
        log = state_dir(vm['name']) / 'audit.log'
        assert stat.S_IMODE(log.stat().st_mode) == 0o600
        entries = [json.loads(line) for line in log.read_text().splitlines()]
        assert [e['call'] for e in entries][-2:] == ['ps', 'read']
        assert entries[-2]['outcome'] == 'ok' and entries[-1]['outcome'] != 'ok'
        assert all(e['vm'] == vm['name'] and e['user'].startswith('uid ') and e['time'] for e in entries)


def test_snapshot_and_restore(tmp_path):
    file = tmp_path / 'demo.gbs'
    with demo_vm('snap') as vm:
        console(vm['name'], 'echo remember > /tmp/mark')
        saved = answer('snapshot', vm['name'], file)
        assert saved['consistent'] and saved['pause_ms'] > 0
        assert answer('status', vm['name'])['state'] == 'running'
        before = {p['pid'] for p in answer('ps', vm['name']) if not p['kthread']}
    name = unique('back')
    try:
        back = answer('restore', file, '--name', name)
        assert back['boot_ms'] > 0
        assert {p['pid'] for p in answer('ps', name) if not p['kthread']} == before
        console(name, 'cat /tmp/mark')
        assert wait_until(lambda: b'remember' in (state_dir(name) / 'serial.log').read_bytes(), 20)
        answer('reset', name)  # boots the kernel that the snapshot's machine booted
        assert wait_until(lambda: (state_dir(name) / 'serial.log').read_bytes().count(b'glassbox guest: userspace'), 60)
    finally:
        glassbox('stop', name, '--force', check=False)
    whole = file.read_bytes()
    for cut in (0, 100, 5000, len(whole) - 1):
        (tmp_path / 'cut').write_bytes(whole[:cut])
        fails('restore', tmp_path / 'cut', '--name', unique('cut'))
        assert nothing_left(unique('cut'))


def test_a_dump_is_consistent_and_readable(tmp_path):
    with demo_vm('dump') as vm:
        made = answer('dump', vm['name'], '-o', tmp_path / 'raw')
        assert made['consistent'] and made['format'] == 'raw'
        for ending, form in (('lime', 'lime'), ('elf', 'elf'), ('core', 'elf')):
            assert answer('dump', vm['name'], '-o', tmp_path / f'x.{ending}')['format'] == form
        live = {p['pid'] for p in answer('ps', vm['name']) if not p['kthread']}
    assert {p['pid'] for p in answer('ps', '--file', tmp_path / 'raw') if not p['kthread']} == live


@pytest.mark.parametrize('source,rounds', [('protect', 100), ('hash', 25), pytest.param('protect', 500, marks=pytest.mark.full),
                                           pytest.param('hash', 300, marks=pytest.mark.full)])
def test_no_written_page_is_missed(source, rounds):
    with demo_vm('dirty') as vm:
        if source == 'protect' and not answer('status', vm['name'])['dirty_source'].startswith('write-protect'):
            pytest.skip('this QEMU takes no plugin')
        answer('reset', vm['name'])
        done = subprocess.run([PROGRAMS / 'dirty_check', vm['name'], source, str(rounds), '5'], stdout=subprocess.PIPE,
                              timeout=300)
        result = json.loads(done.stdout)
        assert done.returncode == 0 and result['missed'] == 0 and result['reported'] > 100, result


def test_disks_and_their_locks(tmp_path):
    disk = tmp_path / 'disk.img'
    disk.write_bytes(bytes(8 << 20))
    with demo_vm('disk', '--profile', '6.1', '--disk', disk) as vm:
        console(vm['name'], 'echo written-by-guest > /dev/vda; sync')
        assert wait_until(lambda: disk.read_bytes().startswith(b'written-by-guest'), 20)
        fails('run', '--detach', '--name', unique('disk2'), '--profile', '6.1', '--disk', disk, words='in use')
        assert vm['boot_ms'] > 0
