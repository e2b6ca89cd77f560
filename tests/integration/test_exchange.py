"""Files for other tools: Volatility 3 takes our symbols and our dumps and finds what we find; bpftool reads our BTF; what
we write we read."""
import json
import re
import shutil
import struct
import subprocess

import pytest

import house
import volatility

FORMATS = ('raw', 'lime', 'elf')
PROFILES = [pytest.param(p, marks=() if p in ('6.1', 'testing') else pytest.mark.full) for p in house.KERNELS]


class Image:
    """Dumps of one guest at one moment, in every format."""

    def __init__(self, guest, folder):
        self.folder = folder
        guest.sh('(nc -l -p 4242 </dev/null >/dev/null 2>&1 &) ; sleep 1')
        guest.run('pause')
        self.dumps = {}
        for form in FORMATS:
            self.dumps[form] = folder / f'dump.{form}'
            said = guest.answer('dump', '-o', self.dumps[form], '--format', form)
            assert said['memory_bytes'] == 256 << 20 and said['format'] == form

    def answer(self, command, *args, form='raw'):
        return house.answer(command, '--file', self.dumps[form], *args)


@pytest.fixture(scope='module', params=PROFILES)
def image(request, session_runtime, tmp_path_factory):
    # Volatility has no 5-level paging: a CPU without it.
    env, folder = {'XDG_RUNTIME_DIR': str(session_runtime)}, tmp_path_factory.mktemp('exchange')
    guest = house.start(f'exchange{request.param}-{folder.parent.name}', env, '--kaslr', '--mem', '256M', '--cpu', 'qemu64',
                        profile=request.param)
    try:
        made = Image(guest, folder)
    finally:
        guest.stop()
    yield made
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope='module')
def vol(image):
    why = volatility.missing()
    if why:
        pytest.skip(why)
    made = volatility.Volatility(image.folder)
    image.answer('isf', '-o', made.symbols / 'linux' / 'guest.json.xz')
    return made


def living(rows):
    """Volatility leaves out processes that have ended and wait for their parent."""
    return [row for row in rows if row['state'] not in 'ZX']


def test_our_formats_hold_the_same(image):
    wanted = image.answer('ps')
    assert len(wanted) > 20
    for form in FORMATS[1:]:
        assert image.answer('ps', form=form) == wanted


def test_volatility_lists_our_processes_from_every_format(image, vol):
    wanted = {(row['pid'], row['ppid']) for row in living(image.answer('ps'))}
    for form, path in image.dumps.items():
        assert {(row['PID'], row['PPID']) for row in vol.run(path, 'linux.pslist')} == wanted, form


def test_volatility_lists_our_modules(image, vol):
    rows = vol.run(image.dumps['raw'], 'linux.lsmod')
    assert {row['Module Name'] for row in rows} == {row['name'] for row in image.answer('lsmod')}


def test_volatility_sees_the_banner(image, vol):
    release = image.answer('status')['kernel_release']
    banners = [row['Banner'] for row in vol.run(image.dumps['elf'], 'banners.Banners')]
    assert any(f'Linux version {release} ' in banner for banner in banners)


def test_volatility_lists_our_sockets(image, vol):
    rows = [row for row in vol.run(image.dumps['lime'], 'linux.sockstat') if row['PID'] == row['TID']]
    found = {(row['PID'], row['FD']) for row in rows}
    wanted = {(row['pid'], row['fd']) for row in image.answer('sockets') if row['fd'] is not None}
    assert found and found <= wanted


def test_an_isf_and_a_system_map_read_back_give_the_same_processes(image):
    isf, system_map = image.folder / 'again.json', image.folder / 'System.map'
    said = image.answer('isf', '-o', isf)
    assert said['symbols'] > 50000 and said['user_types'] > 3000
    wanted = image.answer('ps')
    assert image.answer('ps', '--symbols', isf) == wanted
    offset = int(image.answer('status')['kernel_offset'], 16)
    with open(system_map, 'w') as out:
        for row in image.answer('symbols'):
            address = int(row['address'], 16)
            linked = address - offset if address >= 0xffffffff80000000 else address
            if not row.get('module'):
                out.write(f"{linked:016x} {row['type'].strip() or 't'} {row['name']}\n")
    assert image.answer('ps', '--symbols', system_map) == wanted


def test_a_kernel_that_lists_functions_only(image):
    """As built without KALLSYMS_ALL: the variables that lists begin with are found by what must be there, or refused."""
    rows = [row for row in image.answer('symbols') if not row['module']]
    at = {row['name']: int(row['address'], 16) for row in rows}
    offset = int(image.answer('status')['kernel_offset'], 16)
    functions = image.folder / 'functions.map'
    with open(functions, 'w') as out:
        for row in rows:
            address = int(row['address'], 16)
            if at['_stext'] <= address <= at['_etext'] or row['name'] == 'linux_banner':
                out.write(f"{address - offset:016x} T {row['name']}\n")
    for call in ('ps', 'lsmod', 'slabs', 'cgroups', 'mounts', 'cached', 'dmesg'):
        done = house.run(call, '--file', image.dumps['raw'], '--symbols', functions, '--json')
        mine, true = json.loads(done.stdout), image.answer(call)
        if call == 'ps':  # without per-CPU data resident sizes are rough, and a note says so
            mine, true = ([{k: v for k, v in row.items() if not k.startswith('rss')} for row in rows] for rows in (mine, true))
        assert mine == true, call
    for call in (['cpus'], ['timers'], ['ps', '--hidden'], ['lsmod', '--hidden']):
        done = house.run(*call, '--file', image.dumps['raw'], '--symbols', functions, '--json', check=False)
        assert done.returncode == 1 and done.stdout == '', call
    held = [row for row in image.answer('sockets') if row['pid'] is not None]
    done = house.run('sockets', '--file', image.dumps['raw'], '--symbols', functions, '--json')
    assert [row for row in json.loads(done.stdout) if row['pid'] is not None] == held and 'tables of sockets' in done.stderr


@pytest.mark.full
def test_symbols_of_every_kind_without_those_in_ram(image):
    """ISF (plain and packed), System.map and BTF file of a guest whose own types are destroyed."""
    blind = without(image.dumps['raw'], image.folder / 'no-types.raw', False)
    isf, packed, btf = (image.folder / name for name in ('kinds.json', 'kinds.json.xz', 'kinds.btf'))
    image.answer('isf', '-o', isf)
    image.answer('isf', '-o', packed)
    image.answer('btf', '-o', btf)
    try:
        for kind in (isf, packed, btf):
            for call in ('ps', 'sockets', 'slabs', 'cpus', 'cgroups'):
                mine = json.loads(house.run(call, '--file', blind, '--symbols', kind, '--json').stdout)
                assert mine == image.answer(call), (kind, call)
    finally:
        blind.unlink()


def test_bpftool_reads_our_btf(image):
    bpftool = shutil.which('bpftool') or shutil.which('/usr/sbin/bpftool')
    if not bpftool:
        pytest.skip('no bpftool here')
    path = image.folder / 'kernel.btf'
    said = image.answer('btf', '-o', path)
    text = subprocess.run([bpftool, 'btf', 'dump', 'file', path], capture_output=True, text=True, check=True).stdout
    assert f"[{said['types']}] " in text and "STRUCT 'task_struct'" in text
    assert image.answer('ps', '--symbols', path) == image.answer('ps')


DRGN = """
import json, sys, drgn
from drgn.helpers.linux.kallsyms import load_vmlinux_kallsyms
program = drgn.Program()
program.set_core_dump(sys.argv[1])
program.register_symbol_finder('kallsyms', load_vmlinux_kallsyms(program), enable_index=0)
banner = program.symbol('linux_banner').address
json.dump({'flags': str(program.flags), 'release': program['UTS_RELEASE'].string_().decode(),
           'banner': program.read(banner, 64).decode(), 'symbols': [[s.name, s.address] for s in program.symbols()]}, sys.stdout)
"""


def test_drgn_opens_our_dump_and_finds_our_symbols(image):
    """Its lists need debugging information; what it finds without must be what we find."""
    why = volatility.missing('drgn', 'drgn')
    if why:
        pytest.skip(why)
    done = subprocess.run([volatility.VENV / 'bin' / 'python', '-c', DRGN, image.dumps['elf']], capture_output=True, text=True)
    if 'were not found in VMCOREINFO' in done.stderr:
        pytest.skip('this kernel does not tell drgn where its symbols are (since 6.0)')
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    assert 'IS_LINUX_KERNEL' in said['flags'] and said['banner'].startswith('Linux version ')
    assert said['release'] == image.answer('status')['kernel_release']
    ours = {(row['name'], int(row['address'], 16)) for row in image.answer('symbols') if not row['module']}
    assert len(ours) > 50000 and {tuple(row) for row in said['symbols']} == ours


def without(image, path, everything):
    """A copy of raw memory in which the kernel's types (and its symbols) are destroyed."""
    data = bytearray(image.read_bytes())
    for found in list(re.finditer(rb'\x9f\xeb\x01\x00\x18\x00\x00\x00', data)):
        data[found.start():found.start() + 24] = bytes(24)
    if everything:
        for found in list(re.finditer(rb'OSRELEASE=', data)):
            data[found.start():found.end()] = b'X' * 10
        for found in list(re.finditer(rb'(?=\0\0[\x02-\x3f]\0)', data)):
            if found.start() + 512 > len(data):
                continue
            table = struct.unpack_from('<256H', data, found.start())
            if all(2 <= after - before <= 63 for before, after in zip(table, table[1:])):
                data[found.start():found.start() + 512] = bytes(512)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize('everything', [False, True], ids=['no-types', 'neither-types-nor-symbols'])
def test_processes_are_found_by_shape_alone(image, everything):
    blind = without(image.dumps['raw'], image.folder / 'blind.raw', everything)
    done = house.run('ps', '--file', blind, '--json')
    assert 'shape of its first task' in done.stderr
    found = json.loads(done.stdout)
    rows = image.answer('ps')
    assert [r['pid'] for r in found] == [r['pid'] for r in rows]
    # Workers' names and sizes are all that is not known.
    for mine, true in zip(found, rows):
        for name in ('tgid', 'ppid', 'task', 'kthread', 'cr3', 'state', 'uid', 'gid', 'start_ns', 'args'):
            assert mine[name] == true[name], (name, mine, true)
    for call in (['threads'], ['lsmod'], ['mounts'], ['files'], ['env', '1'], ['maps', '1']):
        mine = json.loads(house.run(*call, '--file', blind, '--json').stdout)
        true = json.loads(house.run(*call, '--file', image.dumps['raw'], '--json').stdout)
        keys = {'threads': ('pid', 'tgid', 'state'), 'files': ('pid', 'fd', 'path', 'type'),
                'maps': ('start', 'end', 'perms', 'offset')}.get(call[0], tuple(true[0]))
        assert [[r[k] for k in keys] for r in mine] == [[r[k] for k in keys] for r in true], call
    check_what_needs_more(image, blind, everything)
    done = house.run('cpus', '--file', blind, '--json', check=False)
    if everything:
        assert done.returncode == 1 and done.stdout == ''
    else:  # what runs, but not what waits
        mine, true = json.loads(done.stdout), image.answer('cpus')
        assert [[row[k] for k in ('cpu', 'pid', 'idle', 'task', 'runqueue')] for row in mine] == [
            [row[k] for k in ('cpu', 'pid', 'idle', 'task', 'runqueue')] for row in true]
        assert 'fair tasks of this kernel are not known' in done.stderr and all(row['running'] is None for row in mine)
    for call in ('timers', 'irqs', 'cached', 'cgroups'):
        done = house.run(call, '--file', blind, '--json', check=False)
        assert done.returncode == 1 and done.stdout == '', call


def check_what_needs_more(image, blind, everything):
    """Page structures, caches, stacks and sockets: the same as with types, or refused where the symbols are gone as well."""
    held = [row for row in image.answer('sockets') if row['pid'] is not None]
    pid = next(row['pid'] for row in image.answer('ps') if row['args'] == '/bin/sleep 200000')
    for call in (['slabs'], ['sockets'], ['stack', pid], ['regions', '--totals']):
        done = house.run(*call, '--file', blind, '--json', check=False)
        if everything and (done.returncode or 'coarse' in done.stderr):
            assert call[0] == 'regions' or done.stdout == '', call
            continue
        mine, true = json.loads(done.stdout), image.answer(*call)
        if call == ['sockets']:  # what waits in their queues and whose they are is not known, nor those that nobody holds
            unknown = ('receive_queue', 'send_queue', 'uid')
            assert all(row[name] is None for row in mine for name in unknown) and len(held) >= 5
            mine, true = ([{k: v for k, v in row.items() if k not in unknown} for row in rows] for rows in (mine, held))
        if call[0] == 'stack' and everything:
            continue
        assert mine == true, call


def test_a_disk_that_is_full_leaves_nothing_behind(image):
    path = image.folder / 'too-large.raw'
    script = 'ulimit -f 1000; trap "" XFSZ; exec "$@"'
    done = subprocess.run(['bash', '-c', script, '-', str(house.GLASSBOX), 'dump', '--file', str(image.dumps['raw']), '-o', str(path)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.count('\n') == 1
    assert not list(image.folder.glob('too-large*'))
