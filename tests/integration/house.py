"""What integration tests share: running glassbox, and guests that answer questions on their console.

A test asks for a fixture of conftest.py: `guest` (one demo guest for all read-only tests), `guest_of` (any profile and
options, shared by those who ask for the same), `fresh_guest` (one's own, ended with the test).
"""
import json
import os
import pathlib
import re
import socket
import subprocess
import time
import zlib

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get('GLASSBOX_BUILD', TOP / 'build'))
GLASSBOX = BUILD / 'glassbox'
CACHE = pathlib.Path(os.environ.get('XDG_CACHE_HOME', pathlib.Path.home() / '.cache')) / 'glassbox'
KERNELS = ['5.10', '6.1', '6.12', 'testing']
TRUTH_BYTES = 24 << 20
HANG = 180  # seconds after which a command counts as hung; nothing here is a speed test


def guest_files(profile):
    return CACHE / 'guests' / profile


def run(*args, env=None, check=True):
    """Runs glassbox with the words given. With check, a failure is the test's failure, with what it said."""
    done = subprocess.run([str(GLASSBOX), *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=HANG, env={**os.environ, **(env or {})}, check=False)
    if check and done.returncode:
        raise AssertionError(f'glassbox {" ".join(map(str, args))}: exit {done.returncode}\n{done.stderr}')
    return done


def answer(*args, env=None):
    """The JSON document that a command prints."""
    return json.loads(run(*args, '--json', env=env).stdout)


def refused(*args, code=1, says=None, env=None):
    """Runs a command that must fail: the exit code, and one line on stderr that contains `says`. Returns the line."""
    done = run(*args, env=env, check=False)
    assert done.returncode == code, f'exit {done.returncode}, not {code}: {done.stderr}'
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, f'not one line: {done.stderr!r}'
    if says:
        assert says in lines[0], lines[0]
    return lines[0]


class Console:
    """The guest's serial console, by the socket that glassbox keeps for it."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(HANG)
        self.socket.connect(str(path))
        self.count = 0

    def close(self):
        self.socket.close()

    def run(self, command):
        """Runs one line in the guest's shell; returns (exit code, output). The marks are typed in two halves, so that
        the echo of the command line is not taken for them."""
        self.count += 1
        mark = f'{os.getpid()}x{self.count}'
        line = f"printf '@@%s@\\n' b{mark}; {command}\nprintf '\\n@@%s:%s@\\n' e{mark} $?\n"
        self.socket.sendall(line.encode())
        seen = b''
        end = re.compile(rb'@@e' + mark.encode() + rb':(\d+)@')
        while True:
            found = end.search(seen)
            if found:
                break
            got = self.socket.recv(1 << 16)
            assert got, f'the console closed during {command!r}: {seen[-300:]!r}'
            seen += got
        text = seen[:found.start()].decode(errors='replace').replace('\r', '')
        text = text.split(f'@@b{mark}@\n', 1)[-1]
        # What follows the output is the prompt with the echo of the second line.
        text = text.split("printf '\\n@@", 1)[0].rsplit('glassbox:', 1)[0]
        return int(found.group(1)), text


class Guest:
    """A running demo guest."""

    def __init__(self, name, env, profile=None, disk=None):
        self.name, self.env, self.profile, self.disk = name, env, profile, disk
        self._console = None
        self.status = answer('status', name, env=env)
        self.pid = self.status['pid']

    def settle(self):
        """Waits until the daemons have all started: the list of user processes stays the same for a while."""
        before, same = None, 0
        for _ in range(100):
            now = sorted(p['pid'] for p in self.answer('ps') if not p['kthread'])
            same = same + 1 if now == before else 0
            if same == 3:
                return
            before = now
            time.sleep(0.2)

    @property
    def console(self):
        if not self._console:
            self._console = Console(pathlib.Path(self.env['XDG_RUNTIME_DIR']) / 'glassbox' / self.name / 'console.sock')
        return self._console

    def sh(self, command):
        """The output of a command in the guest; it must end well."""
        code, text = self.console.run(command)
        assert code == 0, f'in the guest, {command!r}: exit {code}: {text}'
        return text

    def answer(self, command, *args):
        return answer(command, self.name, *args, env=self.env)

    def run(self, command, *args, **kwargs):
        return run(command, self.name, *args, env=self.env, **kwargs)

    def refused(self, command, *args, **kwargs):
        return refused(command, self.name, *args, env=self.env, **kwargs)

    def truth_text(self, *args):
        """What `truth ARGS` prints in the guest, through the disk that only serves this (the console is slow)."""
        assert self.disk, 'this guest was started without a truth disk'
        code, said = self.console.run('truth -o /dev/vda ' + ' '.join(map(str, args)))
        assert code == 0, said
        data = self.disk.read_bytes()
        start = data.index(b' begin\n') + 7
        end = re.compile(rb'@@truth \S+ end bytes=(\d+) adler=([0-9a-f]{8})\n')
        size = next(int(m.group(1)) for m in end.finditer(data, start) if int(m.group(1)) == m.start() - start)
        body = data[start:start + size]
        assert zlib.adler32(body) == int(end.match(data, start + size).group(2), 16)
        return body.decode(errors='surrogateescape')

    def truth(self, *args):
        """The JSON lines of `truth ARGS`."""
        return [json.loads(line) for line in self.truth_text(*args).splitlines()]

    def kallsyms(self):
        """(address, type, name, module or '') of every line of the guest's own /proc/kallsyms."""
        rows = []
        for line in self.truth_text('file', '/proc/kallsyms').splitlines():
            words = line.split()
            rows.append((int(words[0], 16), words[1], words[2], words[3].strip('[]') if len(words) > 3 else ''))
        return rows

    def stop(self):
        if self._console:
            self._console.close()
            self._console = None
        run('stop', self.name, env=self.env, check=False)


def start(name, env, *args, profile=None, truth_disk=None):
    """Starts a demo guest that is stopped by the caller; with truth_disk (a path), truth() works."""
    words = ['run', '--detach', '--name', name, *args]
    if profile:
        words += ['--profile', profile]
    if truth_disk:
        with open(truth_disk, 'wb') as f:
            f.truncate(TRUTH_BYTES)
        words += ['--disk', truth_disk]
    run(*words, env=env)
    guest = Guest(name, env, profile, pathlib.Path(truth_disk) if truth_disk else None)
    guest.settle()
    return guest


def processes_with(word):
    """(pid, command line) of processes whose command line holds the word."""
    found = []
    for entry in pathlib.Path('/proc').iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / 'cmdline').read_bytes().replace(b'\0', b' ').decode(errors='replace')
        except OSError:
            continue
        if word in line:
            found.append((int(entry.name), line))
    return found


def left_behind(word):
    """Whatever still speaks of VMs with this word in their name: shared files and processes. Waits a moment for those
    that are just ending."""
    found = []
    for _ in range(100):
        found = [str(p) for p in pathlib.Path('/dev/shm').glob(f'glassbox-{word}*')] + processes_with(word)
        if not found:
            break
        time.sleep(0.05)
    return found
