"""The server from outside: REST, tokens, hostile clients, MCP, metrics."""
import base64
import concurrent.futures
import json
import os
import shutil
import socket
import subprocess

import house
import page
import pytest


@pytest.fixture(scope='module')
def server(session_runtime, shared_guests):
    guest = shared_guests.get()
    made = page.Server(shared_guests.env)
    made.guest = guest
    yield made
    made.stop()


def test_rest_answers_what_the_command_line_does(server):
    vm = server.guest.name
    assert vm in {row['name'] for row in server.get('/api/v1/vms')}
    rest = server.get(f'/api/v1/vms/{vm}/lsmod')
    assert rest == house.answer('lsmod', vm, env=server.env)
    assert server.get(f'/api/v1/vms/{vm}/symbols?pattern=init_task')[0]['name'] == 'init_task'
    assert server.get(f'/api/v1/vms/{vm}')['name'] == vm


@pytest.mark.parametrize('path, status', [
    ('/api/v1/vms/nobody/ps', 404), ('/api/v1/vms//ps', 404), ('/api/v1/nothing', 404), ('/nothing', 404),
    ('/api/v1/vms/x/nothing', 404), ('/../../etc/passwd', 404), ('/api/v1/vms/..%2f..%2fetc/ps', 404)])
def test_wrong_paths(server, path, status):
    assert server.ask(path)[0] == status


def test_a_long_call_does_not_hold_the_others(server):
    """`delta` waits for four seconds; what is asked meanwhile is answered meanwhile."""
    vm = server.guest.name
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.get, f'/api/v1/vms/{vm}/delta?wait_ms=4000')
        assert server.get(f'/api/v1/vms/{vm}/ps')
        assert not waiting.done()
        assert isinstance(waiting.result(), list)


def test_wrong_arguments(server):
    vm = server.guest.name
    for path in ('ps?nonsense=1', 'vtop?address=', 'read?address=zz&length=1', 'read?address=0&length=99999999999', 'frame?size=9x9'):
        status, _, body = server.ask(f'/api/v1/vms/{vm}/{path}')
        assert status in (400, 404, 422), (path, status, body)
        assert json.loads(body)['error']


def test_changing_needs_the_token(server):
    vm = server.guest.name
    path = f'/api/v1/vms/{vm}/pause'
    assert server.ask(path)[0] == 405
    assert server.ask(path, {}, method='DELETE')[0] == 405
    assert server.ask(path, {})[0] == 401
    assert server.ask(path, {}, {'Authorization': 'Bearer ' + '0' * 32})[0] == 403
    assert server.ask(path, {}, {'Authorization': f'Bearer {server.token}', 'Origin': 'http://evil.example'})[0] == 403
    assert server.ask(path, {}, {'Authorization': f'Bearer {server.token}', 'Host': 'evil.example'})[0] == 403
    assert server.change(path)[0] == 200
    assert server.get(f'/api/v1/vms/{vm}')['state'] == 'paused'
    assert server.change(f'/api/v1/vms/{vm}/resume')[0] == 200


def test_broken_bodies(server):
    path = '/api/v1/vms'
    headers = {'Authorization': f'Bearer {server.token}'}
    for body in (b'{', b'[]', b'\xff\xfe', b'{"name": 5}', b'{"nonsense": 1}', b'{"mem": "x"}'):
        assert server.ask(path, body, headers)[0] == 400, body


def test_a_huge_request_is_cut_off_and_others_go_on(server):
    with socket.create_connection(('127.0.0.1', server.port), timeout=60) as sock:
        sock.sendall(b'POST /api/v1/vms HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000000\r\n\r\n')
        try:
            for _ in range(200):
                sock.sendall(b'x' * 65536)
        except OSError:
            pass
    with socket.create_connection(('127.0.0.1', server.port), timeout=60) as sock:
        try:
            sock.sendall(b'GET /' + b'a' * 100000 + b' HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')
            sock.recv(100)
        except OSError:
            pass
    assert server.get('/api/v1/vms')


@pytest.mark.parametrize('head', [b'GET /api/v1/vms', b'PUT /api/v1/vms', b'DELETE /api/v1/vms', b'OPTIONS /', b'POST /api/v1/vms', b'POST /nothing'])
@pytest.mark.parametrize('kind', [b'Content-Length: 87', b'Transfer-Encoding: chunked', b'Content-Length: abc', b''])
def test_a_body_that_nobody_reads_does_not_stop_the_server(server, head, kind):
    """Left on a connection that goes on, such bytes can keep libwebsockets busy for ever (found by test_fuzz_rest.py)."""
    body = b'{"a": "' + b'x' * 78 + b'"}'
    with socket.create_connection(('127.0.0.1', server.port), timeout=60) as sock:
        try:
            sock.sendall(head + b' HTTP/1.1\r\nHost: 127.0.0.1\r\n' + (kind + b'\r\n' if kind else b'') + b'\r\n')
            sock.sendall(b'57\r\n' + body + b'\r\n0\r\n\r\n' if b'chunked' in kind else body)
            sock.recv(1000)
            sock.sendall(body)
        except OSError:
            pass
    assert server.get('/openapi.json')


def test_two_hundred_connections(server):
    idle = []
    try:
        for _ in range(200):
            idle.append(socket.create_connection(('127.0.0.1', server.port), timeout=60))
        for sock in idle[::2]:
            sock.sendall(b'GET / HTTP/1.1\r\nHost')
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: server.ask('/openapi.json')[0], range(16)))
        assert answers == [200] * 16
    finally:
        for sock in idle:
            sock.close()


def test_a_slow_reader_does_not_stop_others(server):
    with socket.create_connection(('127.0.0.1', server.port), timeout=60) as sock:
        sock.sendall(f'GET /api/v1/vms/{server.guest.name}/pages HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'.encode())
        assert sock.recv(1)
        for _ in range(5):
            assert server.get(f'/api/v1/vms/{server.guest.name}/ps')


def websocket(server):
    sock = socket.create_connection(('127.0.0.1', server.port), timeout=60)
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(f'GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
                 f'Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n'.encode())
    answer = b''
    while b'\r\n\r\n' not in answer:
        more = sock.recv(4096)
        if not more:
            break
        answer += more
    return sock, answer


def test_broken_websocket_frames(server):
    for frames in (b'\xff' * 64, b'\x81\xfe\xff\xff' + b'\0' * 10, b'\x81\x85abcd' + b'hello', b'\x88\x80\0\0\0\0', b'\x8f\x80\0\0\0\0'):
        sock, answer = websocket(server)
        assert b' 101 ' in answer
        with sock:
            sock.sendall(frames)
    assert server.get('/api/v1/vms')


def test_the_page_stream_carries_the_memory(server):
    """Reads the stream until every page with data came, and compares a page of kernel text with `read`."""
    import struct
    vm = server.guest.name
    sock = socket.create_connection(('127.0.0.1', server.port), timeout=60)
    sock.sendall(f'GET /api/v1/vms/{vm}/pages HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'.encode())
    reader = sock.makefile('rb')
    while reader.readline().strip():
        pass
    text = int(house.answer('vtop', vm, house.answer('symbols', vm, '_text', env=server.env)[0]['address'],
                              env=server.env)['physical'], 16)
    wanted, bytes_of = text // 4096, None
    while bytes_of is None:
        kind, length = struct.unpack('<II', reader.read(8))
        payload = reader.read(length)
        if kind == 1:
            assert json.loads(payload)['vm'] == vm
        if kind != 2:
            continue
        at = 4
        for _ in range(struct.unpack_from('<I', payload)[0]):
            frame, word, _, _ = struct.unpack_from('<IIII', payload, at)
            at += 16
            if word & 512:
                if frame == wanted:
                    bytes_of = payload[at:at + 4096]
                at += 4096
    reader.close()
    sock.close()
    read = house.answer('read', vm, hex(wanted * 4096), '4096', env=server.env)
    assert bytes.fromhex(read['bytes']) == bytes_of


def test_metrics_and_openapi(server):
    status, headers, body = server.ask('/metrics')
    assert status == 200 and headers['content-type'].startswith('text/plain; version=0.0.4')
    assert f'glassbox_vm_up{{vm="{server.guest.name}"'.encode() in body
    names = [line.split()[2] for line in body.decode().splitlines() if line.startswith('# TYPE')]
    assert len(names) == len(set(names))
    if shutil.which('promtool'):
        checked = subprocess.run(['promtool', 'check', 'metrics'], input=body, capture_output=True, timeout=60, check=False)
        assert checked.returncode == 0 and not checked.stderr, checked.stderr
    document = server.get('/openapi.json')
    assert document['openapi'].startswith('3.') and '/api/v1/vms/{vm}/ps' in document['paths']


def rpc(server, method, params=None, token=None):
    headers = {'Content-Type': 'application/json', **({'Authorization': f'Bearer {token}'} if token else {})}
    status, _, body = server.ask('/mcp', {'jsonrpc': '2.0', 'id': 7, 'method': method, 'params': params or {}}, headers)
    assert status == 200, body
    answer = json.loads(body)
    assert answer['id'] == 7
    return answer


def test_mcp_over_http(server):
    vm = server.guest.name
    assert rpc(server, 'initialize')['result']['serverInfo']['name'] == 'glassbox'
    tools = {tool['name']: tool for tool in rpc(server, 'tools/list')['result']['tools']}
    assert tools['ps']['inputSchema']['required'] == ['vm']
    answer = rpc(server, 'tools/call', {'name': 'ps', 'arguments': {'vm': vm}})['result']
    assert not answer['isError'] and any(row['comm'] == 'init' for row in json.loads(answer['content'][0]['text']))
    assert rpc(server, 'tools/call', {'name': 'ps', 'arguments': {'vm': 'nobody'}})['result']['isError']
    assert rpc(server, 'tools/call', {'name': 'pause', 'arguments': {'vm': vm}})['result']['isError']
    assert rpc(server, 'tools/call', {'name': 'nonsense'})['error']['code'] == -32602
    assert rpc(server, 'nonsense')['error']['code'] == -32601
    resources = rpc(server, 'resources/list')['result']['resources']
    assert f'glassbox://vm/{vm}' in {r['uri'] for r in resources}


def test_mcp_on_stdin(server):
    messages = [{'jsonrpc': '2.0', 'id': 1, 'method': 'initialize', 'params': {}}, {'jsonrpc': '2.0', 'method': 'notifications/initialized'},
                {'jsonrpc': '2.0', 'id': 2, 'method': 'tools/call', 'params': {'name': 'ask', 'arguments': {'vm': server.guest.name, 'question': 'how many processes are running?'}}}]
    lines = '\n'.join(map(json.dumps, messages)) + '\nnot json\n'
    done = subprocess.run([house.GLASSBOX, 'mcp'], input=lines, env={**os.environ, **server.env}, capture_output=True, text=True, timeout=120, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [a.get('id') for a in answers] == [1, 2, None]
    assert 'processes' in json.loads(answers[1]['result']['content'][0]['text'])['answer']


def test_beyond_loopback_needs_tls(runtime):
    done = subprocess.run([house.GLASSBOX, 'serve', '--listen', '0.0.0.0:0'], env={**os.environ, 'XDG_RUNTIME_DIR': str(runtime)},
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and 'TLS' in done.stderr and len(done.stderr.splitlines()) == 1
