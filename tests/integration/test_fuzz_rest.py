"""The REST interface under Schemathesis: requests made from /openapi.json, valid and not, against a real server and guest."""
import re
import subprocess

import house
import page
import pytest

VERSION = '4.32.5'
FOLDER = house.CACHE / f'schemathesis-{VERSION}'
TOOL = FOLDER / 'bin/schemathesis'
CHECKS = 'not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance,ignored_auth'

# Streams and what takes seconds of the guest; the server's own methods are tested in test_server.py.
CONFIG = '''
request-timeout = 300
[generation]
allow-x00 = false
[[operations]]
include-operation-id = "hot"
enabled = false
[parameters]
"path.vm" = "{vm}"
'''


@pytest.fixture(scope='module')
def schemathesis():
    if not TOOL.exists():
        subprocess.run(['/usr/bin/python3', '-m', 'venv', FOLDER], check=True, capture_output=True, timeout=house.HANG)
        done = subprocess.run([FOLDER / 'bin/pip', 'install', '-q', f'schemathesis=={VERSION}'], capture_output=True, text=True,
                              timeout=600, check=False)
        if done.returncode:
            pytest.skip(f'Schemathesis {VERSION} cannot be installed here: {done.stderr.strip()[-200:]}')
    return TOOL


@pytest.mark.full
@pytest.mark.parametrize('method, examples', [('GET', 25), ('POST', 10)])
def test_made_up_requests(shared_guests, schemathesis, tmp_path, method, examples):
    """GET runs everything; POST comes with the reading token, so that it is refused after all checks of its arguments."""
    guest = shared_guests.get('5.10', '--mem', '136M')
    server = page.Server(guest.env)
    (tmp_path / 'schemathesis.toml').write_text(CONFIG.format(vm=guest.name))
    try:
        done = subprocess.run([schemathesis, '--config-file', tmp_path / 'schemathesis.toml', 'run', f'{server.base}/openapi.json', '--checks',
                               CHECKS, '--phases', 'examples,coverage,fuzzing', '-n', str(examples), '--seed', '8', '--include-method', method,
                               '--no-color'], capture_output=True, text=True, timeout=3000, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        assert int(re.search(r'(\d+) generated', done.stdout).group(1)) > 100
        assert server.get('/api/v1/vms') and guest.answer('status')['state'] == 'running'
    finally:
        server.stop()
