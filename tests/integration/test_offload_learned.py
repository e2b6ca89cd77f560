"""The whole chain on a real guest: loops of the workload are learned from its bytes, proved, compiled, offloaded, and
nothing changes but time."""
import base64
import collections
import gzip
import os
import re
import subprocess

import pytest

from plugin_guest import compile_program, learned_library, missing
from test_plugin_trace import GLASSBOX, ask

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))
LOOPS = ('xor', 'sum', 'fill')


@pytest.fixture(scope='module')
def library():
    """A kernel library with a few loops of the guest's own workload program."""
    with learned_library(LOOPS) as (kernels, rows):
        assert sum(r['outcome'] == 'learned' for r in rows) == len(LOOPS), rows
        yield kernels


@pytest.fixture(scope='module')
def demo():
    import socket
    import time
    name = f'plugoff{os.getpid()}'
    subprocess.run([GLASSBOX, 'run', '--name', name, '--learn', '--detach'], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, timeout=120)
    console = socket.socket(socket.AF_UNIX)
    console.connect(os.path.join(os.environ.get('XDG_RUNTIME_DIR', '/run'), 'glassbox', name, 'console.sock'))
    text = b''

    def run(line):
        nonlocal text
        mark = f'm{time.monotonic_ns()}'
        console.sendall(f'{line}; echo {mark[:3]}""{mark[3:]}\n'.encode())
        console.settimeout(300)
        while mark.encode() + b'\r\n' not in text:
            more = console.recv(65536)
            assert more, 'the console ended'
            text += more
        before, text = text.split(mark.encode() + b'\r\n', 1)
        return before.decode(errors='replace')

    try:
        run('stty -echo')
        yield name, run
    finally:
        subprocess.run([GLASSBOX, 'stop', name, '--force'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)


def install(run, name, program):
    """A program into the guest's /tmp."""
    text = base64.encodebytes(gzip.compress(program)).decode()
    run(f"base64 -d >/tmp/{name}.gz <<'END'\n{text}END\ngunzip -c /tmp/{name}.gz >/tmp/{name}; chmod +x /tmp/{name}")


def checksums(run, size, reps):
    return dict(re.findall(r'workload (\S+) size=\d+ reps=\d+ checksum=(\w+)', run(f'workload all {size} {reps}')))


def test_learned_kernels_change_nothing_but_time(demo, library):
    name, run = demo
    before = {size: checksums(run, size, 3) for size in (320, 12352, 131072)}
    assert len(before[320]) >= 16
    state = ask('offload', name, 'on', '--library', library, '--listen', 'always')
    assert state['offload'] == 'on' and len(state['kernels']) == len(LOOPS) and not state['left_out']
    after = {size: checksums(run, size, 3) for size in before}
    state = ask('offload', name)
    ask('offload', name, 'off')
    again = {size: checksums(run, size, 3) for size in before}
    assert after == before == again
    done = [k['iterations'] for k in state['kernels']]
    assert all(n > 3 * 30000 for n in done), state
    assert ask('offload', name)['offload'] == 'off'


SERIAL = {'adler', 'crc', 'crc_sliced', 'lcg', 'fnv', 'filter', 'words', 'copy_until', 'mandelbrot', 'horner',
          'histogram'}


@pytest.mark.parametrize('compiler', ['gcc', 'clang-14'])
def test_iterations_that_need_each_other(demo, compiler):
    """Checksums, generators, filters, searches that store: in order, and the same with and without offload."""
    name, run = demo
    program = compile_program('serial', compiler=compiler, flags=('-O2',))
    install(run, 'serial', program)
    before = run('/tmp/serial')
    assert before.count('=') == len(SERIAL), before
    with learned_library(SERIAL, program, cases=1000) as (kernels, rows):
        learned = {int(r['id'][:16], 16): r['symbol'][5:] for r in rows if r['outcome'] in ('learned', 'known')}
        assert {r['symbol'][5:] for r in rows if (r['pattern'] or '').startswith('serial')} == SERIAL, rows
        state = ask('offload', name, 'on', '--library', kernels, '--listen', 'always')
        assert not state['left_out'], state
        after = [run('/tmp/serial') for _ in range(4)]
    state = ask('offload', name)
    ask('offload', name, 'off')
    assert [before] * 5 == after + [run('/tmp/serial')]
    done = collections.Counter()
    for kernel in state['kernels']:
        done[learned.get(int(kernel['id'], 16))] += kernel['iterations']
    # How many is the cost model's choice: on a loaded machine some gains look small.
    assert all(done[loop] > 500 for loop in SERIAL), (done, state)


def test_pixels_that_end_early(demo):
    """The loop over a row of a picture, with the loop inside that data ends: one kernel, native code."""
    name, run = demo

    def pictures():
        return [re.search(r'checksum=(\w+)', run(f'workload mandelbrot {size} 2')).group(1) for size in (1 << 18, 1 << 22, 1 << 24)]

    before = pictures()
    with learned_library(('mandelbrot',), cases=1000) as (kernels, rows):
        outer = [int(r['id'][:16], 16) for r in rows if r['pattern'] == 'doall']
        assert len(outer) == 1, rows
        ask('offload', name, 'on', '--library', kernels, '--gpu', 'off', '--listen', 'always')
        after = [pictures() for _ in range(2)]
    state = ask('offload', name)
    ask('offload', name, 'off')
    assert [before] * 2 == after
    assert [k['iterations'] > 1000000 for k in state['kernels'] if int(k['id'], 16) == outer[0]] == [True], state


def test_offload_needs_the_plugin():
    done = subprocess.run([GLASSBOX, 'offload', 'no-such-vm', 'on'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1 and done.stderr.count(b'\n') == 1


# The Pixel CPU service, on the software device: slow, but the same path as a GPU's.
PIXEL = ('--gpu', 'any', '--tier', 'gpu', '--listen', 'always')


def wait_state(name, wanted, seconds=30):
    import time
    until = time.monotonic() + seconds
    while ask('hybrid', name)['pixel_cpu']['state'] not in wanted:
        assert time.monotonic() < until, ask('hybrid', name)['pixel_cpu']
        time.sleep(0.05)


@pytest.fixture
def pixel(demo, library):
    """A VM that runs long loops on the service wherever it can; the checksums without it."""
    name, run = demo
    before = checksums(run, 524288, 2)
    state = ask('offload', name, 'on', '--library', library, *PIXEL)
    if state['pixel_cpu']['state'] == 'no device':
        pytest.skip('no Vulkan device')
    assert state['pixel_cpu']['state'] == 'ready', state
    yield name, run, before
    ask('offload', name, 'off')
    wait_state(name, ('off', 'gone', 'lost'))


def test_pixel_cpu_service_gives_the_same(pixel):
    name, run, before = pixel
    assert checksums(run, 524288, 2) == before
    report = ask('hybrid', name)
    on_gpu = [k for k in report['kernels'] if k['gpu']['iterations'] > 16000]
    assert len(on_gpu) == len(LOOPS), report
    assert report['pixel_cpu']['done'] >= 4 * len(LOOPS) and report['share']['gpu_instructions'] > 0


@pytest.mark.parametrize('signal,state', [('KILL', ('gone',)), ('USR1', ('lost',)), ('TERM', ('off',))],
                         ids=['killed', 'device lost', 'ended'])
def test_service_ends_in_the_middle(pixel, library, signal, state):
    """The guest goes on as if nothing were, and another service can come."""
    import signal as signals
    name, run, before = pixel
    pid = ask('hybrid', name)['pixel_cpu']['pid']
    run('workload all 524288 2 >/tmp/first & sleep 0.2')
    os.kill(pid, getattr(signals, 'SIG' + signal))
    text = run('wait; cat /tmp/first')
    assert dict(re.findall(r'workload (\S+) size=\d+ reps=\d+ checksum=(\w+)', text)) == before
    wait_state(name, state)
    assert checksums(run, 524288, 2) == before
    again = ask('offload', name, 'on', '--library', library, *PIXEL)
    assert again['pixel_cpu']['state'] == 'ready' and again['pixel_cpu']['pid'] != pid
    assert checksums(run, 524288, 2) == before
    assert ask('hybrid', name)['pixel_cpu']['done'] > again['pixel_cpu']['done']


def test_service_is_late(pixel):
    """A service that stands still, and one that answers when nobody waits any more, change nothing."""
    import signal as signals
    import time
    name, run, before = pixel
    pid = ask('hybrid', name)['pixel_cpu']['pid']
    for _ in range(3):
        run('workload xor 524288 500 >/dev/null & sleep 0.1')
        os.kill(pid, signals.SIGSTOP)
        time.sleep(1.5)
        os.kill(pid, signals.SIGCONT)
        run('wait')
    assert checksums(run, 524288, 2) == before
    assert sum(k['gpu']['late'] for k in ask('hybrid', name)['kernels']) > 0


def test_hostile_requests(pixel):
    """Whatever stands in the shared file: the service refuses it and lives."""
    import mmap
    import random
    import struct
    import time
    name, run, before = pixel
    dice = random.Random(7)
    with open(f'/dev/shm/glassbox-{name}-pixel', 'r+b') as f:
        shared = mmap.mmap(f.fileno(), 2 << 20)
    alive = ask('hybrid', name)['pixel_cpu']
    for _ in range(300):
        at = 4096 + (4096 + 24576 * 4) * 3
        body = bytes(dice.choice((0, 1, 255, 16, dice.randrange(256))) for _ in range(1580))
        shared[at + 8:at + 8 + len(body)] = body
        kernel = dice.randrange(4)
        serial, = struct.unpack_from('<I', shared, 512 + 4 * kernel)
        struct.pack_into('<IIQII', shared, at + 8, kernel, serial, dice.choice((0, 1, 100, 1 << 62)), dice.randrange(5),
                         dice.choice((0, 1, 24576, 24577, 1 << 31)))
        struct.pack_into('<I', shared, at, 2)
        bell, = struct.unpack_from('<I', shared, 36)
        struct.pack_into('<I', shared, 36, bell + 1)
        until = time.monotonic() + 20
        while struct.unpack_from('<I', shared, at)[0] not in (4, 5):
            assert time.monotonic() < until
        struct.pack_into('<I', shared, at, 0)
    after = ask('hybrid', name)['pixel_cpu']
    assert after['state'] == 'ready' and after['pid'] == alive['pid'] and after['refused'] > alive['refused']
    assert checksums(run, 524288, 2) == before
