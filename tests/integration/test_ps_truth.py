"""`ps` and friends against what the guest's own kernel says of itself, on every kernel."""
import house

KERNEL_PIDS_COME_AND_GO = 'kworker'


def comparable(rows):
    """By pid, without workers (which appear and vanish at any time) and the tools that the question itself needs."""
    return {r['pid']: r for r in rows if not r['comm'].startswith(KERNEL_PIDS_COME_AND_GO)}


def test_every_process_is_listed_with_its_true_fields(each_guest):
    true = comparable(each_guest.truth('ps'))
    seen = comparable(each_guest.answer('ps'))
    assert true.keys() == seen.keys()
    for pid, row in true.items():
        for field in ('tgid', 'ppid', 'comm', 'uid', 'gid', 'kthread'):
            assert seen[pid][field] == row[field], (pid, field, row, seen[pid])
        if not row['kthread']:
            assert (seen[pid]['args'] or '') == row['args'], pid  # a zombie has none
    assert len(true) > 40


def test_states_agree(each_guest):
    true, seen = comparable(each_guest.truth('ps')), comparable(each_guest.answer('ps'))
    # One that was just woken may differ; the sleepers, the stopped one and the zombie may not.
    sleepers = [p for p, r in true.items() if r['comm'] in ('sleep', 'httpd', 'crond', 'nc', 'klogd', 'tail') or r['state'] in 'TZ']
    assert {true[p]['state'] for p in sleepers} >= {'S', 'T', 'Z'}
    for pid in sleepers:
        assert seen[pid]['state'] == true[pid]['state'], true[pid]


def test_every_symbol_is_named_with_its_true_address(each_guest):
    true = {(a, n) for a, t, n, m in each_guest.kallsyms() if not m}
    seen = {(int(s['address'], 16), s['name']) for s in each_guest.answer('symbols') if not s.get('module')}
    missing = true - seen
    # Symbols that BPF programs and trampolines add at run time are in no table of the kernel image.
    missing = {m for m in missing if not m[1].startswith(('bpf_prog_', 'bpf_trampoline', 'ftrace_trampoline', '__builtin__'))}
    assert not missing, sorted(missing)[:10]
    assert len(true) > 50000


def test_translations_agree_with_the_page_tables_of_a_process(each_guest):
    shell = next(r for r in each_guest.answer('ps') if r['comm'] == 'httpd')
    rows = [r for r in each_guest.truth('pagemap', shell['pid']) if r['physical']]
    assert len(rows) > 20
    for row in rows[:40]:
        seen = each_guest.answer('vtop', row['virtual'], '--pid', shell['pid'])
        assert int(seen['physical'], 16) == int(row['physical'], 16), row


def test_maps_agree(each_guest):
    pid = next(r for r in each_guest.answer('ps') if r['args'] and r['args'].startswith('/bin/workload threads'))['pid']
    true = [(int(r['start'], 16), int(r['end'], 16), r['perms'], int(r['offset'], 16))
            for r in each_guest.truth('maps') if r['pid'] == pid and not r['path'].startswith('[vsyscall')]
    seen = [(int(r['start'], 16), int(r['end'], 16), r['perms'], int(r['offset'], 16)) for r in each_guest.answer('maps', pid)]
    assert seen == true


def test_five_level_paging_is_no_obstacle(guest_of):
    guest = guest_of('6.12', '--kaslr', '--cpu', 'max', '--mem', '256M')
    assert guest.status['paging_levels'] == 5
    assert comparable(guest.truth('ps')).keys() == comparable(guest.answer('ps')).keys()


def test_a_small_guest(guest_of):
    guest = guest_of('5.10', '--mem', '64M')
    assert guest.status['ram_bytes'] == 64 << 20
    assert comparable(guest.truth('ps')).keys() == comparable(guest.answer('ps')).keys()


def test_a_dump_answers_like_the_live_guest(guest, tmp_path):
    dump = tmp_path / 'guest.raw'
    guest.run('dump', '-o', dump)
    live = comparable(guest.answer('ps'))
    dead = comparable(house.answer('ps', '--file', dump, env=guest.env))
    assert live.keys() == dead.keys()
    for pid, row in live.items():
        assert dead[pid]['comm'] == row['comm'] and dead[pid]['task'] == row['task']
