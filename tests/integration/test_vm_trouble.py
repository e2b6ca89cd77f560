"""Many VMs, one of them mad; and failures injected while something is under way."""
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from vm_helper import (GLASSBOX, GUEST, answer, console, demo_vm, fails, glassbox, kill, nothing_left, process_alive, shm_files,
                       state_dir, unique, wait_until)

pytestmark = pytest.mark.skipif(not GUEST.exists(), reason='no demo guest; tools/guest makes it')
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason='needs root')
MAD = ('mount -t tmpfs -o size=40m x /mnt; while :; do dd if=/dev/urandom of=/mnt/d bs=64k count=500 conv=notrunc 2>/dev/null; '
       'done &')


def processes(name):
    return {(p['pid'], p['comm']) for p in answer('ps', name) if not p['kthread']}


@pytest.mark.parametrize('count', [4, pytest.param(16, marks=pytest.mark.full)])
def test_one_goes_mad_and_the_others_go_on(count):
    names = [unique(f'm{i}') for i in range(count)]
    with contextlib.ExitStack() as stack:
        vms = [stack.enter_context(demo_vm(f'm{i}', '--warm', '--mem', '64M')) for i in range(count)]
        mad, others = names[0], names[1:]
        assert {v['name'] for v in answer('ls') if v['ours']} >= set(names)
        before = {name: processes(name) for name in others}
        uids = [answer('status', name)['isolation']['uid'] for name in names]
        assert None in uids or len(set(uids)) == count
        console(mad, MAD)
        time.sleep(1)
        assert answer('delta', mad, '--wait-ms', 200)
        for i, name in enumerate(others):
            console(name, f'echo here is $(({i} + 1000))')
        console(mad, 'echo c > /proc/sysrq-trigger')
        assert wait_until(lambda: answer('status', mad).get('panicked'), 300)  # it may have reset itself since
        kill(vms[0]['pid'])
        assert wait_until(lambda: nothing_left(mad))
        for i, name in enumerate(others):
            assert wait_until(lambda: f'here is {i + 1000}'.encode() in (state_dir(name) / 'serial.log').read_bytes(), 300)
            assert answer('status', name)['state'] == 'running' and processes(name) == before[name]


def cpu_seconds(pid):
    fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def test_a_vm_keeps_to_its_share_of_the_processor():
    with demo_vm('share', '--warm', '--cpu-limit', '20') as vm:
        if not answer('status', vm['name'])['isolation']['limits'].startswith('cgroup'):
            pytest.skip('no control groups here')
        console(vm['name'], 'while :; do :; done &')
        start, used = time.monotonic(), cpu_seconds(vm['pid'])
        time.sleep(3)
        assert cpu_seconds(vm['pid']) - used < 0.3 * (time.monotonic() - start)


def test_qemu_killed_at_any_moment_of_a_snapshot(tmp_path):
    for i in range(4):
        with demo_vm(f'kill{i}', '--warm', '--mem', '64M') as vm:
            call = [['snapshot', vm['name'], tmp_path / 'x'], ['dump', vm['name'], '-o', tmp_path / 'x']][i % 2]
            done = subprocess.Popen([GLASSBOX, *call], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            time.sleep(random.uniform(0, 0.15))
            kill(vm['pid'])
            err = done.communicate(timeout=60)[1].decode()
            assert done.returncode in (0, 1) and len(err.splitlines()) == done.returncode, err
            assert list(tmp_path.iterdir()) == ([] if done.returncode else [tmp_path / 'x'])
            (tmp_path / 'x').unlink(missing_ok=True)
            assert wait_until(lambda: nothing_left(vm['name']))


@contextlib.contextmanager
def small_shm(mebibytes):
    """A /dev/shm of so much in a mount namespace; gives what to put in front of a command."""
    script = f'mount -t tmpfs -o size={mebibytes}m tmpfs /dev/shm && echo && exec sleep 1000'
    holder = subprocess.Popen(['unshare', '-m', '--propagation', 'private', 'sh', '-c', script], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline()
        yield ['nsenter', '-t', str(holder.pid), '-m', '-r', f'--wd={os.getcwd()}', '--']
    finally:
        holder.kill()
        holder.communicate()


@needs_root
def test_a_dev_shm_that_fills_up_while_a_vm_runs(tmp_path):
    name = unique('full')
    with small_shm(100) as inside:
        def inner(*words):
            return subprocess.run([*inside, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)

        started = inner(GLASSBOX, 'run', '--detach', '--name', name, '--mem', '64M', '--json')
        assert started.returncode == 0, started.stderr
        pid = json.loads(started.stdout)['pid']
        try:
            inner('dd', 'if=/dev/zero', 'of=/dev/shm/filler', 'bs=64k')
            # Looking needs no room, and a copy goes where it is told to.
            for call in (['ps', name], ['read', name, '0x3000000', '1M'], ['search', name, 'glassbox'], ['status', name],
                         ['snapshot', name, tmp_path / 'gbs'], ['dump', name, '-o', tmp_path / 'raw']):
                done = inner(GLASSBOX, *call)
                assert done.returncode == 0, (call, done.stderr)
            done = inner(GLASSBOX, 'snapshot', name, '/dev/shm/copy')
            assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and 'No space' in done.stderr, done.stderr
            assert sorted(inner('ls', '/dev/shm').stdout.split()) == ['filler'] + sorted(
                f'glassbox-{name}-{kind}' for kind in ('pixel', 'ram', 'trace'))
            done = inner(GLASSBOX, 'run', '--detach', '--name', f'{name}2', '--mem', '64M')
            assert done.returncode == 1 and '/dev/shm' in done.stderr
            # The guest asks for pages that cannot be had: QEMU ends, and is said to have ended.
            console(name, 'mount -t tmpfs -o size=40m x /mnt; dd if=/dev/zero of=/mnt/d bs=64k')
            assert wait_until(lambda: not process_alive(pid), 60)
            assert wait_until(lambda: inner('ls', '/dev/shm').stdout.split() == ['filler'])
            assert wait_until(lambda: not state_dir(name).exists())
        finally:
            kill(pid)


class LyingMonitor:
    """Stands where a VM's monitor is. `lines` answers a command's name and id with bytes; None hangs up."""

    def __init__(self, name, answers):
        self.path = state_dir(name) / 'qmp.sock'
        self.answers = answers
        os.rename(self.path, f'{self.path}.away')
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(self.path))
        self.socket.listen(8)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError, ValueError):
            while True:
                client = self.socket.accept()[0]
                with client, client.makefile('rw') as file:
                    file.write('{"QMP": {}}\n')
                    file.flush()
                    for line in file:
                        said = self.answers(json.loads(line))
                        if said is None:
                            break
                        file.write(said)
                        file.flush()

    def close(self):
        self.socket.close()
        os.unlink(self.path)
        os.rename(f'{self.path}.away', self.path)


def returns(request, value='{}'):
    return f'{{"return": {value}, "id": {request["id"]}}}\n'


MID_COMMAND = {
    'hangs up': lambda r: None if r['execute'] in ('stop', 'query-status') else returns(r),
    'garbage': lambda r: '\x00{[}\n' if r['execute'] in ('stop', 'query-status') else returns(r),
    'a list': lambda r: '[1]\n' if r['execute'] in ('stop', 'query-status') else returns(r),
    'no answer in it': lambda r: f'{{"id": {r["id"]}}}\n' if r['execute'] in ('stop', 'query-status') else returns(r),
    'half a line, then the end': lambda r: returns(r) if r['execute'] == 'qmp_capabilities' else None,
    'hangs up while paused': lambda r: None if r['execute'].startswith('migrate') else returns(r, '{"running": true}'),
    'refuses': lambda r: returns(r, '{"running": true}') if r['execute'] in ('qmp_capabilities', 'query-status')
    else f'{{"error": {{"desc": "no such thing"}}, "id": {r["id"]}}}\n',
}


def test_a_monitor_that_fails_in_the_middle(tmp_path):
    with demo_vm('mid', '--warm', '--mem', '64M') as vm:
        for what, answers in MID_COMMAND.items():
            liar = LyingMonitor(vm['name'], answers)
            try:
                fails('snapshot', vm['name'], tmp_path / 'x', words='QEMU')
                assert not list(tmp_path.iterdir()), what
                if 'paused' not in what:
                    fails('pause', vm['name'], words='QEMU')
                # What needs no monitor works without one.
                assert answer('delta', vm['name'], '--wait-ms', 1) is not None
            finally:
                liar.close()
        assert answer('pause', vm['name'])['state'] == 'paused'
        answer('resume', vm['name'])


def test_several_at_work_on_one_vm(tmp_path):
    with demo_vm('many', '--warm', '--mem', '64M') as vm:
        calls = [['snapshot', vm['name'], tmp_path / 'a'], ['snapshot', vm['name'], tmp_path / 'b'],
                 ['dump', vm['name'], '-o', tmp_path / 'c'], ['dump', vm['name'], '-o', tmp_path / 'd'],
                 ['delta', vm['name'], '--wait-ms', '20'], ['ps', vm['name']]]
        running = [subprocess.Popen([GLASSBOX, *map(str, c)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for c in calls]
        ended = [(c, r.communicate(timeout=120)[1], r.returncode) for c, r in zip(calls, running)]
        assert all(code == 0 for _, _, code in ended), ended
        assert answer('status', vm['name'])['state'] == 'running'
        assert len({len(answer('ps', '--file', tmp_path / f)) for f in 'abcd'}) == 1


def test_a_reused_pid_is_not_taken_for_the_vm():
    bystander = subprocess.Popen(['sleep', '1000'])
    name = unique('reuse')
    try:
        with demo_vm('reuse', '--warm') as vm:
            file = state_dir(name) / 'vm.json'
            keeper = answer('status', name)['keeper']
            os.kill(keeper, signal.SIGSTOP)
            true = json.loads(file.read_text())
            file.write_text(json.dumps({**true, 'pid': bystander.pid}))
            for call in ('ps', 'status', 'pause'):
                fails(call, name, words='starting or ending')
            glassbox('stop', name, '--force', check=False)
            assert bystander.poll() is None and process_alive(vm['pid'])
            os.kill(keeper, signal.SIGKILL)
            assert wait_until(lambda: not process_alive(vm['pid']))
            glassbox('ls')  # sweeps up what the keeper left
            assert nothing_left(name) and bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@needs_root
def test_another_user_is_told_so(tmp_path):
    stranger = ['setpriv', '--reuid', '65533', '--regid', '65533', '--clear-groups', 'env', '-u', 'XDG_RUNTIME_DIR']
    if not shutil.which('setpriv') or subprocess.run([*stranger, GLASSBOX, 'help'], stdout=subprocess.DEVNULL,
                                                     stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip('another user cannot run the program here')
    with demo_vm('private', '--warm') as vm:
        for call in (['ps', vm['name']], ['attach', str(vm['pid'])], ['ps', str(vm['pid'])], ['stop', vm['name']]):
            done = subprocess.run([*stranger, GLASSBOX, *call], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
            assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and not done.stdout, (call, done)
        assert answer('status', vm['name'])['state'] == 'running'
    shutil.rmtree('/tmp/glassbox-65533', ignore_errors=True)


@pytest.mark.parametrize('victims', [('run', 'keeper', 'qemu'), ('keeper', 'qemu'), ('run', 'keeper'), ('qemu', 'run')],
                         ids='+'.join)
def test_whatever_is_killed_nothing_stays(victims):
    name = unique('rip')
    run = subprocess.Popen([GLASSBOX, 'run', '--name', name, '--warm'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
    assert wait_until(lambda: any(v['name'] == name and v['state'] == 'running' for v in answer('ls')), 60)
    told = json.loads((state_dir(name) / 'vm.json').read_text())
    pids = {'run': run.pid, 'keeper': told['keeper'], 'qemu': told['pid']}
    for victim in victims:
        kill(pids[victim])
    assert wait_until(lambda: not process_alive(pids['qemu']))
    run.communicate(timeout=60)
    glassbox('ls')
    assert wait_until(lambda: nothing_left(name)), shm_files(name)
