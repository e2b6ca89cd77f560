"""Fixtures of the integration tests. Each session has a runtime folder of its own and names its VMs with a word of its
own, so that it neither sees nor disturbs others on the machine; after every test nothing but the shared guests may be
left in /dev/shm or running."""
import itertools
import os
import pathlib
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import house  # noqa: E402

WORD = f'i{os.getpid()}'
count = itertools.count(1)


def pytest_configure(config):
    config.addinivalue_line('markers', 'full: slow; runs in make check-full only')


def pytest_report_header(config):
    return f'glassbox: {house.GLASSBOX}'


@pytest.fixture(scope='session')
def session_runtime():
    """The runtime folder of the shared guests (short: it holds sockets)."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix='gb-'))
    folder.chmod(0o700)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def runtime():
    """A runtime folder of the test's own."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix='gb-'))
    folder.chmod(0o700)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def env(runtime):
    """The environment to run glassbox in, with the test's own runtime folder."""
    return {'XDG_RUNTIME_DIR': str(runtime)}


@pytest.fixture
def vm_name():
    """A new name for a VM; call it for more."""
    return lambda: f'{WORD}-{next(count)}'


class Shared:
    """The guests that tests share, by what they were started with."""

    def __init__(self, runtime, folder):
        self.env = {'XDG_RUNTIME_DIR': str(runtime)}
        self.folder = folder
        self.guests = {}

    def get(self, profile=None, *args):
        key = (profile, *args)
        if key not in self.guests:
            if profile and not house.guest_files(profile).exists():
                pytest.fail(f'there is no guest {profile}; tools/guest {profile} makes it')
            name = f'{WORD}-shared{len(self.guests)}'
            self.guests[key] = house.start(name, self.env, *args, profile=profile or '5.10',
                                           truth_disk=self.folder / f'{name}.truth')
        return self.guests[key]

    def names(self):
        return [g.name for g in self.guests.values()]

    def stop(self):
        for guest in self.guests.values():
            guest.stop()


@pytest.fixture(scope='session')
def shared_guests(session_runtime, tmp_path_factory):
    shared = Shared(session_runtime, tmp_path_factory.mktemp('truth'))
    yield shared
    shared.stop()
    left = house.left_behind(WORD)
    assert not left, f'left behind at the end: {left}'


@pytest.fixture
def guest_of(shared_guests):
    """guest_of(PROFILE, OPTION...): a guest shared by all tests that ask for the same. Do not change it."""
    return shared_guests.get


@pytest.fixture
def guest(shared_guests):
    """The default demo guest, shared. Do not change it."""
    return shared_guests.get()


@pytest.fixture(params=house.KERNELS)
def each_guest(request, shared_guests):
    """Guests of all kernels, started with KASLR, one after the other. Do not change them."""
    return shared_guests.get(request.param, '--kaslr', '--mem', '256M')


@pytest.fixture
def fresh_guest(env, vm_name, tmp_path):
    """fresh_guest(OPTION..., profile=P): a guest of the test's own, ended with the test."""
    started = []

    def make(*args, profile='5.10'):
        name = vm_name()
        started.append(house.start(name, env, *args, profile=profile, truth_disk=tmp_path / f'{name}.truth'))
        return started[-1]

    yield make
    for guest in started:
        guest.stop()


@pytest.fixture(autouse=True)
def nothing_is_left(request, shared_guests):
    """After each test: no file in /dev/shm and no process of VMs other than the shared ones. It asks for shared_guests
    first, so it looks after the test's own guests have been stopped only if their fixture is younger; those who start VMs
    by hand must end them in the test."""
    yield
    shared = set(shared_guests.names())
    left = [str(p) for p in pathlib.Path('/dev/shm').glob(f'glassbox-{WORD}*')
            if not any(p.name.startswith(f'glassbox-{n}-') for n in shared)]
    if left:
        left = [f for f in house.left_behind(WORD) if not any(n in str(f) for n in shared)]
    assert not left, f'left behind: {left}'
