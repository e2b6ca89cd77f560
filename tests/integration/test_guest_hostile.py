"""A guest that lies: damaged copies of a real guest's memory. Every question ends, with an answer or one line."""
import json
import os
import random
import re
import shutil
import struct
import subprocess

import pytest

from guest_lab import CACHE, GLASSBOX, TOP, Guest, glassbox

CALLS = ["ps", "threads", "tree", "files", "sockets", "lsmod", "mounts", "dmesg", "irqs", "cgroups", "kernel",
         "namespaces", "cpus", "slabs", "timers", "cached", "status", "maps 1", "env 1", "stack 1", "ps --hidden"]


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    if not (CACHE / "guests" / "6.1" / "vmlinuz").exists():
        pytest.skip("no demo guest 6.1")
    path = tmp_path_factory.mktemp("hostile") / "good.raw"
    with Guest("6.1", "guest-hostile") as guest:
        glassbox("pause", guest.name)
        glassbox("dump", guest.name, "-o", path)
    return path


def ask(path, call):
    return json.loads(glassbox(*call.split(), "--file", path, "--json").stdout)


class Copy:
    """A damaged copy, with addresses looked up in the good one."""

    def __init__(self, good, path):
        self.good, self.path = good, path
        shutil.copyfile(good, path)
        self.file = open(path, "r+b")
        self.tasks = ask(good, "ps")
        self.layouts, self.delta = {}, None

    def physical(self, address):
        """Kernel objects are in the direct map: one translation tells where it starts."""
        if self.delta is None:
            first = int(self.tasks[0]["task"], 16)
            self.delta = int(ask(self.good, f"vtop {first:#x}")["physical"], 16) - first
        return address + self.delta

    def offset(self, path):
        """From the printed layout, which goes into unnamed members."""
        name, member = path.split(".")
        if name not in self.layouts:
            self.layouts[name] = glassbox("type", name, "--file", self.good).stdout
        return int(re.search(rf"/\* (0x[0-9a-f]+) \*/[^;\n]*\b{member}(\[\d+\])?;", self.layouts[name])[1], 16)

    def load(self, address):
        self.file.seek(self.physical(address))
        return struct.unpack("<Q", self.file.read(8))[0]

    def store(self, address, value):
        self.file.seek(self.physical(address))
        self.file.write(struct.pack("<Q", value & (2**64 - 1)))
        self.file.flush()

    def check(self):
        """All calls: no signal, no hang, and a partial answer is marked as such."""
        for call in CALLS:
            done = subprocess.run([GLASSBOX, *call.split(), "--file", self.path, "--json"], capture_output=True,
                                  text=True, timeout=60)
            assert done.returncode in (0, 1), (call, done.returncode, done.stderr[-500:])
            if done.returncode:
                assert done.stderr.splitlines()[-1].startswith("glassbox: "), (call, done.stderr)
            else:
                json.loads(done.stdout)


@pytest.fixture
def copy(dump, tmp_path):
    copy = Copy(dump, tmp_path / "bad.raw")
    yield copy
    copy.file.close()


def task(copy, n):
    return int(copy.tasks[n]["task"], 16)


def test_a_list_that_runs_in_circles(copy):
    tasks = copy.offset("task_struct.tasks")
    copy.store(task(copy, 20) + tasks, task(copy, 10) + tasks)
    done = glassbox("ps", "--file", copy.path, "--json")
    assert "circles" in done.stderr
    rows = json.loads(done.stdout)
    assert {row["pid"] for row in rows} == {row["pid"] for row in copy.tasks[:21]}
    copy.check()


def test_a_process_taken_out_of_the_list_is_found_by_other_ways(copy):
    tasks = copy.offset("task_struct.tasks")
    hidden = next(i for i, row in enumerate(copy.tasks) if row["args"] == "/bin/sleep 200000")
    copy.store(task(copy, hidden - 1) + tasks, task(copy, hidden + 1) + tasks)
    copy.store(task(copy, hidden + 1) + tasks + 8, task(copy, hidden - 1) + tasks)
    pid = copy.tasks[hidden]["pid"]
    assert pid not in {row["pid"] for row in ask(copy.path, "ps")}
    found = ask(copy.path, "ps --hidden")
    assert [row["pid"] for row in found] == [pid] and "pid map" in found[0]["found_in"]
    assert ask(copy.good, "ps --hidden") == []


@pytest.mark.parametrize("value", [0, 1, 0xFFFF800000000000, 0xFFFFFFFFFFFFFFF8, 0x4141414141414141, -1])
def test_wild_pointers(copy, value):
    for member in ("mm", "files", "real_parent", "real_cred", "nsproxy", "cgroups", "signal", "stack"):
        copy.store(task(copy, 0) + copy.offset(f"task_struct.{member}"), value)
    copy.store(task(copy, 5) + copy.offset("task_struct.tasks"), value)
    copy.check()


def test_huge_counts_and_endless_trees(copy):
    files = copy.load(task(copy, 0) + copy.offset("task_struct.files"))
    table = copy.load(files + copy.offset("files_struct.fdt"))
    copy.file.seek(copy.physical(table + copy.offset("fdtable.max_fds")))
    copy.file.write(b"\xff\xff\xff\xff")
    # The root of the memory areas becomes its own child.
    mm = copy.load(task(copy, 0) + copy.offset("task_struct.mm"))
    root = copy.load(mm + copy.offset("mm_struct.mm_mt") + copy.offset("maple_tree.ma_root"))
    node = root & ~0xFF
    assert node >> 47 == 0x1FFFF
    for slot in range(1, 31):
        copy.store(node + 8 * slot, root)
    copy.check()


def test_page_tables_that_lead_everywhere(copy):
    cr3 = int(copy.tasks[0]["cr3"], 16)
    copy.file.seek(cr3)
    copy.file.write(struct.pack("<Q", cr3 | 0x67) * 256)
    copy.file.flush()
    copy.check()


@pytest.mark.parametrize("seed", range(4))
def test_random_damage(copy, seed):
    dice = random.Random(seed)
    places = [int(row["task"], 16) for row in copy.tasks]
    for _ in range(60):
        address = dice.choice(places) + 8 * dice.randrange(400)
        copy.store(address, dice.choice([0, dice.getrandbits(64), dice.choice(places) + 8 * dice.randrange(400)]))
    copy.check()


@pytest.mark.parametrize("seed", ["1", pytest.param("2", marks=pytest.mark.full), pytest.param("3", marks=pytest.mark.full)])
def test_every_walker_while_memory_lies(dump, seed):
    """A fuzz target over the real dump: what walkers read is changed under them, page tables included."""
    program = TOP / "build" / "tests" / "fuzz" / "fuzz_walkers"
    if not program.exists():
        pytest.skip("this build has no fuzz programs")
    done = subprocess.run([program, "1500"], capture_output=True, text=True, timeout=300,
                          env={**os.environ, "GLASSBOX_FUZZ_DUMP": str(dump), "FUZZ_SEED": seed})
    assert done.returncode == 0, done.stderr[-2000:]
    rows = dict(re.findall(r"^([a-z ]+): (\d+) rows", done.stderr, re.M))
    assert int(rows["tasks"]) > 60 and int(rows["mounts"]) > 10 and int(rows["log"]) > 100
