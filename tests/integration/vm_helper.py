"""Starts guests for the tests of the bridge and asks glassbox about them."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get('GLASSBOX_BUILD', TOP / 'build'))
GLASSBOX = BUILD / 'glassbox'
PROGRAMS = BUILD / 'tests/programs'
CACHE = pathlib.Path(os.environ.get('XDG_CACHE_HOME', pathlib.Path.home() / '.cache')) / 'glassbox'
GUEST = CACHE / 'guests/6.1'


def glassbox(*args, timeout=120, check=True, env=None):
    """Runs glassbox; with check the exit status must be 0."""
    done = subprocess.run([GLASSBOX, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          stdin=subprocess.DEVNULL, timeout=timeout, env=env)
    if check:
        assert done.returncode == 0, f'glassbox {args}: {done.stderr}'
    return done


def answer(*args, **kwargs):
    """The JSON document of a call."""
    return json.loads(glassbox(*args, '--json', **kwargs).stdout)


def fails(*args, status=1, words=None, **kwargs):
    """The call must fail with one line on stderr and nothing on stdout."""
    done = glassbox(*args, check=False, **kwargs)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == status, (done.returncode, done.stderr)
    assert len(lines) == 1 and lines[0].startswith('glassbox: '), lines
    assert not done.stdout
    if words:
        assert words in lines[0], lines[0]
    return lines[0]


def unique(what):
    return f't{os.getpid()}-{what}'


def shm_files(name):
    return sorted(p.name for p in pathlib.Path('/dev/shm').glob(f'glassbox-{name}-*'))


def state_dir(name):
    runtime = os.environ.get('XDG_RUNTIME_DIR')
    root = pathlib.Path(runtime) / 'glassbox' if runtime else \
        pathlib.Path('/run/glassbox') if os.geteuid() == 0 else pathlib.Path(f'/tmp/glassbox-{os.geteuid()}')
    return root / name


def process_alive(pid):
    try:
        return pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0] not in 'ZX'
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition, seconds=20, step=0.02):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(step)
    return bool(condition())


def nothing_left(name):
    """True once no file of the VM exists any more."""
    return not shm_files(name) and not state_dir(name).exists()


@contextlib.contextmanager
def demo_vm(what, *args):
    """A detached demo guest that is up; stopped at the end whatever happens."""
    name = unique(what)
    started = answer('run', '--detach', '--name', name, *args)
    try:
        yield started
    finally:
        glassbox('stop', name, '--force', check=False)
        assert wait_until(lambda: nothing_left(name)), shm_files(name)


def system_qemu():
    return shutil.which('qemu-system-x86_64')


@contextlib.contextmanager
def foreign_qemu(tmp_path, *args):
    """A QEMU started by hand with the demo guest's kernel, up to its ready line."""
    log = tmp_path / 'serial.log'
    command = [system_qemu(), '-accel', 'tcg', '-display', 'none', '-nodefaults', '-kernel', GUEST / 'vmlinux', '-initrd',
               GUEST / 'initrd.img', '-append', 'console=ttyS0 quiet cryptomgr.notests', '-serial', f'file:{log}', *args]
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: log.exists() and b'glassbox guest: ready' in log.read_bytes(), 90), \
            f'guest did not start: {process.poll()}'
        yield process
    finally:
        process.kill()
        process.wait()


class Qmp:
    """A plain QMP client, so that tests do not trust glassbox's own."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(path))
        self.file = self.socket.makefile('rw')
        assert 'QMP' in json.loads(self.file.readline())
        self.command('qmp_capabilities')

    def command(self, name, **args):
        self.file.write(json.dumps({'execute': name, 'arguments': args}) + '\n')
        self.file.flush()
        while True:
            message = json.loads(self.file.readline())
            if 'event' not in message:
                assert 'return' in message, message
                return message['return']

    def close(self):
        self.file.close()
        self.socket.close()


def console(name, line):
    """Types a line at the guest's shell."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(state_dir(name) / 'console.sock'))
        time.sleep(0.3)
        s.sendall(line.encode() + b'\n')
        time.sleep(0.3)


def kill(pid, number=signal.SIGKILL):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
