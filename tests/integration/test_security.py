"""The claims of docs/security.md about the server, each tried from outside."""
import contextlib
import json
import os
import pathlib
import socket
import ssl
import stat
import subprocess
import time
import urllib.error
import urllib.request

import house
import page
import pytest


@pytest.fixture(scope='module')
def private(shared_guests):
    """A server that asks for a token even for reading."""
    guest = shared_guests.get()
    server = page.Server(guest.env, 0, '--private', '--no-record')
    server.guest = guest
    yield server
    server.stop()


def bearer(token):
    return {'Authorization': f'Bearer {token}'}


def reading_token(server):
    return server.answer['read_url'].split('token=')[1]


def test_the_reading_token_reads_and_changes_nothing(private):
    vm, read = private.guest.name, reading_token(private)
    assert read != private.token and len(read) == len(private.token) == 32
    assert private.ask(f'/api/v1/vms/{vm}/ps')[0] == 401
    assert private.ask(f'/api/v1/vms/{vm}/ps', None, bearer(read))[0] == 200
    assert private.ask(f'/api/v1/vms/{vm}/ps?token={read}')[0] == 200
    for path in (f'vms/{vm}/pause', f'vms/{vm}/stop', f'vms/{vm}/learn', f'vms/{vm}/offload', f'vms/{vm}/trace', 'vms'):
        assert private.ask(f'/api/v1/{path}', {}, bearer(read))[0] == 403, path
    assert private.guest.answer('status')['state'] == 'running'


@pytest.mark.parametrize('path', ['/metrics', '/api/v1/vms', '/mcp', '/api/v1/vms/x/frame', '/api/v1/vms/x/pages'])
def test_private_means_everything(private, path):
    status, headers, _ = private.ask(path, {} if path == '/mcp' else None)
    assert status == 401 and headers['www-authenticate'] == 'Bearer'
    assert private.ask(path, {} if path == '/mcp' else None, bearer('f' * 32))[0] == 403


def test_foreign_hosts_and_origins(private):
    for headers in ({'Host': 'evil.example'}, {'Host': '127.0.0.1.evil.example'}, {'Origin': 'https://evil.example'}, {'Origin': 'null'},
                    {'Origin': f'http://127.0.0.1:{private.port + 1}'}):
        status, answer_headers, _ = private.ask('/', None, headers)
        assert status == 403 and 'access-control-allow-origin' not in answer_headers, headers
    assert private.ask('/')[0] == 200


def test_the_page_may_load_nothing_foreign(private):
    headers = private.ask('/')[1]
    policy = headers['content-security-policy']
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy and 'http:' not in policy and '*' not in policy
    assert headers['x-content-type-options'] == 'nosniff' and headers['referrer-policy'] == 'no-referrer'


def test_no_database_and_no_file_of_the_callers_choosing(private):
    vm, token = private.guest.name, bearer(private.token)
    for call in ('query?sql=SELECT+1&', 'history?', 'diff?', 'timeline?'):
        assert private.ask(f'/api/v1/vms/{vm}/{call}db=/etc/passwd', None, token)[0] == 400, call
    assert private.ask(f'/api/v1/vms/{vm}/render?output=/tmp/x.png', None, token)[0] == 400
    assert private.ask(f'/api/v1/vms/{vm}/trace', {'output': '/tmp/x'}, token)[0] == 400
    for call in ('dump', 'isf', 'btf', 'watch', 'serve', 'mcp', 'demo', 'bench'):
        assert private.ask(f'/api/v1/vms/{vm}/{call}', {}, token)[0] == 404, call


def test_snapshots_over_the_network_are_kept_ones(private, tmp_path):
    """Neither a file of the host nor a name that leads out of the folder of kept snapshots, and the same over MCP."""
    vm, token = private.guest.name, bearer(private.token)
    mine = tmp_path / 'mine'
    mine.write_text('precious')
    wrong = [(f'vms/{vm}/snapshot', {'path': str(mine)}), (f'vms/{vm}/snapshot', {'path': str(tmp_path / 'new')}), ('restore', {'path': str(mine)})]
    for name in ('../mine', '/etc/passwd', '..', 'a/b', ''):
        wrong += [(f'vms/{vm}/snapshot', {'keep': name}), ('restore', {'kept': name}), ('forget', {'name': name})]
    for path, body in wrong:
        status, _, text = private.ask(f'/api/v1/{path}', body, token)
        assert status == 400 and b'error' in text, (path, body, status, text)
    for tool, arguments in (('snapshot', {'vm': vm, 'path': str(mine)}), ('restore', {'path': str(mine)})):
        said = json.loads(private.ask('/mcp', {'jsonrpc': '2.0', 'id': 1, 'method': 'tools/call', 'params': {'name': tool, 'arguments': arguments}}, token)[2])
        assert 'only on the command line' in json.dumps(said), said
    served = json.dumps(json.loads(private.ask('/openapi.json', None, token)[2])['paths'])
    assert '"keep"' in served and '"qemu_args"' not in served and '"isolation"' not in served
    assert mine.read_text() == 'precious' and list(tmp_path.iterdir()) == [mine]


@pytest.mark.parametrize('words', [{'qemu_args': ['-chardev', 'file,id=x,path=/tmp/x']}, {'isolation': 'none'}, {'forward': ['tcp::1-:1,tftp=/etc']},
                                   {'machine': 'q35,dumpdtb=/tmp/x'}])
def test_a_start_over_the_network_takes_no_words_for_qemu(private, words):
    assert private.ask('/api/v1/vms', {'name': 'refused', **words}, bearer(private.token))[0] == 400
    assert b'refused' not in private.ask('/api/v1/vms', None, bearer(private.token))[2]


def test_too_many_requests(private):
    """A bucket of 1000 requests, 500 more each second: far more in one go are refused, and later ones are answered."""
    with socket.create_connection(('127.0.0.1', private.port), timeout=60) as sock:
        reader = sock.makefile('rb')
        limited = 0
        for _ in range(60):
            sock.sendall(b'GET /api/v1/vms HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n' * 50)
            for _ in range(50):
                status = int(reader.readline().split()[1])
                size = 0
                for line in iter(reader.readline, b'\r\n'):
                    if line.lower().startswith(b'content-length:'):
                        size = int(line.split(b':')[1])
                reader.read(size)
                limited += status == 429
            if limited:
                break
    assert limited
    answers = []
    while not answers or answers[-1] != 200:
        time.sleep(0.1)
        answers.append(private.ask('/')[0])
        assert len(answers) < 600


def test_every_call_is_audited_with_who_and_what(private):
    vm, read = private.guest.name, reading_token(private)
    folder = pathlib.Path(private.guest.env['XDG_RUNTIME_DIR']) / 'glassbox'
    private.ask(f'/api/v1/vms/{vm}/read?address=0x1000&length=16', None, bearer(read))
    private.ask(f'/api/v1/vms/{vm}/maps?pid=999999', None, bearer(private.token))
    private.ask('/mcp', {'jsonrpc': '2.0', 'id': 1, 'method': 'tools/call', 'params': {'name': 'lsmod', 'arguments': {'vm': vm}}}, bearer(read))
    private.ask(f'/api/v1/vms/{vm}/frame?size=64x64', None, bearer(read))
    with socket.create_connection(('127.0.0.1', private.port), timeout=60) as sock:
        sock.sendall(f'GET /api/v1/vms/{vm}/pages?token={read} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'.encode())
        assert sock.recv(1)
    house.run('ps', vm, env=private.guest.env)
    for log in (folder / 'audit.log', folder / vm / 'audit.log'):
        assert stat.S_IMODE(log.stat().st_mode) == 0o600
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        last = {line['call']: line for line in lines if line['vm'] == vm}
        assert last['read']['user'] == '127.0.0.1, reading token' and json.loads(last['read']['args'])['address'] == '0x1000'
        assert last['maps']['user'] == '127.0.0.1, full token' and last['maps']['outcome'] != 'ok'
        assert last['lsmod']['user'] == '127.0.0.1, reading token' and last['lsmod']['outcome'] == 'ok'
        assert last['frame']['user'] == last['pages']['user'] == '127.0.0.1, reading token'
        assert last['ps']['user'] == f'uid {os.getuid()}' and all(line['time'] and line['pid'] for line in lines)


def test_files_are_nobody_elses(private):
    root = pathlib.Path(private.guest.env['XDG_RUNTIME_DIR']) / 'glassbox'
    folder = root / private.guest.name
    assert stat.S_IMODE(root.stat().st_mode) == stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(pathlib.Path(f'/dev/shm/glassbox-{private.guest.name}-ram').stat().st_mode) == 0o600


@pytest.fixture(scope='module')
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp('tls')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', folder / 'key.pem', '-out', folder / 'cert.pem', '-days', '2',
                    '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'], check=True, capture_output=True, timeout=120)
    return folder


def test_tls_with_a_certificate(guest, certificate):
    process = subprocess.Popen([house.GLASSBOX, 'serve', '--listen', '0.0.0.0:0', '--no-record', '--json', '--cert', certificate / 'cert.pem', '--key',
                                certificate / 'key.pem'], env={**os.environ, **guest.env}, stdout=subprocess.PIPE, text=True)
    try:
        answer = json.loads(process.stdout.readline())
        assert answer['url'].startswith('https://')
        base, token = f"https://localhost:{answer['port']}", answer['url'].split('token=')[1]
        trust = ssl.create_default_context(cafile=certificate / 'cert.pem')

        def get(path, **headers):
            try:
                return urllib.request.urlopen(urllib.request.Request(base + path, headers=headers), context=trust, timeout=60).status
            except urllib.error.HTTPError as error:
                return error.code
        assert get('/') == 200
        assert get('/api/v1/vms') == 401, 'beyond loopback reading needs a token'
        assert get('/api/v1/vms', Authorization=f'Bearer {token}') == 200
        with socket.create_connection(('127.0.0.1', answer['port']), timeout=60) as sock:
            sock.sendall(b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
            with contextlib.suppress(ConnectionResetError):
                assert not sock.recv(1000).startswith(b'HTTP/1.1 200')
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()


@pytest.mark.parametrize('words', [['--cert', 'CERT'], ['--key', 'KEY'], ['--cert', '/nonexistent', '--key', 'KEY'], ['--cert', 'KEY', '--key', 'KEY'],
                                   ['--listen', '127.0.0.1:x'], ['--listen', '127.0.0.1:99999']])
def test_wrong_tls_and_addresses_are_refused(env, certificate, words):
    words = [str(certificate / {'CERT': 'cert.pem', 'KEY': 'key.pem'}[w]) if w in ('CERT', 'KEY') else w for w in words]
    listen = [] if '--listen' in words else ['--listen', '127.0.0.1:0']
    done = house.run('serve', '--no-record', *listen, *words, env=env, check=False)
    assert done.returncode in (1, 2) and done.stderr.startswith('glassbox: ') and not done.stdout
