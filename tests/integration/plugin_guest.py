"""A demo guest under a QEMU with the plugin, started by hand: console, shared file, hand-made kernels. For tests of the
plugin alone, below the command line."""
import base64
import contextlib
import glob
import gzip
import json
import mmap
import os
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import time

CACHE = os.path.join(os.environ.get('XDG_CACHE_HOME', os.path.expanduser('~/.cache')), 'glassbox')
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get('GLASSBOX_BUILD', os.path.join(SOURCE, 'build'))
PLUGIN = os.path.join(BUILD, 'plugin', 'glassbox-plugin-7.so')
MODE = {'off': 0, 'count': 1, 'block': 2, 'full': 3}
REGS = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split()


def missing():
    """Why these tests cannot run here, or None."""
    for path in (os.path.join(CACHE, 'bin/qemu-system-x86_64'), PLUGIN, os.path.join(CACHE, 'guests/6.1/profile.json')):
        if not os.path.exists(path):
            return f'{path} is not here'
    return None


class Control:
    """The shared file, by the offsets of plugin/control.h."""
    FIELDS = {'magic': (0, 'Q'), 'api': (12, 'I'), 'pid': (16, 'I'), 'n_vcpus': (20, 'I'), 'n_slots': (40, 'I'),
              'ring_bytes': (192, 'Q'), 'dirty_state': (256, 'I'), 'dirty_errno': (260, 'i'), 'ram_address': (264, 'Q'),
              'ram_bytes': (272, 'Q'), 'request_seq': (384, 'Q'), 'applied_seq': (640, 'Q'), 'mode': (648, 'I'),
              'offload': (652, 'I'), 'n_blocks': (656, 'Q'), 'translations': (680, 'Q'), 'flushes': (688, 'Q'),
              'counts_seq': (696, 'Q'), 'heartbeat_ns': (720, 'Q'), 'asleep': (784, 'I'), 'naps': (792, 'Q')}
    AREAS = ('heads', 'rings', 'blocks', 'code', 'counts', 'kernels', 'kernel_code')
    KERNEL = 2048
    REASONS = {1: 'short', 2: 'overlap', 3: 'wrap', 4: 'shape', 5: 'align', 8: 'page', 9: 'code', 10: 'device', 11: 'step',
               12: 'cr3', 13: 'bytes', 14: 'bad', 15: 'privilege'}

    def __init__(self, path):
        fd = os.open(path, os.O_RDWR)
        self.map = mmap.mmap(fd, 0)
        os.close(fd)
        self.area = {n: struct.unpack_from('<QQ', self.map, 64 + 16 * i) for i, n in enumerate(self.AREAS)}

    def __getattr__(self, name):
        if name not in Control.FIELDS:
            raise AttributeError(name)
        at, code = Control.FIELDS[name]
        return struct.unpack_from('<' + code, self.map, at)[0]

    def request(self, mode='off', rings=0, start=0, end=0, cr3=0, sample=0, offload=0, slice_us=0, clear=0, wait=20):
        struct.pack_into('<IIQQQIIQIIII', self.map, 320, MODE[mode], rings, start, end, cr3, sample, offload, 0, slice_us,
                         clear, 0, 0)
        seq = self.request_seq + 1
        struct.pack_into('<Q', self.map, 384, seq)
        until = time.monotonic() + wait
        while self.applied_seq != seq:
            assert time.monotonic() < until, 'the plugin does not take up the request'
            time.sleep(0.001)

    def ring(self, vcpu=0):
        """head, dropped, tail"""
        at = self.area['heads'][0] + 128 * vcpu
        head, dropped = struct.unpack_from('<QQ', self.map, at)
        return head, dropped, struct.unpack_from('<Q', self.map, at + 64)[0]

    def set_tail(self, tail, vcpu=0):
        struct.pack_into('<Q', self.map, self.area['heads'][0] + 128 * vcpu + 64, tail)

    def kernel_put(self, index, image, plan, run, loop, head=0, in_gpr=(), out_gpr=(), least=0, cr3=0, features=0,
                   code_offset=None):
        """Fills a slot and makes it ready; the next request loads it."""
        at = self.area['kernels'][0] + self.KERNEL * index
        where = index * 65536 if code_offset is None else code_offset
        code = self.area['kernel_code'][0] + where
        self.map[code:code + len(image)] = image
        serial = struct.unpack_from('<I', self.map, at + 4)[0] + 1
        mask = lambda names: sum(1 << REGS.index(n) for n in names)
        self.map[at:at + self.KERNEL] = bytes(self.KERNEL)
        struct.pack_into('<IIQQQQQQQQQIIIIIIII', self.map, at, 0, serial, index + 1, cr3, 0, mask(in_gpr), 0, mask(out_gpr),
                         0, where, len(image), plan, run, features, least, len(loop), head, 0, 0)
        self.map[at + 128:at + 128 + len(loop)] = loop
        struct.pack_into('<I', self.map, at, 1)

    def kernel_retire(self, index):
        struct.pack_into('<I', self.map, self.area['kernels'][0] + self.KERNEL * index, 4)

    def kernel(self, index):
        at = self.area['kernels'][0] + self.KERNEL * index
        names = ('executions', 'iterations', 'bytes', 'ns', 'entries', 'heads')
        ret = dict(zip(names, struct.unpack_from('<6Q', self.map, at + 1160)))
        ret['state'], = struct.unpack_from('<I', self.map, at)
        ret['refusal'], = struct.unpack_from('<I', self.map, at + 1152)
        failures = struct.unpack_from('<16Q', self.map, at + 1208)
        ret['failures'] = {self.REASONS.get(i, i): n for i, n in enumerate(failures) if n}
        return ret


def free_name():
    return f'plugintest-{os.getpid()}-{time.monotonic_ns() % 1000000}'


class Guest:
    """One guest; `with Guest() as g: g.run('workload xor')`."""

    def __init__(self, mem=256, smp=1, cpu='max', plugin='', qemu=(), accel='tcg', append='', profile='6.1', with_plugin=True):
        self.name = free_name()
        self.dir = tempfile.mkdtemp(prefix='glassbox-test-')
        guest = os.path.join(CACHE, 'guests', profile)
        with open(os.path.join(guest, 'profile.json'), encoding='utf-8') as f:
            meta = json.load(f)
        self.ram = f'/dev/shm/gbtest-{self.name}-ram'
        self.trace = f'/dev/shm/gbtest-{self.name}-trace'
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.dir + '/serial')
        self.listener.listen(1)
        command = [os.path.join(CACHE, 'bin/qemu-system-x86_64'), '-machine', meta['machine'] + ',memory-backend=ram',
                   '-accel', accel, '-cpu', cpu, '-m', str(mem), '-smp', str(smp), '-object',
                   f'memory-backend-file,id=ram,size={mem}M,mem-path={self.ram},share=on', '-display', 'none', '-nodefaults',
                   '-no-user-config', '-serial', f'unix:{self.dir}/serial', '-kernel',
                   os.path.join(guest, 'vmlinux'), '-initrd', os.path.join(guest, 'initrd.img'), '-append',
                   meta['append'] + ' ' + append, *qemu]
        if with_plugin:
            command += ['-plugin', f'{PLUGIN},control={self.trace},ram={self.ram}{plugin}']
        with open(self.dir + '/log', 'wb') as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.console = self.control = None
        try:
            self.come_up(with_plugin)
        except BaseException:
            self.close()
            raise

    def come_up(self, with_plugin):
        self.listener.settimeout(30)
        self.console, _ = self.listener.accept()
        self.text = b''
        self.wait(b'glassbox guest: ready', 120)
        self.run('stty -echo; PS1=', 60)
        self.control = Control(self.trace) if with_plugin else None

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def close(self):
        self.process.kill()
        self.process.wait()
        if self.console:
            self.console.close()
        self.listener.close()
        shutil.rmtree(self.dir, ignore_errors=True)
        for path in glob.glob(f'/dev/shm/gbtest-{self.name}-*'):
            os.unlink(path)

    def log(self):
        with open(self.dir + '/log', encoding='utf-8', errors='replace') as f:
            return f.read()

    def wait(self, what, timeout):
        """Reads the console until `what`; what came before it is returned."""
        until = time.monotonic() + timeout
        while what not in self.text:
            assert self.process.poll() is None, f'QEMU ended: {self.log()}'
            left = until - time.monotonic()
            assert left > 0, f'no {what!r} on the console: {self.text[-2000:]!r}'
            self.console.settimeout(left)
            try:
                self.text += self.console.recv(65536)
            except socket.timeout:
                continue
        before, self.text = self.text.split(what, 1)
        return before

    def send(self, line):
        self.console.sendall(line.encode() + b'\n')

    def install(self, name, program):
        """A program into the guest's /tmp."""
        text = base64.encodebytes(gzip.compress(program)).decode()
        self.send(f"base64 -d >/tmp/{name}.gz <<'END'\n{text}END")
        self.run(f'gunzip -c /tmp/{name}.gz >/tmp/{name}; chmod +x /tmp/{name}')

    def run(self, line, timeout=300):
        """Output of a shell command."""
        mark = f'm{time.monotonic_ns()}'
        self.send(f'{line}; echo {mark[:3]}""{mark[3:]}')
        return self.wait(mark.encode() + b'\r\n', timeout).decode(errors='replace').replace('\r', '')

    def workload(self, name, size=1 << 20, reps=1, timeout=600):
        """checksum and nanoseconds of one workload, or a dict by name for 'all'."""
        text = self.run(f'workload {name} {size} {reps}', timeout)
        found = re.findall(r'workload (\S+) size=\d+ reps=\d+ checksum=(\w+) ns=(\d+)', text)
        assert found, text
        results = {n: (c, int(ns)) for n, c, ns in found}
        return results if name == 'all' else results[name]


def default_profile():
    """The demo guest that `glassbox run` takes: the oldest one built here."""
    return '5.10' if os.path.isdir(os.path.join(CACHE, 'guests/5.10')) else '6.1'


def initrd_file(name, profile='6.1'):
    """Bytes of a file in a demo guest's initramfs."""
    if profile == 'default':
        profile = default_profile()
    with open(os.path.join(CACHE, 'guests', profile, 'initrd.img'), 'rb') as f:
        data = f.read()
    packers = {b'\x02\x21': 'lz4', b'\x1f\x8b': 'gzip', b'\x28\xb5': 'zstd', b'\xfd7': 'xz'}
    if data[:2] in packers:
        # A kernel's archive may go on behind the packed part; unpackers then complain at its end.
        data = subprocess.run([packers[data[:2]], '-dc'], input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              check=False).stdout
    at = 0
    while data[at:at + 6] == b'070701':
        field = [int(data[at + 6 + 8 * i:at + 14 + 8 * i], 16) for i in range(13)]
        start = at + 110
        entry = data[start:start + field[11] - 1].decode()
        body = (start + field[11] + 3) & ~3
        if entry == name:
            return data[body:body + field[6]]
        at = (body + field[6] + 3) & ~3
    raise KeyError(name)


def loop_of(function, pattern):
    """Bytes of the loop in a function of the guest's workload: from the target of its last backward branch to it."""
    path = tempfile.NamedTemporaryFile(prefix='glassbox-test-')
    path.write(initrd_file('bin/workload'))
    path.flush()
    text = subprocess.run(['objdump', '-d', f'--disassemble={function}', path.name], stdout=subprocess.PIPE, check=True,
                          text=True).stdout
    code, head, end = {}, None, None
    for address, octets, insn in re.findall(r'^ +([0-9a-f]+):\t((?:[0-9a-f]{2} )+)[ \t]*(.*)$', text, re.M):
        code[int(address, 16)] = bytes.fromhex(octets.replace(' ', ''))
        branch = re.match(r'j\w+ +([0-9a-f]+)', insn or '')
        if branch and int(branch.group(1), 16) <= int(address, 16):
            head, end = int(branch.group(1), 16), int(address, 16) + len(bytes.fromhex(octets.replace(' ', '')))
    assert head is not None, f'no loop in {function}'
    loop = b''.join(code[a] for a in sorted(code) if head <= a < end)
    assert not pattern or re.search(pattern, text), f'{function} is not the loop this test was written for:\n{text}'
    return loop


def compile_kernel(name):
    """A hand-written kernel of tests/integration/kernels as flat image: bytes, offset of plan, offset of run."""
    with tempfile.TemporaryDirectory(prefix='glassbox-test-') as work:
        source = os.path.join(SOURCE, 'tests/integration/kernels', name + '.c')
        script, elf, flat = work + '/link', work + '/k.elf', work + '/k.bin'
        with open(script, 'w', encoding='utf-8') as f:
            f.write('SECTIONS { . = 0; .all : { *(.text*) *(.rodata*) *(.data*) } /DISCARD/ : { *(*) } }')
        subprocess.run(['gcc', '-O3', '-march=x86-64', '-fPIC', '-ffreestanding', '-fno-stack-protector', '-fno-builtin',
                        '-fno-tree-loop-distribute-patterns', '-fcf-protection=none', '-fno-asynchronous-unwind-tables',
                        '-I', SOURCE, '-nostdlib', '-static', '-Wl,--no-warn-rwx-segments', f'-Wl,-T,{script}', '-Wl,--build-id=none', source, '-o', elf],
                       check=True)
        subprocess.run(['objcopy', '-O', 'binary', '-j', '.all', elf, flat], check=True)
        names = subprocess.run(['nm', elf], stdout=subprocess.PIPE, check=True, text=True).stdout
        at = {n: int(a, 16) for a, n in re.findall(r'^([0-9a-f]+) [Tt] (plan|run)$', names, re.M)}
        with open(flat, 'rb') as f:
            return f.read(), at['plan'], at['run']


def compile_program(name, bits=64, libc=False, compiler='gcc', flags=('-O1', '-s')):
    """Bytes of a guest program of tests/integration/programs, static, without a C library or with musl."""
    with tempfile.TemporaryDirectory(prefix='glassbox-test-') as work:
        source = os.path.join(SOURCE, 'tests/integration/programs', name + '.c')
        if libc:
            subprocess.run(['musl-gcc', '-O1', '-static', '-s', '-fno-pie', '-no-pie', source, '-o', work + '/program'], check=True)
            with open(work + '/program', 'rb') as f:
                return f.read()
        subprocess.run([compiler, f'-m{bits}', *flags, '-static', '-nostdlib', '-ffreestanding', '-fno-stack-protector', '-fno-pie',
                        '-no-pie', '-fcf-protection=none', *(('-fno-tree-loop-distribute-patterns',) if compiler == 'gcc' else ()),
                        '-Wl,--build-id=none', '-Wl,-z,noseparate-code', source, '-o', work + '/program'], check=True)
        with open(work + '/program', 'rb') as f:
            return f.read()


@contextlib.contextmanager
def learned_library(loops, program=None, prefix='loop_', cases=10000):
    """A kernel library of functions of a program (the guest's own workload if none is given) while it lasts: the folder,
    and what the learner said of each loop in them."""
    with tempfile.TemporaryDirectory(prefix='glassbox-test-') as work:
        with open(work + '/program', 'wb') as f:
            f.write(program or initrd_file('bin/workload', 'default'))
        rows = []
        for loop in loops:
            text = subprocess.run([os.path.join(BUILD, 'src/learn/glassbox-learner'), '--library', work + '/kernels', '--cases',
                                   str(cases), '--function', prefix + loop, work + '/program'],
                                  stdout=subprocess.PIPE, check=True, text=True).stdout
            rows += [json.loads(line) for line in text.splitlines()]
        yield work + '/kernels', rows
