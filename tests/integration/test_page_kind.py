"""The kind of every page frame against what the guest's own kernel says of it, frame by frame; search in real memory."""
import json
import random
import struct
import subprocess

import house

PAGE_TRUTH = house.BUILD / 'tests' / 'tools' / 'page_truth'


def write_truth(runs, path):
    """What page_truth takes: the flags of all frames, then their counts."""
    n = runs[-1]['pfn'] + runs[-1]['pages']
    flags, counts = [0] * n, [0] * n
    for run in runs:
        at, end = run['pfn'], run['pfn'] + run['pages']
        flags[at:end] = [int(run['flags'], 16)] * run['pages']
        counts[at:end] = [run['mapcount']] * run['pages']
    path.write_bytes(struct.pack(f'<{2 * n}Q', *flags, *counts))


def test_frames_agree_with_kpageflags(each_guest, tmp_path):
    runs = each_guest.truth('kpageflags')
    each_guest.run('dump', '-o', tmp_path / 'ram.elf', '--format', 'elf')
    write_truth(runs, tmp_path / 'truth')
    done = subprocess.run([PAGE_TRUTH, tmp_path / 'ram.elf', tmp_path / 'truth'], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    print(said)
    # The guest went on between its own look and ours.
    assert said['frames'] >= 65536 - 300
    assert said['agreement'] >= 0.995
    assert said['counts_agreed'] / said['frames'] >= 0.995
    assert abs(said['buddy'] - said['kernel_free']) < 64


def test_page_finds_who_maps_it(each_guest):
    pid, found = 1, 0
    for vma in each_guest.answer('maps', pid):
        done = each_guest.run('page', vma['start'], '--pid', pid, '--json', check=False)
        if done.returncode:
            continue  # not present
        page = json.loads(done.stdout)
        ours = next(row for row in page['mappings'] if row['pid'] == pid and row['virtual'] == vma['start'])
        assert ours['area']['start'] == vma['start'] and ours['area']['path'] == vma['path']
        if vma['path'] == '[heap]':
            assert page['kind'] == 'heap' and page['owner_pid'] == pid
        assert len(page['voxel']) == 3 and page['flags'] is not None
        found += 1
    assert found >= 3


def test_regions_cover_all_of_ram_once(each_guest):
    at = 0
    rows = each_guest.answer('regions')
    for row in rows:
        assert int(row['start'], 16) == at and int(row['end'], 16) - at == row['pages'] * 4096
        at = int(row['end'], 16)
    assert at == 256 << 20
    assert {'free', 'kernel-text', 'slab', 'page-table', 'kernel-stack', 'heap', 'stack', 'anon'} <= {r['kind'] for r in rows}
    assert sum(row['pages'] for row in each_guest.answer('regions', '--totals')) == 65536


def test_search_finds_text_in_ram_and_in_one_process(fresh_guest):
    guest = fresh_guest('--mem', '128M')
    guest.sh('(GLASSBOX_NEEDLE=hay-in-the-stack-4711 exec sleep 4711 >/dev/null 2>&1 &)')
    hits = guest.answer('search', 'hay-in-the-stack-4711')
    pid = next(row['pid'] for row in guest.answer('ps') if row['comm'] == 'sleep' and '4711' in (row['args'] or ''))
    inside = guest.answer('search', '--pid', pid, '--regex', 'hay-in-the-[a-z]+-47..')
    assert inside and all(row['kind'] == 'stack' and row['owner_pid'] == pid for row in inside)
    assert {row['physical'] for row in inside} <= {row['physical'] for row in hits}
    assert guest.answer('search', '--hex', '6861 79?? 696e2d746865', '--pid', pid)
    assert guest.answer('search', 'no such words ' + 'anywhere' * 3) == []
    guest.refused('search', 'a(', '--regex', code=2)


def test_read_takes_symbols_and_processes(each_guest):
    assert each_guest.answer('read', 'linux_banner', 14)['bytes'] == b'Linux version '.hex()
    text = each_guest.run('read', 'init_task', 64).stdout
    assert text.splitlines()[0] == 'init_task:'
    start = each_guest.answer('maps', 1)[0]['start']
    said = each_guest.answer('read', start, 4, '--pid', 1)
    assert bytes.fromhex(said['bytes']) == b'\x7fELF' and said['space'] == 'process'
    each_guest.refused('read', '0x10', 4, '--pid', 1, says='not mapped')
    each_guest.refused('read', 'no_such_symbol', 4, code=2)


def spoil(image, kinds, seed, regions, target):
    """A copy of raw memory with wild words in pages of these kinds: pointers into RAM, entries of page tables, noise."""
    rng, data = random.Random(seed), bytearray(image.read_bytes())
    pages = [p for r in regions if r['kind'] in kinds for p in range(int(r['start'], 16) >> 12, int(r['end'], 16) >> 12)]
    for _ in range(3000):
        at = (rng.choice(pages) << 12) + 8 * rng.randrange(512)
        value = rng.choice([rng.getrandbits(64), 0xffff888000000000 + rng.randrange(len(data)), 2 ** 64 - 1, at & ~4095 | 0x67,
                            rng.randrange(len(data)) & ~4095 | 0x67])
        struct.pack_into('<Q', data, at, value)
    target.write_bytes(data)
    return target


def test_hostile_page_structures_and_tables_end_in_an_answer(each_guest, tmp_path):
    image, bad = tmp_path / 'ram.raw', tmp_path / 'bad.raw'
    each_guest.run('dump', '-o', image)
    regions = house.answer('regions', '--file', image)
    for seed, kinds in enumerate([('memmap',), ('page-table',), ('slab',), ('memmap', 'page-table', 'slab', 'kernel-stack')]):
        spoil(image, kinds, seed, regions, bad)
        rows = house.answer('regions', '--file', bad)
        assert sum(row['pages'] for row in rows) == 65536
        house.answer('page', '--file', bad, hex(rng_page(seed)))


def rng_page(seed):
    return random.Random(seed).randrange(65536) << 12
