"""Kernels that carry no types and list functions only (Debian's for 32 bits), against what the guest itself says."""
import json
import re
import subprocess

import pytest

from guest_lab import CACHE, Guest, glassbox
from test_page_kind import PAGE_TRUTH, write_truth

pytestmark = pytest.mark.full


@pytest.fixture(scope="module", params=["5.10-i386", "6.1-i386", "6.1-i386-nopae"])
def guest(request):
    if not (CACHE / "guests" / request.param / "vmlinuz").exists():
        pytest.skip(f"no demo guest {request.param}")
    with Guest(request.param, f"blind-{request.param}", qemu=("-cpu", "qemu32,+pae,+nx")) as running:
        yield running


def ask(guest, call, *args):
    return json.loads(glassbox(call, guest.name, *args, "--json").stdout)


def test_what_is_used_is_said(guest):
    status = ask(guest, "status")
    assert status["type_source"].startswith("worked out from the shape")
    assert status["paging_levels"] == (2 if "nopae" in guest.profile["profile"] else 3)
    assert any("carries no types" in doubt for doubt in status["doubts"])


@pytest.mark.parametrize("call", ["ps", "threads"])
def test_processes(guest, call):
    theirs = {row["pid"]: row for row in guest.rows(call)}
    ours = {row["pid"]: row for row in ask(guest, call)}
    assert [pid for pid in theirs if pid not in ours] == []
    for pid, row in theirs.items():
        for field in ("tgid", "ppid", "uid", "gid", "kthread"):
            assert ours[pid][field] == row[field], (row, ours[pid])
        assert (ours[pid]["args"] or "") == row["args"]
        assert abs(ours[pid]["start_ns"] // 10_000_000 - row["start_ticks"]) <= 1


def test_files_and_areas(guest):
    theirs = {(row["pid"], row["fd"]): row for row in guest.rows("files")}
    ours = {(row["pid"], row["fd"]): row for row in ask(guest, "files")}
    shell = int(guest.run("echo pid=$$").split(b"pid=")[-1].split()[0])
    for key, row in theirs.items():
        if key[0] != shell:
            assert ours[key]["path"] == (row.get("path") or row.get("target")), (row, ours.get(key))
    pid = next(row["pid"] for row in guest.rows("ps") if row["args"] == "/bin/sleep 200000")
    spans = [line.split()[:3] for line in guest.file(f"/proc/{pid}/maps").splitlines()]
    mine = [[f'{int(r["start"], 16):08x}-{int(r["end"], 16):08x}', r["perms"], f'{int(r["offset"], 16):08x}']
            for r in ask(guest, "maps", pid)]
    assert mine == spans


def test_modules_mounts_and_log(guest):
    theirs = {line.split()[0]: line.split() for line in guest.file("/proc/modules").splitlines()}
    ours = {row["name"]: row for row in ask(guest, "lsmod")}
    assert set(ours) == set(theirs)
    for name, row in ours.items():
        assert [row["size"], row["refcount"]] == [int(theirs[name][1]), int(theirs[name][2])]
    mounts = {row["id"]: row for row in ask(guest, "mounts")}
    for line in guest.file("/proc/self/mountinfo").splitlines():
        fields = line.split()
        assert mounts[int(fields[0])]["mountpoint"] == fields[4]
        assert mounts[int(fields[0])]["fstype"] == fields[fields.index("-") + 1]
    assert len(ask(guest, "dmesg")) > 100


def test_every_page_frame(guest, tmp_path):
    runs = guest.rows("kpageflags")
    glassbox("dump", guest.name, "-o", tmp_path / "ram.elf", "--format", "elf")
    write_truth(runs, tmp_path / "truth")
    done = subprocess.run([PAGE_TRUTH, tmp_path / "ram.elf", tmp_path / "truth"], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert "coarse" not in done.stderr and said["frames"] >= 65536 - 300
    assert said["agreement"] >= 0.995 and said["counts_agreed"] / said["frames"] >= 0.995


def test_slab_caches(guest):
    theirs = {line.split()[0]: line.split() for line in guest.file("/proc/slabinfo").splitlines()[2:]}
    ours = {row["name"]: row for row in ask(guest, "slabs")}
    assert set(ours) == set(theirs) and len(ours) > 80
    near = 0
    for name, row in ours.items():
        assert row["size"] == int(theirs[name][3])
        near += abs(row["objects"] - int(theirs[name][2])) <= 64 and abs(row["slabs"] - int(theirs[name][14])) <= 3
    assert near >= 0.95 * len(ours)  # caches grow while the two look


def test_stacks_and_sockets(guest):
    pid = next(row["pid"] for row in guest.rows("ps") if row["args"] == "/bin/sleep 200000")
    theirs = re.findall(r"\[<0>\] (\w+)", guest.file(f"/proc/{pid}/stack"))
    ours = [row["symbol"].split("+")[0].split(".")[0] for row in ask(guest, "stack", pid)]
    assert len(theirs) >= 3 and ours[-len(theirs):] == theirs
    listening = {int(line.split()[1].split(":")[1], 16) for proto in ("tcp", "tcp6")
                 for line in guest.file(f"/proc/net/{proto}").splitlines()[1:] if line.split()[3] == "0A"}
    rows = ask(guest, "sockets")
    assert {int(row["local"].rsplit(":", 1)[1]) for row in rows if row["state"] == "LISTEN"} == listening
    inodes = {int(line.split()[6]) for line in guest.file("/proc/net/unix").splitlines()[1:]}
    assert {row["inode"] for row in rows if row["family"] == "unix"} <= inodes


def test_a_system_map_moves_to_where_the_kernel_is(guest, tmp_path):
    """The kernel's own symbols, at the addresses it was linked at, without those that it does not list."""
    offset = int(ask(guest, "status")["kernel_offset"], 16)
    with open(tmp_path / "System.map", "w") as out:
        rows = [row for row in ask(guest, "symbols") if not row["module"]]
        banner = banner_of(guest)
        for address, kind, name in [*((int(r["address"], 16), r["type"], r["name"]) for r in rows), (banner, "D", "linux_banner")]:
            out.write(f"{address - offset & 0xffffffff:08x} {kind} {name}\n")
    done = glassbox("ps", guest.name, "--symbols", tmp_path / "System.map", "--json")
    assert "do not fit" not in done.stderr
    assert {row["pid"] for row in ask(guest, "ps")} == {row["pid"] for row in json.loads(done.stdout)}
    assert ask(guest, "symbols", "schedule") == json.loads(glassbox(
        "symbols", guest.name, "schedule", "--symbols", tmp_path / "System.map", "--json").stdout)


def banner_of(guest):
    """Where the text of the kernel's banner lies in its direct mapping."""
    text = guest.file("/proc/version").strip()[:60]
    text_gva = {int(row["address"], 16) for row in ask(guest, "symbols", "_stext")}.pop()
    places = [int(row["physical"], 16) for row in ask(guest, "search", text)]
    return min(at + 0xc0000000 for at in places if at + 0xc0000000 > text_gva)


def test_the_rest_is_refused(guest):
    for call in ("timers", "cpus", "irqs", "cached", "cgroups"):
        done = glassbox(call, guest.name, "--json", check=False)
        assert done.returncode == 1 and done.stdout == "", call
