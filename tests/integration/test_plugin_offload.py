"""Native kernels in a real guest: same checksums, faults in the middle, short loops, switching off, several vCPUs."""
import shutil
import time

import pytest

from plugin_guest import Guest, compile_kernel, compile_program, loop_of, missing

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))
XOR = {'in_gpr': ('rax', 'rcx', 'rdx', 'rsi', 'rdi'), 'out_gpr': ('rax', 'r8')}


@pytest.fixture(scope='module')
def xor():
    loop = loop_of('loop_xor', r'xor +\(%rdx,%rax,4\),%r8d')
    return compile_kernel('xor') + (loop,)


@pytest.fixture(scope='module', params=[(1, 'max', 'pti=on'), (2, 'qemu64', '')],
                ids=['1 vCPU 5-level PTI', '2 vCPUs 4-level'])
def guest(request, xor):
    smp, cpu, append = request.param
    with Guest(smp=smp, cpu=cpu, append=append) as g:
        yield g


def put(guest, xor, index=0, **more):
    image, plan, run, loop = xor
    guest.control.kernel_put(index, image, plan, run, loop, **{**XOR, **more})


def clear(guest):
    for i in range(4):
        guest.control.kernel_retire(i)
    guest.control.request(offload=0)


def test_same_result_and_faster(guest, xor):
    reps = 400  # the clock of such a guest may count in steps of 4 ms
    off = guest.workload('xor', 1 << 20, reps)
    put(guest, xor)
    guest.control.request(offload=1)
    on = guest.workload('xor', 1 << 20, reps)
    stats = guest.control.kernel(0)
    clear(guest)
    assert on[0] == off[0]
    # All but the guest's own: the first and last pass of each call, and one for each slice that ended early.
    # And those that were timed under TCG for comparison.
    most, timed = reps * ((1 << 18) - 2), 16 * 1024
    assert stats['executions'] >= reps and most - stats['entries'] - timed <= stats['iterations'] <= most
    assert stats['bytes'] == 12 * stats['iterations']
    assert off[1] > 3 * on[1], (off, on)


@pytest.mark.parametrize('size', [64, 256, 320, 4096, 4160, 12352, 65536])
def test_sizes(guest, xor, size):
    off = guest.workload('xor', size, 7)
    put(guest, xor, least=2)
    guest.control.request(offload=1)
    on = guest.workload('xor', size, 7)
    clear(guest)
    assert on[0] == off[0]


def test_everything_else_is_unharmed(guest, xor):
    off = guest.workload('all', 1 << 16, 2)
    put(guest, xor, least=2)
    guest.control.request(offload=1)
    on = guest.workload('all', 1 << 16, 2)
    clear(guest)
    assert {n: c for n, (c, _) in on.items()} == {n: c for n, (c, _) in off.items()}


def test_two_processes_share_the_code(guest, xor):
    one = guest.workload('xor', 1 << 18, 40)[0]
    put(guest, xor)
    guest.control.request(offload=1)
    text = guest.run('for i in 1 2 3 4; do workload xor 262144 40 & done; wait')
    stats = guest.control.kernel(0)
    clear(guest)
    assert text.count(f'checksum={one}') == 4, text
    assert stats['iterations'] > 4 * 39 * 65000


def test_short_loops_are_left_alone(guest, xor):
    put(guest, xor, least=1000000)
    guest.control.request(offload=1)
    on = guest.workload('xor', 4096, 300)
    stats = guest.control.kernel(0)
    clear(guest)
    assert stats['iterations'] == 0
    assert stats['failures']['short'] == stats['entries'] < 300, 'asked ever more rarely'
    assert on[0] == guest.workload('xor', 4096, 300)[0]


def test_a_kernel_that_does_not_fit_is_not_attached(guest, xor):
    image, plan, run, loop = xor
    guest.control.kernel_put(0, image, plan, run, loop[:-3] + b'\x01' + loop[-2:], **XOR)
    guest.control.request(offload=1)
    guest.workload('xor', 1 << 16, 10)
    stats = guest.control.kernel(0)
    clear(guest)
    assert stats['heads'] == stats['entries'] == 0


def test_other_address_space_is_refused(guest, xor):
    put(guest, xor, cr3=0x1000)
    guest.control.request(offload=1)
    guest.workload('xor', 1 << 16, 10)
    stats = guest.control.kernel(0)
    clear(guest)
    assert stats['iterations'] == 0 and stats['failures'].get('cr3', 0) > 0


def test_bad_slots_are_refused(guest, xor):
    image, plan, run, loop = xor
    put(guest, xor, 0, code_offset=(8 << 20) - 8 - len(image) // 8 * 8)
    guest.control.kernel_put(0, image, 1 << 30, run, loop, **XOR)
    guest.control.kernel_put(1, image, plan, run, b'', **XOR)
    guest.control.kernel_put(2, image, plan, run, loop, in_gpr=('rax',), out_gpr=('rsp',))
    guest.control.kernel_put(3, image, plan, run, loop, features=64, **XOR)
    guest.control.request(offload=1)
    assert [guest.control.kernel(i)['refusal'] for i in range(4)] == [1, 2, 5, 3]
    assert guest.run('echo alive').strip() == 'alive'
    clear(guest)


def test_off_means_off(guest, xor):
    put(guest, xor)
    guest.control.request(offload=1)
    guest.workload('xor', 1 << 16, 10)
    guest.control.request(offload=0)
    before = guest.control.kernel(0)['entries']
    guest.workload('xor', 1 << 16, 10)
    assert guest.control.kernel(0)['entries'] == before
    clear(guest)


def test_while_tracing(guest, xor):
    off = guest.workload('xor', 1 << 16, 10)
    put(guest, xor)
    for mode in ('count', 'block', 'full'):
        guest.control.request(mode, offload=1)
        assert guest.workload('xor', 1 << 16, 10)[0] == off[0]
    clear(guest)


def test_guest_reset_while_offloading(xor):
    """A reset drops the guest's state, not the kernels: they go on in the rebooted guest."""
    with Guest(qemu=('-action', 'reboot=reset')) as g:
        put(g, xor)
        g.control.request(offload=1)
        first = g.workload('xor', 1 << 16, 10)[0]
        g.send('workload xor 1048576 100000 &')
        g.send('echo b > /proc/sysrq-trigger')
        g.wait(b'glassbox guest: ready', 120)
        g.run('stty -echo; PS1=', 60)
        before = g.control.kernel(0)['iterations']
        assert g.workload('xor', 1 << 16, 10)[0] == first
        assert g.control.kernel(0)['iterations'] > before


def test_instruction_counting_clock(xor):
    """Under -icount the skipped iterations cost no virtual time; results stay the same."""
    with Guest(accel='tcg,thread=single', qemu=('-icount', 'shift=1')) as g:
        off = g.workload('xor', 1 << 16, 10)
        put(g, xor)
        g.control.request(offload=1)
        on = g.workload('xor', 1 << 16, 10)
        assert on[0] == off[0]
        assert g.control.kernel(0)['iterations'] > 100000


def test_under_fire(guest, xor):
    """Faults in the middle, copy-on-write, signals, overlapping and self-modifying code: all right, off and on."""
    guest.install('fire', compile_program('under_fire'))
    off = guest.run('/tmp/fire', 30)
    assert off.count('ok ') == 6 and 'bad' not in off, off
    put(guest, xor, least=2)
    guest.control.request(offload=1)
    on = guest.run('/tmp/fire', 30)
    stats = guest.control.kernel(0)
    clear(guest)
    assert on == off
    assert stats['iterations'] > 4 * 60000, stats
    assert stats['failures']['page'] > 60 and stats['failures']['overlap'] > 0 and stats['failures']['code'] > 0, stats


RACES = 8


def races(guest, xor):
    """Threads that map and unmap, forks in the middle, aliased pages, aged pages, single-stepping, compilers in threads: all
    right, off and on."""
    guest.install('races', compile_program('races', libc=True))
    off = guest.run('/tmp/races', 300)
    assert off.count('ok ') == RACES and 'bad' not in off, off
    put(guest, xor, least=2)
    guest.control.request(offload=1)
    on = guest.run('/tmp/races', 300)
    stats = guest.control.kernel(0)
    clear(guest)
    assert on == off
    assert stats['iterations'] > 50 * 60000 and stats['failures']['overlap'] > 0 and stats['failures']['step'] > 0, stats


needs_musl = pytest.mark.skipif(not shutil.which('musl-gcc'), reason='no musl-gcc')


@needs_musl
def test_races(guest, xor):
    races(guest, xor)


@pytest.mark.full
@needs_musl
@pytest.mark.parametrize('smp', [3, 4])
def test_races_on_more_processors(xor, smp):
    with Guest(smp=smp, cpu='qemu64') as g:
        races(g, xor)


def test_the_same_bytes_in_a_32_bit_program(guest, xor):
    """The loop's bytes mean something else there: the mode is looked at before anything is done."""
    guest.install('legacy', compile_program('legacy32', bits=32))
    put(guest, xor, least=2)
    guest.control.request(offload=1)
    text = guest.run('/tmp/legacy')
    stats = guest.control.kernel(0)
    clear(guest)
    assert 'ok 32-bit program' in text, text
    assert stats['iterations'] == 0 and stats['failures'].get('shape', 0) > 0, stats


ALWAYS, DOZING = 1, 2


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_offload_sleeps_while_it_is_of_no_use(guest, xor):
    """Without work for kernels QEMU's code is left alone; a known loop wakes it, and its results stay the same."""
    c = guest.control
    off = guest.workload('xor', 1 << 20, 1500)
    put(guest, xor)
    c.request(offload=DOZING)
    naps = c.naps
    assert not c.asleep, 'an untried kernel'
    assert guest.workload('xor', 1 << 20, 1500)[0] == off[0] and c.kernel(0)['heads'] > 0
    guest.send('while :; do gzip -c /bin/busybox >/dev/null; done & echo')
    wait_for(lambda: c.asleep)
    before, translations = c.kernel(0), c.translations
    guest.run('ls -l /bin /tmp >/tmp/list')
    assert before['heads'] == 0 and c.translations == translations and c.naps == naps + 1, 'nobody listens'
    guest.send('kill $!; wait')
    assert guest.workload('xor', 1 << 20, 1500)[0] == off[0]
    assert not c.asleep and c.kernel(0)['iterations'] > before['iterations'] + 700 * (1 << 18)
    clear(guest)


def test_a_kernel_of_no_use_hardly_ever_wakes_it(guest, xor):
    """A loop that is known but never worth a call; what is learned of it outlives a switching off and on."""
    c = guest.control
    put(guest, xor, least=1 << 31)
    c.request(offload=DOZING)
    naps = c.naps
    for _ in range(4):
        guest.workload('xor', 1 << 20, 1500)
    wait_for(lambda: c.asleep)
    naps, before = c.naps - naps, c.kernel(0)
    assert 1 <= naps <= 4 and before['iterations'] == 0
    c.request(offload=0)
    c.request(offload=DOZING)
    naps = c.naps
    guest.workload('xor', 1 << 20, 500)
    assert c.asleep and c.naps == naps and c.kernel(0)['entries'] == before['entries']
    clear(guest)


@pytest.mark.full
def test_modes_change_while_several_processors_work():
    """Each change stops all processors and drops all code, while they fault, idle and wake."""
    with Guest(smp=4, cpu='qemu64') as g:
        g.send('while :; do for i in 1 2 3 4 5 6 7 8; do /bin/true; ls / >/dev/null; done; done &')
        for _ in range(300):
            g.control.request('count')
            time.sleep(0.02)
            g.control.request('off')
            time.sleep(0.05)
        assert g.process.poll() is None
