"""What runs and waits on each CPU against the guest's own /proc, while loops of three scheduling classes run on two CPUs."""
import base64
import gzip
import re

import pytest

import house
from plugin_guest import compile_program

PROFILES = [pytest.param(p, marks=() if p == 'testing' else pytest.mark.full) for p in house.KERNELS]
CLASSES = {0: 'fair', 2: 'real-time', 6: 'deadline'}  # by the policy in /proc


def agrees(guest, row):
    """Whether the tasks of a CPU are as many as it counts, and the one that runs is among them."""
    # Real-time tasks that used up their share of a second stay in their queue, but do not count.
    waiting = sum(task['class'] == 'real-time' for task in row['tasks'])
    if not len(row['tasks']) - waiting <= row['running'] <= len(row['tasks']):
        return False
    if row['idle'] or row['pid'] in {task['pid'] for task in row['tasks']}:
        return True
    # __schedule() takes what is to sleep out of its queue first, and only then looks for what runs instead.
    return not {task['pid']: task['state'] for task in guest.answer('threads')}[row['pid']].startswith('R')


@pytest.mark.parametrize('profile', PROFILES)
def test_runnable_tasks(fresh_guest, profile):
    guest = fresh_guest('--cpus', '2', '--mem', '192M', profile=profile)
    text = base64.encodebytes(gzip.compress(compile_program('classes', libc=True))).decode()
    guest.sh(f"base64 -d >/tmp/classes.gz <<'END'\n{text}END")
    said = guest.sh('gunzip /tmp/classes.gz; chmod +x /tmp/classes; /tmp/classes')
    assert 'all loop' in said and 'failed' not in said
    theirs = {}
    for line in guest.sh("cat /proc/[0-9]*/stat").splitlines():
        found = re.match(r'(\d+) \(classes\) R (.*)', line)
        if found:
            theirs[int(found[1])] = CLASSES[int(found[2].split()[37])]
    assert sorted(theirs.values()) == ['deadline', *['fair'] * 4, 'real-time']
    missing, looks, odd = set(theirs), 0, []
    # One with deadlines waits for its next period now and then, and is in no queue.
    for _ in range(40):
        guest.run('pause')
        rows = guest.answer('cpus')
        odd += [row for row in rows if not agrees(guest, row)]
        guest.run('resume')
        ours = {task['pid']: task['class'] for row in rows for task in row['tasks']}
        assert all(ours.get(pid, theirs[pid]) == theirs[pid] for pid in theirs)
        second = [task for task in rows[1]['tasks'] if task['class'] == 'real-time']
        assert 'real-time' in [theirs.get(task['pid']) for task in second]
        missing -= set(ours)
        looks += 1
        if not missing and looks >= 16:
            break
    assert not missing, [theirs[pid] for pid in missing]
    # A guest may be stopped between two stores of its scheduler: what left its queue still counts.
    assert len(odd) <= looks // 8, odd
