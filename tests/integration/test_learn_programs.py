"""Real programs in a running guest: loops that ran are learned, proved and tested, at least fifty different ones."""
import collections

import pytest

import learn_programs
from plugin_guest import missing

pytestmark = [pytest.mark.full, pytest.mark.skipif(missing() is not None, reason=str(missing()))]


def test_fifty_kernels_from_traces(runtime):
    env = {'XDG_RUNTIME_DIR': str(runtime), 'XDG_DATA_HOME': str(runtime / 'data')}
    rows = learn_programs.survey(env, cases=1000, say=print)
    outcomes = collections.Counter(r['outcome'] for r in rows)
    assert not outcomes['mismatch'], [r for r in rows if r['outcome'] == 'mismatch']
    assert all(r['reason'] for r in rows if r['outcome'] == 'refused')
    kernels = learn_programs.kernels_of(rows)
    foreign = [r for r in kernels.values() if r['by'] not in learn_programs.OURS]
    assert len(kernels) >= 50 and len(foreign) >= 10, (len(kernels), len(foreign), outcomes)
