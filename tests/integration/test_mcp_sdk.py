"""MCP with the official client of the protocol's authors (npm), over stdin/stdout and over HTTP."""
import json
import os
import shutil
import subprocess

import house
import page
import pytest

SDK = '1.32.2'
FOLDER = house.CACHE / f'mcp-sdk-{SDK}'


@pytest.fixture(scope='module')
def client():
    """client(VM, KIND, WHERE...): what the client got; skipped where the package cannot be had."""
    if not shutil.which('node') or not shutil.which('npm'):
        pytest.skip('node or npm is not installed')
    if not (FOLDER / 'ready').exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(['npm', 'install', '--silent', '--no-audit', '--no-fund', '--prefix', FOLDER, f'@modelcontextprotocol/sdk@{SDK}'],
                              capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            pytest.skip(f'npm cannot install the MCP SDK {SDK} here: {done.stderr.strip()[-200:]}')
        (FOLDER / 'ready').touch()

    def run(env, *words):
        script = shutil.copy(house.TOP / 'tests/integration/mcp_client.mjs', FOLDER / 'client.mjs')
        done = subprocess.run(['node', script, *map(str, words)], capture_output=True, text=True, timeout=house.HANG, cwd=FOLDER,
                              env={**os.environ, **env}, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)
    return run


def check(got, vm, *, may_change):
    tools = {tool['name']: tool for tool in got['tools']}
    for name in ('ps', 'threads', 'tree', 'maps', 'env', 'files', 'sockets', 'lsmod', 'mounts', 'dmesg', 'stack', 'irqs', 'cgroups', 'symbols',
                 'type', 'vtop', 'read', 'page', 'regions', 'search', 'ask', 'query', 'history', 'diff', 'render', 'trace', 'hot', 'kernels',
                 'learn', 'offload', 'status', 'run', 'stop'):
        assert name in tools, name
    assert all('vm' in tools[n]['required'] for n in ('ps', 'ask', 'trace')) and 'address' in tools['vtop']['required']
    assert not [t for t in got['tools'] if t['undescribed']]
    assert tools['ps']['readOnly'] and not tools['stop']['readOnly']
    assert got['server']['name'] == 'glassbox' and 'resources' in got['capabilities']
    assert vm in {row['name'] for row in got['ls']} and any(row['comm'] == 'init' for row in got['ps'])
    assert 'processes' in got['ask']['answer'] and got['ask']['understood']
    assert got['render']['image'] == 'image/png' and got['render']['bytes'] > 100
    assert isinstance(got['kernels'], list) and 'nobody' in got['nobody']['error'] and 'address' in got['wrong']['error'].lower()
    assert ('error' in got['pause']) != may_change and ('error' in got['resume']) != may_change
    assert f'glassbox://vm/{vm}' in got['resources'] and got['status']['name'] == vm
    assert 'glassbox://vm/{vm}/{call}' in got['templates'] and any(row['pid'] == 1 for row in got['processes'])
    assert got['unknown_tool'] == -32602 and got['unknown_resource'] in (-32602, -32002) and got['ping'] == {}


def test_stdio(guest, client):
    check(client(guest.env, guest.name, 'stdio', house.GLASSBOX), guest.name, may_change=True)


def test_http(guest, client):
    server = page.Server(guest.env, 0, '--no-record')
    try:
        url = f'{server.base}/mcp'
        check(client(guest.env, guest.name, 'http', url, server.token), guest.name, may_change=True)
        check(client(guest.env, guest.name, 'http', url), guest.name, may_change=False)
    finally:
        server.stop()
