"""Memory of the past: the server records by itself, the past can be asked, a fleet shares one database."""
import json
import os
import pathlib
import subprocess
import tempfile
import time

import house
import page
import pytest

POSTGRES = sorted(pathlib.Path('/usr/lib/postgresql').glob('*/bin/initdb'))


def metric(server, name):
    for line in server.ask('/metrics')[2].decode().splitlines():
        if line.startswith(f'glassbox_{name} '):
            return float(line.split()[1])
    raise AssertionError(f'no metric {name}')


def looks(server, more):
    """Waits for so many further looks of the recorder."""
    wanted = metric(server, 'recorder_looks_total') + more
    for _ in range(600):
        if metric(server, 'recorder_looks_total') >= wanted:
            return
        time.sleep(0.1)
    raise AssertionError('the recorder does not look')


@pytest.fixture(scope='module')
def recorded(shared_guests):
    """A server and a guest that only this file uses, and changes; the server has looked at it once. It records the other
    tests' guests as well, so its count of looks alone does not say so."""
    guest = shared_guests.get('5.10', '--mem', '136M')
    server = page.Server(guest.env)
    server.guest = guest

    def seen():
        status, _, body = server.ask(f'/api/v1/vms/{guest.name}/history?table=mounts')
        return status == 200 and json.loads(body)
    page.until('a first look', seen)
    yield server
    server.stop()


def test_the_server_records_by_itself(recorded):
    guest = recorded.guest
    looks(recorded, 2)
    at = f'@{time.time():.6f}'
    guest.sh('sleep 1000 & mkdir -p /tmp/seen; mount -t tmpfs seen /tmp/seen')
    looks(recorded, 3)
    past = f'/api/v1/vms/{guest.name}'
    now = recorded.get(f'{past}/history?table=processes')
    then = recorded.get(f'{past}/history?table=processes&at={at}')
    assert {row['pid'] for row in now} >= {p['pid'] for p in guest.answer('ps') if not p['kthread']}
    assert any(row['args'] == 'sleep 1000' for row in now) and not any(row['args'] == 'sleep 1000' for row in then)
    page.until('the mount in the past', lambda: any(  # a table that is dear to read is read less often
        c['change'] == 'began' and c['table'] == 'mounts' and c['row']['mountpoint'] == '/tmp/seen'
        for c in recorded.get(f'{past}/diff?since={at}')))
    asked = recorded.get(f'{past}/ask?question=what+changed+in+the+last+minute%3F')
    assert any(r['table'] == 'mounts' for r in asked['rows'])
    timeline = recorded.get(f'{past}/timeline?steps=50')
    assert timeline['first_ns'] < timeline['last_ns'] and sum(b['began'] for b in timeline['buckets']) >= 2
    assert [e['event'] for e in timeline['events']][:2] == ['recording', 'running']


def test_the_pages_of_a_past_moment(recorded):
    guest = recorded.guest
    looks(recorded, 2)
    kinds = {row['kind']: row['pages'] for row in recorded.get(f'/api/v1/vms/{guest.name}/history?table=page_kinds')}
    now = {row['kind']: row['pages'] for row in guest.answer('regions', '--totals')}
    assert kinds['kernel-text'] == now['kernel-text'] and sum(kinds.values()) == sum(now.values())
    regions = recorded.get(f'/api/v1/vms/{guest.name}/history?table=regions')
    text = [r for r in regions if r['kind'] == 'kernel-text']
    assert sum(int(r['end'], 16) - int(r['start'], 16) for r in text) == 4096 * now['kernel-text']


def test_what_recording_costs(recorded):
    """Processor time, not the clock: the bound of 2 % of a core is 20 ms for each look at 1 Hz."""
    looks(recorded, 4)
    before = metric(recorded, 'recorder_cpu_seconds_total'), metric(recorded, 'recorder_looks_total')
    changes = metric(recorded, 'recorder_changes_total')
    looks(recorded, 10)
    spent = metric(recorded, 'recorder_cpu_seconds_total') - before[0]
    share = spent / (metric(recorded, 'recorder_looks_total') - before[1])
    assert share < 0.02, f'{share * 100:.2f} % of a core'
    assert metric(recorded, 'recorder_changes_total') - changes < 60


def test_events_and_symbols(recorded):
    guest = recorded.guest
    looks(recorded, 2)
    guest.run('pause')
    looks(recorded, 2)
    guest.run('resume')
    looks(recorded, 2)
    events = [e['event'] for e in guest.answer('query', 'SELECT event FROM events ORDER BY time_ns')]
    assert events[:2] == ['recording', 'running'] and events[-2:] == ['paused', 'running']
    symbols = guest.answer('query', "SELECT address FROM symbols WHERE name = 'init_task'")
    assert symbols[0]['address'] == guest.answer('symbols', 'init_task')[0]['address']


def test_a_watch_beside_the_server_prints_only(recorded):
    guest = recorded.guest
    looks(recorded, 1)
    watch = subprocess.Popen([house.GLASSBOX, 'watch', guest.name, '--json', '--interval-ms', '200'], env={**os.environ, **guest.env},
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert 'printing only' in watch.stderr.readline()
        looks(recorded, 2)
        guest.sh('sleep 2000 & echo $!')
        for line in watch.stdout:  # workers of the kernel come and go as well
            change = json.loads(line)
            if change['table'] == 'processes' and change['row']['args'] == 'sleep 2000':
                break
        assert change['change'] == 'began'
    finally:
        watch.terminate()
        watch.communicate()


def test_a_server_that_records_nothing(guest, env):
    server = page.Server(guest.env, 0, '--no-record')
    try:
        assert metric(server, 'recorder_vms') == 0 and metric(server, 'recorder_looks_total') == 0
    finally:
        server.stop()


@pytest.fixture
def postgres():
    """A PostgreSQL server of the test's own, on a socket in a folder; gives its URL."""
    if not POSTGRES:
        pytest.skip('PostgreSQL is not installed (package postgresql)')
    binaries = POSTGRES[-1].parent
    with tempfile.TemporaryDirectory(prefix='gbpg-') as folder:
        as_user = ['runuser', '-u', 'postgres', '--'] if os.getuid() == 0 else []
        if as_user:
            subprocess.run(['chown', 'postgres', folder], check=True)
        subprocess.run([*as_user, binaries / 'initdb', '-D', f'{folder}/data', '-A', 'trust', '-U', 'postgres', '-N'],
                       check=True, capture_output=True, cwd=folder)
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        subprocess.run([*as_user, binaries / 'pg_ctl', '-D', f'{folder}/data', '-o', options, '-w', '-l', f'{folder}/log', 'start'],
                       check=True, capture_output=True, cwd=folder)
        try:
            yield f'postgresql:///postgres?host={folder}&user=postgres'
        finally:
            subprocess.run([*as_user, binaries / 'pg_ctl', '-D', f'{folder}/data', '-m', 'immediate', 'stop'],
                           check=True, capture_output=True, cwd=folder)


@pytest.mark.full
def test_a_fleet_in_one_database(fresh_guest, postgres):
    """Two hosts (by name) record a VM each into one PostgreSQL, at the same time; each sees its own past, a query sees both."""
    guests = [fresh_guest(), fresh_guest()]
    servers = [page.Server({**g.env, 'GLASSBOX_HOST': f'host{i}'}, 0, '--db', postgres) for i, g in enumerate(guests)]
    try:
        for server in servers:
            looks(server, 3)
        guests[0].sh('mkdir -p /tmp/fleet; mount -t tmpfs fleet /tmp/fleet')
        for server in servers:
            looks(server, 3)
        hosts = guests[0].answer('query', 'SELECT DISTINCT host FROM processes ORDER BY host', '--db', postgres)
        assert [row['host'] for row in hosts] == ['host0', 'host1']
        # Both servers see both VMs (one runtime folder), each under its own host's name.
        for i, guest in enumerate(guests):
            env = {**guest.env, 'GLASSBOX_HOST': f'host{i}'}
            rows = house.answer('history', guest.name, 'processes', '--db', postgres, env=env)
            assert {row['host'] for row in rows} == {f'host{i}'} and any(row['comm'] == 'init' for row in rows)
        mounts = guests[0].answer('query', "SELECT host FROM mounts WHERE mountpoint = '/tmp/fleet' ORDER BY host", '--db', postgres)
        assert mounts and {row['host'] for row in mounts} <= {'host0', 'host1'}
        for attack in ('DELETE FROM processes', 'DROP TABLE processes', 'COMMIT', "COPY processes TO '/tmp/x'"):
            guests[0].run('query', attack, '--db', postgres, check=False)
        assert guests[0].answer('query', 'SELECT COUNT(*) AS n FROM processes', '--db', postgres)[0]['n'] > 20
    finally:
        for server in servers:
            server.stop()
