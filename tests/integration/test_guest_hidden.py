"""What a rootkit hides: processes and modules taken out of the kernel's lists, in a copy of real memory."""
import struct

import house
import pytest

PROFILES = [pytest.param(p, marks=() if p in ('5.10', 'testing') else pytest.mark.full) for p in house.KERNELS]


class Memory:
    """A copy of a guest's RAM that can be changed by kernel address."""

    def __init__(self, guest, path):
        self.path = path
        guest.run('dump', '-o', path)
        self.bytes = bytearray(path.read_bytes())

    def answer(self, *args):
        self.path.write_bytes(self.bytes)
        return house.answer(args[0], '--file', self.path, *args[1:])

    def place(self, address):
        return int(house.answer('vtop', '--file', self.path, hex(address))['physical'], 16)

    def word(self, address):
        return struct.unpack_from('<Q', self.bytes, self.place(address))[0]

    def set_word(self, address, value):
        struct.pack_into('<Q', self.bytes, self.place(address), value)

    def unlink(self, entry):
        """list_del() of the kernel."""
        following, before = self.word(entry), self.word(entry + 8)
        self.set_word(following + 8, before)
        self.set_word(before, following)
        self.set_word(entry, 0xdead000000000100)
        self.set_word(entry + 8, 0xdead000000000122)

    def offset(self, struct_name, *members):
        at = 0
        for name in members:
            kind = house.answer('type', '--file', self.path, struct_name)
            member = next(row for row in kind['members'] if row['name'] == name)
            at += member['offset']
            struct_name = member['type'].removeprefix('struct ')
        return at


@pytest.mark.parametrize('profile', PROFILES)
def test_what_is_taken_out_of_lists_is_found_elsewhere(guest_of, profile, tmp_path):
    memory = Memory(guest_of(profile, '--kaslr', '--mem', '256M'), tmp_path / 'ram.raw')
    assert memory.answer('ps', '--hidden') == [] and memory.answer('lsmod', '--hidden') == []

    victim = next(row for row in memory.answer('ps') if row['args'] == '/bin/sleep 200000')
    task = int(victim['task'], 16)
    memory.unlink(task + memory.offset('task_struct', 'tasks'))
    assert victim['pid'] not in {row['pid'] for row in memory.answer('ps')}
    hidden = memory.answer('ps', '--hidden')
    assert [(row['pid'], row['args'], row['found_in']) for row in hidden] == [(victim['pid'], victim['args'], ['pid map', 'slab'])]

    # Gone from the table of ids as well: only its memory tells.
    memory.set_word(memory.word(task + memory.offset('task_struct', 'thread_pid')) + memory.offset('pid', 'tasks'), 0)
    assert [(row['task'], row['found_in']) for row in memory.answer('ps', '--hidden')] == [(victim['task'], ['slab'])]

    module = next(row for row in memory.answer('lsmod') if row['name'] == 'dummy')
    entry = memory.word(int(memory.answer('symbols', 'modules')[0]['address'], 16))  # the newest
    names = [row['name'] for row in memory.answer('lsmod')]
    for _ in range(names.index('dummy')):
        entry = memory.word(entry)
    memory.unlink(entry)
    assert 'dummy' not in {row['name'] for row in memory.answer('lsmod')}
    hidden = memory.answer('lsmod', '--hidden')
    assert [(row['name'], row['address'], row['found_in']) for row in hidden] == \
        [('dummy', module['address'], ['sysfs', 'address tree', 'memory'])]

    # rmmod and find would not see it in sysfs either.
    start = entry - memory.offset('module', 'list')
    memory.unlink(start + memory.offset('module', 'mkobj', 'kobj', 'entry'))
    assert [row['found_in'] for row in memory.answer('lsmod', '--hidden')] == [['address tree', 'memory']]
