"""Several requests of one run under way at the Pixel CPU service: the same results whatever becomes of the later ones.
On the software device, with slices so long that a run has several requests."""
import os
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import time

import pytest

from plugin_guest import learned_library, missing
from test_offload_fire import ask, running
from test_offload_learned import install, wait_state

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))
LOOPS = ('xor', 'sum', 'saxpy', 'max')
MANY = ('xor', 'saxpy')
SIZE = 8 << 20
REPS = 80  # after a late answer 64 calls are native code's
ASKED, RUNNING, ABANDONED = 2, 3, 6
REQUESTS = 4
AHEAD = ('--gpu', 'any', '--tier', 'gpu', '--listen', 'always', '--slice-us', '500000')


@pytest.fixture(scope='module')
def library():
    with learned_library(LOOPS, cases=1000) as (kernels, _):
        yield kernels


@pytest.fixture(scope='module')
def guest():
    with running() as (name, shell):
        yield name, shell, checksums(shell)


def checksums(shell):
    text = ''.join(shell.run(f'workload {loop} {SIZE} 2') for loop in LOOPS)
    return dict(re.findall(r'workload (\S+) size=\d+ reps=\d+ checksum=(\w+)', text))


def switch_on(name, library):
    state = ask('offload', name, 'on', '--library', library, *AHEAD)
    if state['pixel_cpu']['state'] == 'no device':
        pytest.skip('no Vulkan device')
    assert state['pixel_cpu']['state'] == 'ready', state
    return state['pixel_cpu']['pid']


@pytest.fixture
def ahead(guest, library):
    """A VM with the service on, warm: prices are known, so that runs are long; what it computes without."""
    name, shell, before = guest
    pid = switch_on(name, library)
    assert checksums(shell) == before
    yield name, shell, before, pid
    ask('offload', name, 'off')
    wait_state(name, ('off', 'gone', 'lost'))


def states(name):
    with open(f'/dev/shm/glassbox-{name}-pixel', 'rb') as f:
        head = f.read(4096 + REQUESTS * (4096 + 24576 * 4))
    return [struct.unpack_from('<I', head, 4096 + i * (4096 + 24576 * 4))[0] for i in range(REQUESTS)]


def wait_for_states(name, good, seconds=20):
    until = time.monotonic() + seconds
    while not good(now := states(name)):
        assert time.monotonic() < until, now
        time.sleep(0.002)
    return now


def freeze_with_two(name, shell, pid):
    """Stops the service while two requests or more are under way."""
    shell.run(f'for l in {" ".join(MANY)}; do workload $l {SIZE} {REPS}; done >/tmp/first & echo')
    for attempt in range(60):
        time.sleep(0.05 + attempt % 7 * 0.01)
        os.kill(pid, signal.SIGSTOP)
        for _ in range(20):
            if sum(x in (ASKED, RUNNING) for x in states(name)) >= 2:
                return
            time.sleep(0.01)
        os.kill(pid, signal.SIGCONT)
    pytest.fail(f'never two under way: {states(name)}')


def results(shell):
    return re.findall(r'workload (\S+) .*checksum=(\w+)', shell.run('wait; cat /tmp/first'))


@pytest.fixture(scope='module')
def truth(guest):
    name, shell, _ = guest
    ask('offload', name, 'off')
    shell.run(f'for l in {" ".join(MANY)}; do workload $l {SIZE} {REPS}; done >/tmp/first')
    return results(shell)


def test_requests_follow_each_other(ahead):
    name, shell, before, _ = ahead
    assert checksums(shell) == before
    report = ask('hybrid', name)
    runs = sum(k['gpu']['executions'] for k in report['kernels'])
    assert all(k['gpu']['iterations'] > SIZE // 4 for k in report['kernels']), report
    assert report['pixel_cpu']['done'] > runs * 1.3, report
    assert states(name) == [0] * REQUESTS


def test_killed_with_two_under_way(truth, ahead, library):
    name, shell, before, pid = ahead
    freeze_with_two(name, shell, pid)
    os.kill(pid, signal.SIGKILL)
    assert results(shell) == truth
    wait_state(name, ('gone',))
    assert switch_on(name, library) != pid
    assert checksums(shell) == before and states(name) == [0] * REQUESTS


def test_late_with_two_under_way(truth, ahead):
    """Answers that come when nobody waits any more, one after the other, are nobody's."""
    name, shell, before, pid = ahead
    for _ in range(2):
        freeze_with_two(name, shell, pid)
        wait_for_states(name, lambda s: not any(x in (ASKED, RUNNING) for x in s))
        os.kill(pid, signal.SIGCONT)
        assert results(shell) == truth
    wait_for_states(name, lambda s: s == [0] * REQUESTS)
    assert sum(k['gpu']['late'] for k in ask('hybrid', name)['kernels']) > 0
    assert checksums(shell) == before


def test_lost_with_two_under_way(truth, ahead):
    name, shell, _, pid = ahead
    freeze_with_two(name, shell, pid)
    os.kill(pid, signal.SIGUSR1)
    os.kill(pid, signal.SIGCONT)
    assert results(shell) == truth
    wait_state(name, ('lost',))


def test_a_request_that_follows_nothing(ahead):
    """One that says it goes on from an answer that never was, or was another run's, is refused."""
    import mmap
    name, shell, before, pid = ahead
    with open(f'/dev/shm/glassbox-{name}-pixel', 'r+b') as f:
        shared = mmap.mmap(f.fileno(), 2 << 20)
    # The last request of the last run goes on from the one before it: asked again, it follows nothing.
    areas = [4096 + i * (4096 + 24576 * 4) for i in range(REQUESTS)]
    first_at = 4096 - 2484 - 28
    follows = [at for at in areas if struct.unpack_from('<Q', shared, at + first_at)[0]]
    assert follows
    alive = ask('hybrid', name)['pixel_cpu']
    for at in follows:
        for previous in (0, 1, 2, 3, 4, 1 << 31):
            struct.pack_into('<Q', shared, at + first_at + 8, 1 << 60)  # another run
            struct.pack_into('<I', shared, at + first_at + 24, previous)
            struct.pack_into('<I', shared, at, ASKED)
            bell, = struct.unpack_from('<I', shared, 36)
            struct.pack_into('<I', shared, 36, bell + 1)
            until = time.monotonic() + 20
            while struct.unpack_from('<I', shared, at)[0] not in (4, 5):
                assert time.monotonic() < until
            assert struct.unpack_from('<I', shared, at)[0] == 5
            struct.pack_into('<I', shared, at, 0)
    after = ask('hybrid', name)['pixel_cpu']
    assert after['state'] == 'ready' and after['pid'] == pid == alive['pid']
    assert checksums(shell) == before


@pytest.mark.skipif(not shutil.which('musl-gcc'), reason='no musl-gcc')
@pytest.mark.parametrize('cpus', [1, 2])
def test_code_in_the_pages_of_a_later_request(cpus):
    with tempfile.TemporaryDirectory(prefix='glassbox-test-') as work:
        subprocess.run(['musl-gcc', '-O2', '-fno-tree-vectorize', '-static', '-fno-pie', '-no-pie',
                        os.path.join(os.path.dirname(__file__), 'programs/ahead.c'), '-o', work + '/ahead'], check=True)
        with open(work + '/ahead', 'rb') as f:
            program = f.read()
        with learned_library(('xor',), program, cases=1000) as (kernels, rows), running(cpus) as (name, shell):
            assert rows[-1]['outcome'] == 'learned', rows
            install(shell.run, 'ahead', program)
            switch_on(name, kernels)
            for when in ('before', 'meanwhile'):
                text = shell.run(f'/tmp/ahead {when} 12')
                assert f'good {when}' in text, text
            kernel = ask('hybrid', name)['kernels'][0]
            assert kernel['gpu']['iterations'] > 1 << 20, kernel
            assert kernel['failures'].get('page holds translated code', 0) > 0 or kernel['gpu']['failed'] > 0, kernel
            ask('offload', name, 'off')
