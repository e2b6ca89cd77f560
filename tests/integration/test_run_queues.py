"""What runs and waits on each CPU against the guest's own /proc, while loops of three scheduling classes run on two CPUs."""
import base64
import gzip
import re

import pytest

import house
from plugin_guest import compile_program

PROFILES = [pytest.param(p, marks=() if p == 'testing' else pytest.mark.full) for p in house.KERNELS]
CLASSES = {0: 'fair', 2: 'real-time', 6: 'deadline'}  # by the policy in /proc


@pytest.mark.parametrize('profile', PROFILES)
def test_runnable_tasks(fresh_guest, profile):
    guest = fresh_guest('--cpus', '2', '--mem', '192M', profile=profile)
    text = base64.encodebytes(gzip.compress(compile_program('classes', libc=True))).decode()
    guest.sh(f"base64 -d >/tmp/classes.gz <<'END'\n{text}END")
    # Without the reserve for others a real-time task is always in its queue.
    said = guest.sh('gunzip /tmp/classes.gz; chmod +x /tmp/classes; echo -1 >/proc/sys/kernel/sched_rt_runtime_us; /tmp/classes')
    assert said.split() == ['all', 'loop']
    theirs = {}
    for line in guest.sh("cat /proc/[0-9]*/stat").splitlines():
        found = re.match(r'(\d+) \(classes\) R (.*)', line)
        if found:
            theirs[int(found[1])] = CLASSES[int(found[2].split()[37])]
    assert sorted(theirs.values()) == ['deadline', *['fair'] * 4, 'real-time']
    missing = set(theirs)
    for _ in range(10):  # one with deadlines waits for its next period now and then, and is in no queue
        guest.run('pause')
        rows = guest.answer('cpus')
        guest.run('resume')
        ours = {task['pid']: task['class'] for row in rows for task in row['tasks']}
        assert all(ours.get(pid, theirs[pid]) == theirs[pid] for pid in theirs)
        for row in rows:
            assert row['running'] == len(row['tasks']) and (row['idle'] or row['pid'] in {task['pid'] for task in row['tasks']})
        second = [task for task in rows[1]['tasks'] if task['class'] == 'real-time']
        assert [theirs.get(task['pid']) for task in second] == ['real-time']
        missing -= set(ours)
    assert not missing
