"""`sockets` against the guest's own /proc/net: every row, with state, queues and inode, those without a process too."""
import re
import socket
import struct

import house
import pytest

STATES = [None, 'ESTABLISHED', 'SYN_SENT', 'SYN_RECV', 'FIN_WAIT1', 'FIN_WAIT2', 'TIME_WAIT', 'CLOSE', 'CLOSE_WAIT', 'LAST_ACK',
          'LISTEN', 'CLOSING']
PROFILES = [pytest.param(p, marks=() if p in ('5.10', 'testing') else pytest.mark.full) for p in house.KERNELS]
# An accepted connection whose receiver sleeps, with bytes in its queue; one in TIME_WAIT; UDP; raw; packet; a closed listener.
SCENE = """
(sleep 5000 | nc -l -p 4242 >/dev/null 2>&1 &) ; sleep 1
(yes waiting | nc 127.0.0.1 4242 >/dev/null 2>&1 &) ; sleep 1
kill -STOP $(pidof nc | cut -d' ' -f2); sleep 1; kill -STOP $(pidof yes)
wget -q -O /dev/null http://127.0.0.1/
(ping -i 3000 127.0.0.1 >/dev/null 2>&1 &)
(udhcpc -f -i lo -t 1 -T 3000 >/dev/null 2>&1 &)
(syslogd -n -R 127.0.0.1:999 -O /dev/null >/dev/null 2>&1 &)
sleep 1; logger a word; sleep 1
"""


def address(text):
    """"0100007F:0050" of /proc/net as we write it; words of 32 bits in the order of the guest's processor."""
    digits, port = text.split(':')
    words = b''.join(struct.pack('<I', int(digits[i:i + 8], 16)) for i in range(0, len(digits), 8))
    if len(words) == 4:
        return f'{socket.inet_ntop(socket.AF_INET, words)}:{int(port, 16)}'
    return f'[{socket.inet_ntop(socket.AF_INET6, words)}]:{int(port, 16)}'


def ip_rows(guest, proto):
    for line in guest.truth_text('file', f'/proc/net/{proto}').splitlines()[1:]:
        words = line.split()
        sent, received = (int(part, 16) for part in words[4].split(':'))
        yield (address(words[1]), address(words[2]), int(words[3], 16), received, sent, int(words[9]))


def ours(guest, **wanted):
    return [row for row in guest.answer('sockets') if all(row[name] == value for name, value in wanted.items())]


def key(row):
    return row['local'], row['remote'], row['receive_queue'], row['send_queue'], row['inode'] or 0


def check_ip(busy):
    for proto, family in (('tcp', 'inet'), ('tcp6', 'inet6'), ('udp', 'inet'), ('udp6', 'inet6')):
        theirs = sorted((*row[:2], *row[3:], row[2]) for row in ip_rows(busy, proto))
        mine = {}
        for row in ours(busy, family=family, proto=proto.rstrip('6')):
            state = {'UNCONNECTED': 'CLOSE'}.get(row['state'], row['state'])
            mine[row['sock']] = (*key(row), STATES.index(state))
        assert sorted(mine.values()) == theirs, proto
    rows = busy.answer('sockets')
    assert any(row['state'] == 'TIME_WAIT' and row['pid'] is None and row['fd'] is None for row in rows)
    assert any(row['proto'] == 'tcp' and row['receive_queue'] > 1000 for row in rows)
    assert any(row['proto'] == 'tcp' and row['send_queue'] > 1000 for row in rows)
    assert any(row['proto'] == 'udp' for row in rows)


def check_others(busy):
    def inodes(name, column, skip=1):
        return sorted(int(line.split()[column]) for line in busy.truth_text('file', f'/proc/net/{name}').splitlines()[skip:])

    def mine(**wanted):
        return sorted({row['sock']: row['inode'] or 0 for row in ours(busy, **wanted)}.values())

    assert mine(family='inet', type='raw') == inodes('raw', 9) != []
    assert mine(family='packet') == inodes('packet', 8) != []
    assert mine(family='unix') == inodes('unix', 6) != []
    assert mine(family='netlink') == inodes('netlink', 9)
    names = {line.split()[7] for line in busy.truth_text('file', '/proc/net/unix').splitlines()[1:] if len(line.split()) > 7}
    assert {row['local'] for row in ours(busy, family='unix') if row['local']} == names


def check_owners(busy):
    theirs = {(row['pid'], row['fd'], int(re.search(r'\d+', row['path'])[0])) for row in busy.truth('files')
              if (row.get('path') or '').startswith('socket:')}
    mine = {(row['pid'], row['fd'], row['inode']) for row in busy.answer('sockets') if row['pid'] is not None}
    assert theirs == mine and len(mine) > 8
    pid = min(pid for pid, _, _ in mine)
    assert {row['pid'] for row in busy.answer('sockets', pid)} == {pid}


@pytest.mark.parametrize('profile', PROFILES)
def test_sockets_are_those_of_proc_net(fresh_guest, profile):
    busy = fresh_guest('--kaslr', '--mem', '256M', profile=profile)
    busy.sh(' ; '.join(SCENE.strip().splitlines()))
    check_ip(busy)
    check_others(busy)
    check_owners(busy)
