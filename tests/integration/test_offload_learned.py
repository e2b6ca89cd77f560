"""The whole chain on a real guest: loops of the workload are learned from its bytes, proved, compiled, offloaded, and
nothing changes but time."""
import json
import os
import subprocess
import tempfile

import pytest

from plugin_guest import BUILD, initrd_file, missing
from test_plugin_trace import GLASSBOX, ask

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))
LEARNER = os.path.join(BUILD, 'src/learn/glassbox-learner')
LOOPS = ('xor', 'sum', 'fill')


@pytest.fixture(scope='module')
def library():
    """A kernel library with a few loops of the guest's own workload program."""
    with tempfile.TemporaryDirectory(prefix='glassbox-test-') as work:
        program = work + '/workload'
        with open(program, 'wb') as f:
            f.write(initrd_file('bin/workload', 'default'))
        rows = []
        for loop in LOOPS:
            text = subprocess.run([LEARNER, '--library', work + '/kernels', '--function', f'loop_{loop}', program],
                                  stdout=subprocess.PIPE, check=True, text=True).stdout
            rows += [json.loads(line) for line in text.splitlines()]
        assert sum(r['outcome'] == 'learned' for r in rows) == len(LOOPS), rows
        yield work + '/kernels'


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


def checksums(run, size, reps):
    import re
    return dict(re.findall(r'workload (\S+) size=\d+ reps=\d+ checksum=(\w+)', run(f'workload all {size} {reps}')))


def test_learned_kernels_change_nothing_but_time(demo, library):
    name, run = demo
    before = {size: checksums(run, size, 3) for size in (320, 12352, 131072)}
    assert len(before[320]) >= 16
    state = ask('offload', name, 'on', '--library', library)
    assert state['offload'] == 'on' and len(state['kernels']) == len(LOOPS) and not state['left_out']
    after = {size: checksums(run, size, 3) for size in before}
    state = ask('offload', name)
    ask('offload', name, 'off')
    again = {size: checksums(run, size, 3) for size in before}
    assert after == before == again
    done = [k['iterations'] for k in state['kernels']]
    assert all(n > 3 * 30000 for n in done), state
    assert ask('offload', name)['offload'] == 'off'


def test_offload_needs_the_plugin():
    done = subprocess.run([GLASSBOX, 'offload', 'no-such-vm', 'on'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1 and done.stderr.count(b'\n') == 1
