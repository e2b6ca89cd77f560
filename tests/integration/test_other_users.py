"""glassbox for a person who is not root: everything but what only root may do."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from vm_helper import GLASSBOX, GUEST, answer, demo_vm, state_dir, unique, wait_until

NOBODY = 65534
pytestmark = [pytest.mark.skipif(not GUEST.exists(), reason='no demo guest; tools/guest makes it'),
              pytest.mark.skipif(os.geteuid() != 0, reason='only root can become somebody else')]


@pytest.fixture(scope='module')
def home():
    """A place that nobody owns, with a copy of the program and a guest."""
    top = pathlib.Path(tempfile.mkdtemp(prefix='gb-user-', dir='/tmp'))
    guest = top / 'cache/glassbox/guests/6.1'
    shutil.copytree(GUEST, guest)
    (top / 'bin').mkdir()
    (top / 'run').mkdir(mode=0o700)
    shutil.copy(GLASSBOX, top / 'bin')
    shutil.copytree(GLASSBOX.parent / 'plugin', top / 'bin/plugin', ignore=shutil.ignore_patterns('*.p'))
    for path in [top, *top.rglob('*')]:
        os.chown(path, NOBODY, NOBODY)
    yield top
    shutil.rmtree(top)


@pytest.fixture
def as_nobody(home):
    env = {'PATH': '/usr/bin:/bin', 'HOME': str(home), 'XDG_CACHE_HOME': str(home / 'cache'), 'XDG_RUNTIME_DIR': str(home / 'run')}

    def call(*args, ok=True):
        done = subprocess.run([home / 'bin/glassbox', *map(str, args)], env=env, user=NOBODY, group=NOBODY, extra_groups=[], cwd=home,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
        assert (done.returncode == 0) == ok, (args, done)
        return json.loads(done.stdout) if ok else done.stderr
    return call


def test_a_life_without_root(as_nobody, home):
    name = unique('user')
    started = as_nobody('run', '--detach', '--profile', '6.1', '--name', name, '--json')
    try:
        assert os.stat(f'/dev/shm/glassbox-{name}-ram').st_uid == NOBODY
        assert os.stat(f'/proc/{started["pid"]}').st_uid == NOBODY
        isolation = as_nobody('status', name, '--json')['isolation']
        assert isolation['seccomp'] and isolation['no_new_privs'] and isolation['uid'] is None
        assert {'init', 'kthreadd'} <= {p['comm'] for p in as_nobody('ps', name, '--json')}
        assert as_nobody('snapshot', name, home / 'kept.gbs', '--json')['consistent']
        assert not state_dir(name).exists(), 'each person has a folder of state of their own'
    finally:
        as_nobody('stop', name, '--force', '--json')
    assert not list(home.glob('run/glassbox/*/vm.json'))
    back = unique('back')
    as_nobody('restore', home / 'kept.gbs', '--name', back, '--json')
    assert as_nobody('stop', back, '--force', '--json')['state'] == 'stopped'
    assert wait_until(lambda: not list(pathlib.Path('/dev/shm').glob(f'glassbox-{back}-*')))


def test_the_vm_of_another_is_out_of_reach(as_nobody, home):
    with demo_vm('theirs') as vm:
        for call in (['ps', vm['name']], ['stop', vm['name']], ['ps', vm['pid']], ['attach', vm['pid']],
                     ['ps', '--file', f'/dev/shm/glassbox-{vm["name"]}-ram']):
            said = as_nobody(*call, ok=False)
            assert said.startswith('glassbox: ') and len(said.splitlines()) == 1, said
        assert not [v for v in as_nobody('ls', '--json') if v['ours']]
        assert answer('status', vm['name'])['state'] == 'running'
