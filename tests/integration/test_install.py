"""What `make install` and `make deb` give: the program, its manual, completion; and that it works from there."""
import os
import pathlib
import shutil
import subprocess

import house
import pytest


def run(*words, **kwargs):
    return subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=house.HANG, check=False, **kwargs)


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """The prefix below a DESTDIR."""
    target = tmp_path_factory.mktemp('destdir')
    done = run('meson', 'install', '-C', house.BUILD, '--no-rebuild', '--destdir', target)
    assert done.returncode == 0, done.stderr
    return next(target.glob('**/bin/glassbox')).parents[1]


def test_the_program_runs_where_it_is_installed(installed, guest):
    program = installed / 'bin/glassbox'
    assert run(program, 'version').stdout.startswith('glassbox ')
    assert guest.name in run(program, 'ls', env={**os.environ, **guest.env}).stdout
    assert (installed / 'libexec/glassbox/glassbox-learner').exists() and list(installed.glob('lib*/**/glassbox/glassbox-plugin-7.so'))
    assert (installed / 'share/glassbox/tools/guest').stat().st_mode & 0o111
    hint = run(program, 'run', '--profile', '4.4').stderr
    assert f'{installed.resolve()}/share/glassbox/tools/setup guest 4.4' in hint, hint


def test_the_manual(installed):
    page = installed / 'share/man/man1/glassbox.1'
    text = page.read_text()
    for command in ('ps', 'ask', 'serve', 'render', 'offload'):
        assert f'\n.SS {command}\n' in text
    if shutil.which('man'):
        shown = run('man', '--warnings', '-l', page, env={**os.environ, 'LC_ALL': 'C.UTF-8', 'MANPAGER': 'cat', 'MANWIDTH': '100'})
        assert shown.returncode == 0 and not shown.stderr and 'EXIT STATUS' in shown.stdout


def complete(script, *words):
    """What bash offers for the last word."""
    line = ' '.join(f"'{w}'" for w in words)
    code = f'source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _glassbox; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = run('bash', '-c', code)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.split()


def test_bash_completion(installed):
    script = installed / 'share/bash-completion/completions/glassbox.bash'
    assert 'snapshot' in complete(script, 'glassbox', 'sna') and complete(script, 'glassbox', 'moun') == ['mounts']
    assert {'--json', '--hidden', '--no-cache'} <= set(complete(script, 'glassbox', 'ps', 'vm', '--'))
    assert complete(script, 'glassbox', 'render', 'vm', '--mode', 'en') == ['entropy']


@pytest.mark.parametrize('shell, path', [('zsh', 'zsh/vendor-completions/_glassbox'), ('fish', 'fish/vendor_completions.d/glassbox.fish')])
def test_other_shells(installed, shell, path):
    text = (installed / 'share' / path).read_text()
    assert 'snapshot' in text and 'no-cache' in text
    if shutil.which(shell):
        assert run(shell, '-n', installed / 'share' / path).returncode == 0
    assert house.run('completion', 'tcsh', check=False).returncode == 2


@pytest.mark.full
def test_the_debian_package(tmp_path):
    """Built, looked at by lintian, installed into a root made by debootstrap, and run there on a dump-less machine."""
    if os.getuid() or not shutil.which('debootstrap'):
        pytest.skip('needs root and debootstrap')
    built = subprocess.run([house.TOP / 'tools/deb'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=3600, check=True)
    package = house.TOP / built.stdout.strip().splitlines()[-1]
    if shutil.which('lintian'):
        said = run('lintian', '--fail-on', 'error', package, cwd=tmp_path)
        assert said.returncode == 0, said.stdout
    root = tmp_path / 'root'
    made = subprocess.run(['debootstrap', '--variant=minbase', 'bookworm', root], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=3600, check=False)
    if made.returncode:
        pytest.skip(f'debootstrap cannot make a root here: {made.stdout[-200:]}')
    shutil.copy(package, root / 'glassbox.deb')
    shutil.copy('/etc/resolv.conf', root / 'etc/resolv.conf')
    for name in pathlib.Path('/etc/apt/apt.conf.d').iterdir():
        shutil.copy(name, root / 'etc/apt/apt.conf.d' / name.name)

    def inside(*words):
        done = subprocess.run(['chroot', root, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=3600, check=False,
                              env={'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'DEBIAN_FRONTEND': 'noninteractive', 'HOME': '/root',
                                   **{k: v for k, v in os.environ.items() if k.lower().endswith('_proxy')}})
        assert done.returncode == 0, (words, done.stdout[-3000:])
        return done.stdout
    inside('apt-get', 'install', '-y', '--no-install-recommends', '/glassbox.deb')
    assert inside('glassbox', 'version').startswith('glassbox ')
    assert 'snapshot' in inside('glassbox', 'help')
    assert inside('glassbox', 'kernels', '--json').strip() == '[]', 'SQLite is loaded'
    page = inside('sh', '-c', 'mkdir -p /run; glassbox serve --listen 127.0.0.1:0 --json > /tmp/s & sleep 3; cat /tmp/s; kill $!; wait')
    assert '"url"' in page, 'libwebsockets is loaded'
