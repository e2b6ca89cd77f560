"""`credentials` against /proc/PID/status, /proc/PID/cgroup and /proc/PID/ns of processes of several users."""
import re

SETS = {'inheritable': 'CapInh', 'permitted': 'CapPrm', 'effective': 'CapEff', 'bounding': 'CapBnd', 'ambient': 'CapAmb'}


def test_credentials_and_groups_are_those_of_proc(each_guest):
    rows = {row['pid']: row for row in each_guest.answer('credentials')}
    names = [row for row in each_guest.answer('ps') if row['comm'] in ('init', 'sleep', 'httpd', 'nc') and row['state'] == 'S']
    chosen = {row['uid']: row for row in names}  # one of each user
    chosen.update({row['cgroup']: row for row in each_guest.answer('ps') if row['cgroup'] != '/'})
    assert len(chosen) >= 4 and any(row['cgroup'] == '/demo/web' for row in chosen.values())
    for pid in {row['pid'] for row in chosen.values()}:
        mine = rows[pid]
        status = dict(line.split(':', 1) for line in each_guest.truth_text('file', f'/proc/{pid}/status').splitlines())
        for field, name in SETS.items():
            assert int(mine[field], 16) == int(status[name], 16), (pid, name)
        assert [mine[n] for n in ('uid', 'euid', 'suid', 'fsuid')] == [int(n) for n in status['Uid'].split()]
        assert [mine[n] for n in ('gid', 'egid', 'sgid', 'fsgid')] == [int(n) for n in status['Gid'].split()]
        assert mine['groups'] == [int(n) for n in status['Groups'].split()]
        groups = [line.split(':', 2)[2] for line in each_guest.truth_text('file', f'/proc/{pid}/cgroup').splitlines()]
        assert mine['cgroup'] in groups
        for kind, number in mine['namespaces'].items():
            shown = each_guest.sh(f'readlink /proc/{pid}/ns/{kind} || true')
            found = re.search(r'\[(\d+)\]', shown)
            assert not found or int(found[1]) == number, (pid, kind)
