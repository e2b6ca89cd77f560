"""Offload while things happen to the guest that its loops do not expect: its clock jumps, it is stopped, it swaps, it is
saved and restored, the learner and the compiler of kernels are killed. The same checksums as without QEMU, always."""
import base64
import contextlib
import glob
import gzip
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

from plugin_guest import (BUILD, Guest, compile_kernel, compile_program, default_profile, initrd_file, learned_library, loop_of,
                          missing)

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))
GLASSBOX = os.path.join(BUILD, 'glassbox')
LEARNER = os.path.join(BUILD, 'src/learn/glassbox-learner')
LOOPS = ('xor', 'sum', 'sum_bytes', 'saxpy', 'fill', 'copy', 'bswap', 'grey', 'threshold', 'max', 'min', 'adler', 'crc',
         'mandelbrot', 'chacha', 'matmul', 'bits', 'chacha_rows')
XOR = {'in_gpr': ('rax', 'rcx', 'rdx', 'rsi', 'rdi'), 'out_gpr': ('rax', 'r8')}
ALWAYS, RACES = 1, 8
needs_musl = pytest.mark.skipif(not shutil.which('musl-gcc'), reason='no musl-gcc')
SOAK_MINUTES = float(os.environ.get('GLASSBOX_SOAK_MINUTES', '20'))


# --- the plugin alone, one kernel written by hand

@pytest.fixture(scope='module')
def xor():
    return compile_kernel('xor') + (loop_of('loop_xor', r'xor +\(%rdx,%rax,4\),%r8d'),)


class Monitor:
    """QEMU's monitor."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.file = self.socket.makefile('rw')
        self.file.readline()
        self.ask('qmp_capabilities')

    def ask(self, command):
        self.file.write(json.dumps({'execute': command}) + '\n')
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline())
            if 'event' not in answer:
                assert 'return' in answer, answer
                return answer['return']


@pytest.fixture
def native():
    """What the guest's workload program prints when the host runs it."""
    with tempfile.TemporaryDirectory(prefix='glassbox-test-') as work:
        for profile in ('6.1', 'default'):
            with open(f'{work}/{profile}', 'wb') as f:
                f.write(initrd_file('bin/workload', profile))
            os.chmod(f'{work}/{profile}', 0o755)
        known = {}

        def checksum(name, size, reps, profile='6.1'):
            key = (name, size, reps, profile)
            if key not in known:
                text = subprocess.run([f'{work}/{profile}', name, str(size), str(reps)], stdout=subprocess.PIPE, check=True,
                                      text=True).stdout
                known[key] = re.search(r'checksum=(\w+)', text).group(1)
            return known[key]
        yield checksum


def test_clock_jumps_and_stops(xor, native):
    """The clock is set by hours, and the guest stands still for a while, in the middle of a kernel."""
    with tempfile.TemporaryDirectory(prefix='glassbox-test-') as work, \
            Guest(qemu=('-qmp', f'unix:{work}/qmp,server=on,wait=off')) as g:
        monitor = Monitor(f'{work}/qmp')
        g.control.kernel_put(0, *xor, **XOR)
        g.control.request(offload=ALWAYS)
        g.send('workload xor 1048576 20000 >/tmp/sum & echo')
        for jump in ('2001-02-03 04:05:06', '2030-01-01 00:00:00', '1999-12-31 23:59:59'):
            g.run(f'date -s "{jump}"')
            monitor.ask('stop')
            time.sleep(1)
            before = g.control.kernel(0)['iterations']
            time.sleep(0.2)
            assert g.control.kernel(0)['iterations'] == before, 'it stands still'
            monitor.ask('cont')
        text = g.run('wait; cat /tmp/sum')
        assert re.search(r'checksum=(\w+)', text).group(1) == native('xor', 1 << 20, 20000)
        assert g.control.kernel(0)['iterations'] > 10000 * (1 << 18)


# --- the whole chain, kernels that the learner made

def ask(*args):
    return json.loads(subprocess.run([GLASSBOX, *args, '--json'], check=True, stdout=subprocess.PIPE, timeout=300).stdout)


@pytest.fixture(scope='module')
def library():
    with learned_library(LOOPS) as (kernels, _):
        assert len(glob.glob(kernels + '/*.json')) >= 8
        yield kernels


class Shell:
    """The console of a VM that glassbox started."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(os.path.join(os.environ.get('XDG_RUNTIME_DIR', '/run'), 'glassbox', name, 'console.sock'))
        self.socket.settimeout(600)
        self.text = b''

    def run(self, line):
        mark = f'm{time.monotonic_ns()}'
        self.socket.sendall(f'{line}; echo {mark[:3]}""{mark[3:]}\n'.encode())
        while mark.encode() + b'\r\n' not in self.text:
            more = self.socket.recv(65536)
            assert more, 'the console ended'
            self.text += more
        before, self.text = self.text.split(mark.encode() + b'\r\n', 1)
        return before.decode(errors='replace')


@contextlib.contextmanager
def stopped(name):
    """A VM of this name is gone afterwards."""
    try:
        yield name
    finally:
        subprocess.run([GLASSBOX, 'stop', name, '--force'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)


@contextlib.contextmanager
def running(cpus=1, *more):
    with stopped(f'fire{os.getpid()}x{time.monotonic_ns() % 100000}') as name:
        subprocess.run([GLASSBOX, 'run', '--name', name, '--learn', '--detach', '--cpus', str(cpus), *more], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
        shell = Shell(name)
        shell.run('stty -echo; PS1=')
        yield name, shell


def checksum(text):
    found = re.findall(r'checksum=(\w+)', text)
    assert found, text
    return found[-1]


@pytest.mark.full
@needs_musl
@pytest.mark.parametrize('cpus', [1, 2])
def test_a_guest_that_swaps(library, native, cpus):
    """Arrays larger than memory: pages go to a disk and come back under the loop."""
    with tempfile.TemporaryDirectory(prefix='glassbox-test-') as work:
        with open(f'{work}/swap', 'wb') as f:
            f.truncate(512 << 20)
        with running(cpus, '--profile', default_profile(), '--mem', '128M', '--disk', f'{work}/swap') as (name, shell):
            assert 'bad' not in shell.run('mkswap /dev/vda >/dev/null && swapon /dev/vda || echo ba""d')
            ask('offload', name, 'on', '--library', library, '--gpu', 'off', '--listen', 'always')
            size, reps = 40 << 20, 4
            assert checksum(shell.run(f'workload xor {size} {reps}')) == native('xor', size, reps, 'default')
            swapped = int(re.search(r'pswpin (\d+)', shell.run('cat /proc/vmstat')).group(1))
            assert swapped > 1000
            state = ask('hybrid', name)['kernels']
            assert sum(k['iterations'] for k in state) > reps * size // 4 // 2, state
            install(shell, 'races', compile_program('races', libc=True))
            text = shell.run('/tmp/races')
            assert text.count('ok ') == RACES and 'bad' not in text, text


HEAVY = ('hash', 'orbit', 'picture')


@pytest.mark.full
@needs_musl
def test_much_arithmetic_on_the_service():
    """Loops of hundreds of instructions, learned from a program's file, by native code and by the service on a software device."""
    with tempfile.TemporaryDirectory(prefix='glassbox-test-') as work, running() as (name, shell):
        subprocess.run(['musl-gcc', '-O2', '-fno-tree-vectorize', '-static', '-fno-pie', '-no-pie',
                        os.path.join(os.path.dirname(__file__), 'programs/heavy.c'), '-o', work + '/heavy'], check=True)
        for loop in HEAVY:
            subprocess.run([LEARNER, '--library', work + '/kernels', '--function', f'loop_{loop}', work + '/heavy'],
                           stdout=subprocess.DEVNULL, check=True)
        with open(work + '/heavy', 'rb') as f:
            install(shell, 'heavy', f.read())
        truth = {loop: checksum(subprocess.run([work + '/heavy', loop, '1048576', '3'], stdout=subprocess.PIPE, check=True,
                                               text=True).stdout) for loop in HEAVY}
        for tier in ('native', 'gpu'):
            state = ask('offload', name, 'on', '--library', work + '/kernels', '--gpu', 'any', '--tier', tier)
            if state['pixel_cpu']['state'] == 'no device':
                pytest.skip('no Vulkan device')
            assert {loop: checksum(shell.run(f'/tmp/heavy {loop} 1048576 3')) for loop in truth} == truth
        kernels = ask('hybrid', name)['kernels']
        assert sum(k['iterations'] > k['gpu']['iterations'] > 100000 for k in kernels) == len(HEAVY), kernels


@pytest.mark.full
def test_saved_and_restored_while_offloading(library, native):
    """The saved guest goes on, and so does the restored one, where the kernel left it; offload can be switched on there."""
    with tempfile.TemporaryDirectory(prefix='glassbox-test-') as work, running() as (name, shell), \
            stopped(name + 'b') as second:
        truth = native('xor', 1 << 20, 30000, 'default')
        assert ask('offload', name, 'on', '--library', library, '--gpu', 'off')['offload'] == 'on'
        shell.run('workload xor 1048576 30000 >/tmp/sum & sleep 0.5')
        assert sum(k['iterations'] for k in ask('hybrid', name)['kernels']) > 0
        subprocess.run([GLASSBOX, 'snapshot', name, work + '/saved'], check=True, stdout=subprocess.DEVNULL, timeout=120)
        assert checksum(shell.run('wait; cat /tmp/sum')) == truth
        subprocess.run([GLASSBOX, 'restore', work + '/saved', '--name', second], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
        again = Shell(second)
        assert ask('hybrid', second)['offload'] == 'off'
        state = ask('offload', second, 'on', '--library', library, '--gpu', 'off')
        assert state['offload'] == 'on' and len(state['kernels']) >= 8
        assert checksum(again.run('wait; cat /tmp/sum')) == truth
        assert checksum(again.run('workload xor 1048576 3000')) == native('xor', 1 << 20, 3000, 'default')
        assert sum(k['iterations'] for k in ask('hybrid', second)['kernels']) > 3000 * (1 << 17)


def children_of(pid):
    found = {}
    for path in glob.glob('/proc/[0-9]*/stat'):
        with contextlib.suppress(OSError), open(path, encoding='utf-8', errors='replace') as f:
            name, rest = f.read().split('(', 1)[1].rsplit(')', 1)
            found.setdefault(int(rest.split()[1]), []).append((int(path.split('/')[2]), name))
    return found.get(pid, [])


def kill_child(process, word, seconds=60):
    """Kills a descendant of the process whose name contains the word, as soon as there is one."""
    until = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < until:
        todo = children_of(process.pid)
        while todo:
            pid, name = todo.pop()
            if word in name:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    return True
            todo += children_of(pid)
        time.sleep(0.005)
    return False


@pytest.mark.full
def test_learner_and_compiler_killed(native):
    """Nothing half-made is left: the guest goes on, and the next attempt succeeds."""
    with tempfile.TemporaryDirectory(prefix='glassbox-test-') as work, running() as (name, shell):
        env = {**os.environ, 'XDG_DATA_HOME': work}
        shell.run('(while :; do workload xor 262144 20; workload grey 262144 20; workload min 262144 20; done) >/dev/null 2>&1 & echo')
        learn = [GLASSBOX, 'learn', name, '--ms', '1500', '--json']
        for wait in (0, 0.3, 1):
            process = subprocess.Popen(learn, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            until = time.monotonic() + 60
            while not any('learner' in n for _, n in children_of(process.pid)) and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(wait)
            kill_child(process, 'learner')
            assert len(process.communicate(timeout=120)[1].splitlines()) <= 1
        subprocess.run(learn, env=env, check=True, stdout=subprocess.DEVNULL, timeout=300)
        learned = len(glob.glob(work + '/glassbox/kernels/*.json'))
        assert learned >= 2
        # Compiling, since nothing is kept: the compiler's own process dies, then the whole command.
        shutil.rmtree(os.path.join(os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache'), 'glassbox/native'), ignore_errors=True)
        on = [GLASSBOX, 'offload', name, 'on', '--gpu', 'off', '--json']
        for whole in (False, True):
            process = subprocess.Popen(on, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if whole:
                time.sleep(0.4)
                process.kill()
            else:
                kill_child(process, 'cc1')
            process.wait(timeout=120)
        state = json.loads(subprocess.run(on, env=env, check=True, stdout=subprocess.PIPE, timeout=300).stdout)
        assert state['offload'] == 'on' and not state['left_out'] and len(state['kernels']) == learned, state
        shell.run('kill $!; killall workload; wait')
        assert checksum(shell.run('workload xor 262144 500')) == native('xor', 1 << 18, 500, 'default')


# --- for hours, if asked to

class Soak:
    """One guest under whatever may come; each result is compared with the same program's on the host."""

    def __init__(self, name, shell, library, native, seed):
        self.name, self.shell, self.library, self.native = name, shell, library, native
        self.dice = random.Random(seed)
        self.compared = self.switched = 0

    def compute(self):
        """One to three programs at once."""
        names = ('xor', 'sum', 'sumbytes', 'saxpy', 'memset', 'memcpy', 'bswap', 'grey', 'threshold', 'max', 'min', 'adler',
                 'crc', 'mandelbrot', 'chacha', 'matmul', 'bits', 'blocks', 'matrices', 'chacharows', 'fir', 'dct')
        work = [(self.dice.choice(names), self.dice.choice((64, 320, 4160, 12352, 65536, 262144, 1 << 20)))
                for _ in range(self.dice.randint(1, 3))]
        work = [(n, size, max(1, min(3000, self.dice.randint(1, 60 << 20) // size // (8 if n in names[11:] else 1))))
                for n, size in work]
        start = ' '.join(f'workload {n} {size} {reps} >/tmp/o{i} & p{i}=$!;' for i, (n, size, reps) in enumerate(work))
        files = ' '.join(f'/tmp/o{i}' for i in range(len(work)))
        text = self.shell.run(f'{start} wait {" ".join(f"$p{i}" for i in range(len(work)))}; cat {files}')
        sums = re.findall(r'checksum=(\w+)', text)
        assert sums == [self.native(n, s, r, 'default') for n, s, r in work], (work, text)
        self.compared += len(work)

    def switch(self):
        what = self.dice.choice(('always', 'auto', 'auto', 'off', 'hot', 'pause', 'shell'))
        if what in ('always', 'auto'):
            state = ask('offload', self.name, 'on', '--library', self.library, '--gpu', 'off', '--listen', what)
            assert state['offload'] == 'on'
        elif what == 'off':
            assert ask('offload', self.name, 'off')['offload'] == 'off'
        elif what == 'hot':
            ask('hot', self.name, '--ms', str(self.dice.choice((50, 300))))
        elif what == 'pause':
            ask('pause', self.name)
            time.sleep(self.dice.random() / 2)
            ask('resume', self.name)
        else:
            self.shell.run('for i in 1 2 3 4 5 6 7 8; do ls -l / | gzip -c | wc -c >/dev/null; done')
        self.switched += 1

    def fire(self, program, lines):
        text = self.shell.run(f'/tmp/{program}')
        assert text.count('ok ') == lines and 'bad' not in text, text
        self.compared += lines


def install(shell, name, program):
    text = base64.encodebytes(gzip.compress(program)).decode()
    shell.run(f"base64 -d >/tmp/{name}.gz <<'END'\n{text}END\ngunzip -c /tmp/{name}.gz >/tmp/{name}; chmod +x /tmp/{name}")


@pytest.mark.full
@needs_musl
@pytest.mark.parametrize('cpus', [1, 2])
def test_soak(library, native, cpus):
    """Half of GLASSBOX_SOAK_MINUTES (20) each: mixed work, offload switched in between, not one difference."""
    seed = int(os.environ.get('GLASSBOX_SOAK_SEED', time.time_ns() % 1000000))
    print(f'seed {seed}')
    with running(cpus) as (name, shell):
        soak = Soak(name, shell, library, native, seed)
        install(shell, 'fire', compile_program('under_fire'))
        install(shell, 'races', compile_program('races', libc=True))
        until = time.monotonic() + SOAK_MINUTES * 30
        rounds = 0
        while time.monotonic() < until:
            rounds += 1
            soak.switch()
            for _ in range(soak.dice.randint(1, 4)):
                soak.compute()
            if rounds % 10 == 0:
                soak.fire('fire', 6)
            if rounds % 25 == 0:
                soak.fire('races', RACES)
        report = ask('hybrid', name)
        print(f'{soak.compared} results compared, {soak.switched} switches, {report["naps"]} naps, '
              f'{sum(k["iterations"] for k in report["kernels"])} iterations by kernels')
        assert soak.compared > 0 and sum(k['iterations'] for k in report['kernels']) > 0
