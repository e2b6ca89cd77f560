"""Live migration and offload: refused by QEMU itself while kernels may run, whole once they have ended. The second QEMU has the
first one's command line; memory is copied through the migration, it does not lie in the same file."""
import array
import base64
import filecmp
import gzip
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time

import pytest

import house
from plugin_guest import default_profile, learned_library, missing

pytestmark = pytest.mark.skipif(bool(missing()) or not shutil.which('musl-gcc'), reason=str(missing() or 'no musl-gcc'))
SOURCE = pathlib.Path(__file__).parent / 'programs/carry.c'
NODE = 'switch-glassbox-offload-off'


class Monitor:
    """QEMU's monitor; refusals are answers too, and descriptors can be passed."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(house.HANG)
        self.socket.connect(str(path))
        self.file = self.socket.makefile('r')
        self.file.readline()
        self.ask('qmp_capabilities')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def answer(self, command, fd=None, **arguments):
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [fd]))] if fd is not None else []
        self.socket.sendmsg([json.dumps({'execute': command, 'arguments': arguments}).encode() + b'\n'], ancillary)
        while True:
            answer = json.loads(self.file.readline())
            if 'event' not in answer:
                return answer

    def ask(self, command, fd=None, **arguments):
        answer = self.answer(command, fd, **arguments)
        assert 'return' in answer, answer
        return answer['return']

    def migrates(self, until):
        """Waits for a state of the migration."""
        while True:
            state = self.ask('query-migrate')
            assert state.get('status') != 'failed', state
            if until(state) or state.get('status') == 'completed':
                return state
            time.sleep(0.02)


def monitor(guest):
    return Monitor(pathlib.Path(guest.env['XDG_RUNTIME_DIR']) / 'glassbox' / guest.name / 'qmp.sock')


class Twin:
    """A QEMU with the command line of a guest's, that waits for a migration."""

    def __init__(self, guest, folder):
        self.folder = folder
        self.ram = folder / 'ram'
        with open(self.ram, 'wb') as f:
            f.truncate(os.path.getsize(f'/dev/shm/glassbox-{guest.name}-ram'))
        self.guest, self.opened = guest, []
        words = pathlib.Path(f'/proc/{guest.pid}/cmdline').read_text().split('\0')[:-1]
        changed = {'-chardev': self.chardev, '-object': self.memory, '-add-fd': self.image}
        line = [words[0]]
        for before, word in zip(words, words[1:]):
            if not {before, word} & {'-plugin', '-sandbox'}:
                line.append(changed[before](word) if before in changed else word)
        modules = re.search(r'QEMU_MODULE_DIR=[^\0]*', pathlib.Path(f'/proc/{guest.pid}/environ').read_text())
        self.process = subprocess.Popen([*line, '-incoming', f'unix:{folder}/incoming'], stdin=subprocess.DEVNULL, pass_fds=self.opened,
                                        env={**os.environ, **dict([modules[0].split('=', 1)] if modules else [])})
        for name in ('incoming', 'qmp', 'serial0', 'events'):
            while not (folder / name).exists():
                assert self.process.poll() is None, 'the second QEMU did not start'
                time.sleep(0.01)

    def chardev(self, text):
        return f"socket,id={(name := re.search('id=([a-z0-9]+)', text)[1])},path={self.folder}/{name},server=on,wait=off"

    def memory(self, text):
        return re.sub('mem-path=[^,]*', f'mem-path={self.ram}', text)

    def image(self, text):
        """Its disk, which glassbox opens for QEMU: to be written, then to be read."""
        self.opened.append(os.open(self.guest.disk, os.O_RDONLY if self.opened else os.O_RDWR))
        return re.sub('fd=[0-9]+', f'fd={self.opened[-1]}', text, count=1)

    def incoming(self):
        connected = socket.socket(socket.AF_UNIX)
        connected.connect(f'{self.folder}/incoming')
        return connected

    def end(self):
        self.process.kill()
        self.process.wait()
        for fd in self.opened:
            os.close(fd)


@pytest.fixture(scope='module')
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp('program') / 'carry'
    subprocess.run(['musl-gcc', '-O2', '-fno-tree-vectorize', '-static', '-fno-pie', '-no-pie', SOURCE, '-o', path], check=True)
    return path.read_bytes()


@pytest.fixture(scope='module')
def library(program):
    with learned_library(['carry'], program) as (kernels, _):
        yield kernels


@pytest.fixture
def guest(fresh_guest, program):
    """A guest that computes until there is a /tmp/end."""
    made = fresh_guest('--learn', profile=default_profile())
    text = base64.encodebytes(gzip.compress(program)).decode()
    made.sh(f"base64 -d >/tmp/carry.gz <<'END'\n{text}END")
    made.sh('gunzip /tmp/carry.gz; chmod +x /tmp/carry; /tmp/carry /tmp/end >/tmp/said 2>&1 & echo')
    return made


def outcome(console):
    """Ends the program; the rounds it made, after it checked itself."""
    _, said = console.run('touch /tmp/end; wait; cat /tmp/said')
    found = re.search(r'rounds=(\d+) wrong=0\b', said)
    assert found, said
    return int(found[1])


def iterations(guest):
    return sum(kernel['iterations'] for kernel in guest.answer('hybrid')['kernels'])


def completed(state):
    return state.get('status') == 'completed'


def refusal(m):
    answer = m.answer('migrate', uri='fd:nothing')
    assert 'error' in answer, answer
    return answer['error']['desc']


def offload(guest, library):
    state = guest.answer('offload', 'on', '--library', library, '--gpu', 'off', '--listen', 'always')
    assert state['offload'] == 'on' and state['migration'] == 'refused'


def test_refused_while_offload_is_on(guest, library, tmp_path):
    """By QEMU itself, and from before offload is on until after it is off; not because of it for glassbox's own copies."""
    with monitor(guest) as m:
        assert 'nothing' in refusal(m)
        before = m.ask('query-named-block-nodes'), m.ask('query-fdsets')
    for _ in range(2):
        offload(guest, library)
        with monitor(guest) as m:
            assert f"'{NODE}' does not support live migration" in refusal(m)
    # Saving copies a guest that stands still; after it, whatever state it was in, migration is refused again.
    for state in ('running', 'paused'):
        if state == 'paused':
            guest.run('pause')
        guest.run('snapshot', tmp_path / 'saved')
        with monitor(guest) as m:
            assert any(NODE in reason for reason in m.ask('query-migrate')['blocked-reasons'])
            assert not any(c['state'] for c in m.ask('query-migrate-capabilities'))
    # A command that was killed between its stop and its end left the guest so: it goes on only when migration is refused.
    with monitor(guest) as m:
        m.ask('blockdev-del', **{'node-name': NODE})
    guest.run('resume')
    assert outcome(guest.console) > 0 and iterations(guest) > 0
    guest.run('reset')
    with monitor(guest) as m:
        assert NODE in refusal(m)
    for _ in range(2):
        assert guest.answer('offload', 'off')['migration'] == 'possible'
    with monitor(guest) as m:
        assert 'nothing' in refusal(m)
        assert (m.ask('query-named-block-nodes'), m.ask('query-fdsets')) == before


def test_copied_live_after_offload(guest, library, tmp_path):
    """Kernels ran, offload is switched off, the guest is copied while it computes: same memory, right results over there.
    While it is copied, offload cannot be switched on."""
    offload(guest, library)
    guest.sh('sleep 1')
    assert iterations(guest) > 0
    guest.run('snapshot', tmp_path / 'saved')
    guest.answer('offload', 'off')
    twin = Twin(guest, tmp_path)
    try:
        with monitor(guest) as m, twin.incoming() as pipe:
            m.ask('getfd', pipe.fileno(), fdname='over')
            m.ask('migrate-set-parameters', **{'max-bandwidth': 32 << 20, 'downtime-limit': 1})
            m.ask('migrate', uri='fd:over')
        refused = guest.refused('offload', 'on', '--library', library, '--gpu', 'off', says='is this VM being migrated')
        assert 'migration' in refused
        assert guest.answer('hybrid')['offload'] == 'off'
        with monitor(guest) as m, Monitor(tmp_path / 'qmp') as other:
            # All memory once, and what was written meanwhile again and again.
            m.migrates(lambda state: state['ram']['dirty-sync-count'] >= 8)
            m.ask('migrate-set-parameters', **{'max-bandwidth': 1 << 30, 'downtime-limit': 2000})
            assert m.migrates(completed)['ram']['dirty-sync-count'] >= 3
            other.migrates(completed)
            assert filecmp.cmp(twin.ram, f'/dev/shm/glassbox-{guest.name}-ram', shallow=False)
            other.ask('cont')
        console = house.Console(tmp_path / 'serial0')
        assert outcome(console) > 0
        console.close()
    finally:
        twin.end()
