"""Names of containers and units from a real hierarchy of control groups, made in a guest as container engines and systemd make it."""
import pytest

import house

ID = '0123456789abcdef' * 4
GROUPS = {
    f'system.slice/docker-{ID}.scope': ('docker 0123456789ab', None),
    f'docker/{ID}': ('docker 0123456789ab', None),
    f'machine.slice/libpod-{ID}.scope/container': ('podman 0123456789ab', None),
    f'kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12_34.slice/cri-containerd-{ID}.scope': ('containerd 0123456789ab', None),
    'lxc.payload.web/init.scope': ('lxc web', 'init.scope'),
    'system.slice/ssh.service': (None, 'ssh.service'),
    'user.slice/user-1000.slice/session-3.scope': (None, 'session-3.scope'),
    'plain/group': (None, None),
}
PROFILES = [pytest.param(p, marks=() if p == '6.12' else pytest.mark.full) for p in house.KERNELS]


@pytest.mark.parametrize('profile', PROFILES)
def test_names_by_groups(fresh_guest, profile):
    guest = fresh_guest('--mem', '192M', profile=profile)
    for n, group in enumerate(GROUPS):
        folder = f'/sys/fs/cgroup/{group}'
        guest.sh(f'mkdir -p {folder}; (sleep {4000 + n} >/dev/null 2>&1 & echo $! >{folder}/cgroup.procs)')
    guest.sh('sleep 1')  # until the last one has become sleep
    rows = {row['args']: row for row in guest.answer('ps')}
    for n, (group, (container, unit)) in enumerate(GROUPS.items()):
        row = rows[f'sleep {4000 + n}']
        assert row['cgroup'] == '/' + group
        assert row['container'] == container, row
        if unit:
            assert row['unit'] == unit, row
    listed = {row['path'] for row in guest.answer('cgroups') if row.get('path')}
    assert {'/' + group for group in GROUPS} <= listed
