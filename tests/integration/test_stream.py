"""The page stream and the WebSocket from outside: compression, nearest first, several viewers, hostile clients."""
import base64
import io
import json
import os
import socket
import struct
import subprocess

import house
import page
import pytest

HELLO, PAGES, COARSE = 1, 2, 3
HAS_BYTES = 512


@pytest.fixture(scope='module')
def server(session_runtime, shared_guests):
    guest = shared_guests.get()
    made = page.Server(shared_guests.env)
    made.guest = guest
    yield made
    made.stop()


class Stream:
    """One reader of the page stream."""

    def __init__(self, server, query='', accept='zstd', receive_bytes=None):
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(60)
        self.socket.connect(('127.0.0.1', server.port))
        self.socket.sendall(f'GET /api/v1/vms/{server.guest.name}/pages{query} HTTP/1.0\r\nHost: 127.0.0.1\r\n'
                            f'Accept-Encoding: {accept}\r\n\r\n'.encode())
        self.file = self.socket.makefile('rb')
        self.headers = {}
        while line := self.file.readline().strip():
            name, _, value = line.decode().partition(': ')
            self.headers[name.lower()] = value
        self.count = 0

    def unpack(self, length):
        """Takes so much of the compressed stream; from here on its messages are what that unpacks to."""
        packed = self.file.read(length)
        plain = subprocess.run(['zstd', '-dc'], input=packed, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout
        self.file = io.BytesIO(plain)
        return len(plain)

    def message(self):
        kind, length = struct.unpack('<II', self.file.read(8))
        self.count += 8 + length
        return kind, self.file.read(length)

    def until(self, wanted):
        while True:
            kind, payload = self.message()
            if kind == wanted:
                return payload

    def close(self):
        self.socket.close()


def records(payload):
    """(frame, bytes or None) of a message of pages."""
    at, found = 4, []
    for _ in range(struct.unpack_from('<I', payload)[0]):
        frame, word, _, _ = struct.unpack_from('<IIII', payload, at)
        at += 16
        found.append((frame, payload[at:at + 4096] if word & HAS_BYTES else None))
        at += 4096 if word & HAS_BYTES else 0
    return found


def test_a_usable_picture_comes_first(server):
    """All looks are there before the first page's bytes, within 4 MiB."""
    stream = Stream(server)
    hello = json.loads(stream.until(HELLO))
    looks = 0
    while True:
        kind, payload = stream.message()
        if kind == PAGES:
            break
        looks += struct.unpack_from('<I', payload)[0] if kind == COARSE else 0
    stream.close()
    print(f'{looks} of {hello["frames"]} pages have looks after {stream.count} bytes')
    assert looks > hello['frames'] / 4 and stream.count < 4 << 20


def test_compression_is_for_those_who_ask(server):
    for query, accept, packed in (('', 'zstd', False), ('?pack=zstd', 'gzip', False), ('?pack=zstd', 'gzip, zstd', True), ('?pack=nonsense', 'zstd', False)):
        stream = Stream(server, query, accept)
        assert (stream.headers.get('content-encoding') == 'zstd') == packed, (query, accept, stream.headers)
        stream.close()


def test_the_compressed_stream_says_the_same(server):
    vm = server.guest.name
    text = int(house.answer('vtop', vm, house.answer('symbols', vm, '_text', env=server.env)[0]['address'], env=server.env)['physical'], 16) // 4096
    stream = Stream(server, '?pack=zstd')
    length = 10 << 20
    plain = stream.unpack(length)
    assert json.loads(stream.until(HELLO))['vm'] == vm
    found = None
    while found is None:
        found = dict(records(stream.until(PAGES))).get(text)
    stream.close()
    assert bytes.fromhex(house.answer('read', vm, hex(text * 4096), '4096', env=server.env)['bytes']) == found
    print(f'{plain} bytes of the stream went as {length}')
    assert plain > 2 * length


def websocket(server, token=True):
    sock = socket.create_connection(('127.0.0.1', server.port), timeout=60)
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(f'GET /ws{f"?token={server.token}" if token else ""} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
                 f'Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n'.encode())
    answer = b''
    while b'\r\n\r\n' not in answer:
        answer += sock.recv(1)
    assert b' 101 ' in answer
    return sock


def say(sock, message, binary=False):
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    length = bytes([0x80 | len(data)]) if len(data) < 126 else bytes([0x80 | 126]) + struct.pack('>H', len(data))
    sock.sendall(bytes([0x82 if binary else 0x81]) + length + b'\0\0\0\0' + data)


def exactly(sock, count):
    data = b''
    while len(data) < count:
        more = sock.recv(count - len(data))
        assert more, 'the WebSocket was closed'
        data += more
    return data


def hear(sock, kind):
    """The next text message of this type."""
    while True:
        first, length = exactly(sock, 2)
        if length == 126:
            length = struct.unpack('>H', exactly(sock, 2))[0]
        elif length == 127:
            length = struct.unpack('>Q', exactly(sock, 8))[0]
        data = exactly(sock, length)
        if first & 15 == 1 and json.loads(data).get('type') == kind:
            return json.loads(data)


def test_pages_near_the_camera_come_first(server):
    """Pages at the end of what has data would come last; asked for, they come before half of the others. The reader
    takes little at a time, so that the server cannot be done before it hears of the camera."""
    plain = Stream(server)
    total = json.loads(plain.until(HELLO))['frames']
    order = []
    while len(order) < total / 8:
        order += [frame for frame, _ in records(plain.until(PAGES))]
    plain.close()
    stream = Stream(server, receive_bytes=16384)
    hello = json.loads(stream.until(HELLO))
    wanted = range(total * 3 // 4, total)
    with websocket(server) as sock:
        say(sock, {'type': 'near', 'stream': hello['stream'], 'ranges': [[wanted.start, wanted.stop]]})
        say(sock, {'type': 'console', 'vm': None})
        seen = []
        while not any(frame in wanted for frame in seen):
            seen += [frame for frame, _ in records(stream.until(PAGES))]
            assert len(seen) < total / 2, 'the near pages did not come first'
    stream.close()
    assert not any(frame in wanted for frame in order), 'these pages come early anyway: the test says nothing'


def test_viewers_share_the_work(server):
    """Two viewers get the same picture of the same memory from one follower: the second costs no second look at it."""
    first, second = Stream(server), Stream(server)
    looks = []
    for stream in (first, second):
        stream.until(HELLO)
        looks.append(stream.until(COARSE))
        stream.close()
    same = sum(looks[0][4 + i:20 + i] == looks[1][4 + i:20 + i] for i in range(0, min(map(len, looks)) - 20, 16))
    assert same > len(looks[0]) / 16 * 0.9


@pytest.mark.parametrize('message', [
    {'type': 'near'}, {'type': 'near', 'stream': -1, 'ranges': [[0, 1]]}, {'type': 'near', 'stream': 1, 'ranges': [[5, 1], [-3, 9], ['x', None], 7, [0, 1 << 62]] * 50},
    {'type': 'console', 'vm': '../../etc'}, {'type': 'console', 'vm': 7}, {'type': 'input', 'data': 'x' * 60000}, {'type': 'input'}, {'type': 'screen', 'vm': 'nobody'},
    {'type': 'screen', 'vm': 'x' * 5000}, {'type': 5}, [], {}])
def test_strange_messages_end_nothing(server, message):
    with websocket(server) as sock:
        say(sock, message)
        say(sock, b'\x02' + os.urandom(90), binary=True)
        say(sock, b'\xff', binary=True)
        say(sock, {'type': 'console', 'vm': server.guest.name})
        while hear(sock, 'console')['state'] != 'open':
            pass


def test_a_guest_without_a_screen_says_so(server):
    with websocket(server) as sock:
        say(sock, {'type': 'screen', 'vm': server.guest.name})
        answer = hear(sock, 'screen')
        assert answer['state'] == 'closed' and 'screen' in answer['reason']
    with websocket(server, token=False) as sock:
        say(sock, {'type': 'screen', 'vm': server.guest.name})
        assert 'token' in hear(sock, 'screen')['reason']


def test_many_websockets_and_one_that_never_reads(server):
    """200 of them, one with a console that talks without end and is never read: others are served."""
    deaf = websocket(server)
    say(deaf, {'type': 'console', 'vm': server.guest.name})
    others = [websocket(server) for _ in range(200)]
    try:
        say(deaf, {'type': 'input', 'data': 'dd if=/dev/zero bs=1k count=3000 | tr "\\0" x; echo\n'})
        for sock in others[::40]:
            hear(sock, 'vms')
        assert server.get(f'/api/v1/vms/{server.guest.name}/ps')
    finally:
        for sock in [deaf, *others]:
            sock.close()
    assert server.guest.sh('echo well').strip() == 'well'
