"""What glassbox finds in a running guest against what the guest itself says, on every kernel."""
import json
import re

import pytest

from guest_lab import CACHE, Guest, glassbox, state_folder

# Compressed kernels, so that both physical and virtual KASLR happen; TCG's "max" CPU turns 5-level paging on.
CASES = [("5.10", ()), ("6.1", ()), ("6.1", ("-cpu", "max")), ("6.12", ("-cpu", "max")), ("testing", ()),
         ("testing", ("-cpu", "max"))]
FULL_CASES = [(profile, ()) for profile in ("5.10-generic", "6.1-generic", "6.12-generic", "testing-generic", "6.1-rt", "6.12-rt")]


def case_name(case):
    return case[0] + ("-max" if case[1] else "")


@pytest.fixture(scope="module", params=CASES + [pytest.param(case, marks=pytest.mark.full) for case in FULL_CASES],
                ids=case_name)
def guest(request):
    profile, qemu = request.param
    if not (CACHE / "guests" / profile / "vmlinuz").exists():
        pytest.skip(f"no demo guest {profile}")
    with Guest(profile, f"guest-{case_name(request.param)}", qemu=qemu) as running:
        yield running


def same_kernel_thread(ours, theirs):
    """A worker's name tells what it works for at that moment."""
    return re.split("[-+]", ours)[0] == re.split("[-+]", theirs)[0] if theirs.startswith("kworker") else ours == theirs


def test_kernel_is_found_without_doubt(guest):
    status = guest.ask("status")
    assert status["doubts"] == []
    assert guest.profile["release"] in status["kernel_banner"]
    assert status["kernel_release"] == guest.profile["release"]
    assert "kallsyms in RAM" in status["symbol_source"] and "BTF in RAM" in status["type_source"]
    assert status["kaslr_source"] == "VMCOREINFO, kallsyms, page tables"


def test_five_levels_are_seen_where_the_kernel_uses_them(guest):
    five = "la57" in guest.file("/proc/cpuinfo") and guest.profile["profile"] != "5.10"
    assert guest.ask("status")["paging_levels"] == (5 if five else 4)


@pytest.mark.parametrize("call", ["ps", "threads"])
def test_processes(guest, call):
    theirs = {row["pid"]: row for row in guest.rows(call)}
    ours = {row["pid"]: row for row in guest.ask(call)}
    assert len(theirs) > 30
    missing = [row for pid, row in theirs.items() if pid not in ours]
    assert missing == []
    for pid, row in theirs.items():
        mine = ours[pid]
        for field in ("tgid", "ppid", "uid", "gid", "kthread"):
            assert mine[field] == row[field], (row, mine)
        assert same_kernel_thread(mine["comm"], row["comm"]), (row, mine)
        # Who runs when asked may sleep a moment later, and the other way round.
        states = "ISRD" if row["kthread"] else "RS" if row["state"] in "RS" else row["state"]
        assert mine["state"] in states, (row, mine)
        assert abs(mine["start_ns"] // 10_000_000 - row["start_ticks"]) <= 1, (row, mine)
        assert (mine["args"] or "") == row["args"], (row, mine)
        assert (mine["cr3"] is None) == (row["kthread"] or row["state"] == "Z"), mine
    # Nothing of ours is unknown to them but what came and went.
    extra = [row for pid, row in ours.items() if pid not in theirs]
    assert all(row["kthread"] or row["ppid"] in theirs for row in extra), extra


def test_symbols(guest):
    guest.run("echo 0 > /proc/sys/kernel/kptr_restrict")
    theirs = [line.split() for line in guest.file("/proc/kallsyms").splitlines()]
    made = {"[bpf]", "[__builtin__ftrace]", "[__builtin__kprobes]"}  # at run time: in no table
    theirs = {(name, int(address, 16), kind, *module) for address, kind, name, *module in theirs if module[:1] not in ([m] for m in made)}
    ours = {(row["name"], int(row["address"], 16), row["type"], *([f"[{row['module']}]"] if row["module"] else []))
            for row in guest.ask("symbols")}
    assert len(theirs) > 50_000 and len({row[3] for row in theirs if row[3:]}) > 5  # newer kernels have more built in
    assert theirs == ours


def test_translations(guest):
    guest.run("truth hold > /tmp/held & sleep 2")
    pid = int(re.search(rb'"pid":(\d+)', guest.run("cat /tmp/held"))[1])
    rows = guest.rows("pagemap", pid)
    assert len(rows) > 30
    sizes = set()
    for row in rows[:: max(1, len(rows) // 60)]:
        mine = guest.ask("vtop", row["virtual"], "--pid", pid)
        assert [mine["virtual"], mine["physical"]] == [row["virtual"], row["physical"]]
        sizes.add(mine["page_size"])
    assert 4096 in sizes
    done = glassbox("vtop", guest.name, "0x10", "--pid", pid, check=False)
    assert done.returncode == 1 and "not present" in done.stderr and done.stdout == ""


def maps_of(text):
    rows = []
    for line in text.splitlines():
        span, perms, offset, _device, _inode, *path = line.split(None, 5)
        start, end = (int(part, 16) for part in span.split("-"))
        rows.append((start, end, perms, int(offset, 16), path[0] if path else None))
    return rows


def test_maps(guest):
    pids = [row["pid"] for row in guest.rows("ps") if not row["kthread"] and row["state"] == "S"][:8]
    for pid in pids:
        theirs = maps_of(guest.file(f"/proc/{pid}/maps"))
        ours = [(int(r["start"], 16), int(r["end"], 16), r["perms"], int(r["offset"], 16), r["path"])
                for r in guest.ask("maps", pid)]
        if pid > 1:
            assert ours == theirs


def test_files(guest):
    theirs = {(row["pid"], row["fd"]): row for row in guest.rows("files")}
    ours = {(row["pid"], row["fd"]): row for row in guest.ask("files")}
    shell = int(guest.run("echo pid=$$").split(b"pid=")[-1].split()[0])
    assert len(theirs) > 30
    for key, row in theirs.items():
        if key[0] != shell:
            assert ours[key]["path"] == (row.get("path") or row.get("target")), (row, ours.get(key))


def test_modules_and_mounts(guest):
    theirs = {line.split()[0]: line.split() for line in guest.file("/proc/modules").splitlines()}
    ours = {row["name"]: row for row in guest.ask("lsmod")}
    assert set(ours) == set(theirs)
    for name, row in ours.items():
        assert [row["size"], row["refcount"]] == [int(theirs[name][1]), int(theirs[name][2])]
        assert int(row["address"], 16) == int(theirs[name][5], 16)
    mounts = {row["id"]: row for row in guest.ask("mounts")}
    for line in guest.file("/proc/self/mountinfo").splitlines():
        fields = line.split()
        dash = fields.index("-")
        mine = mounts[int(fields[0])]
        assert mine["mountpoint"] == fields[4].replace("\\040", " ")
        assert [mine["parent"], mine["fstype"], mine["options"], mine["device"]] == [
            int(fields[1]), fields[dash + 1], fields[5], fields[dash + 2]]


def test_log_and_stacks(guest):
    theirs = [re.sub(r"^\[[ 0-9.]+\] ?", "", line) for line in guest.output("dmesg").decode(errors="replace").splitlines()]
    ours = set("\n".join(row["text"] for row in guest.ask("dmesg")).splitlines())
    log = [line for line in theirs if line and "guest-lab" not in line and "dmesg" not in line]
    assert len(log) > 50 and [line for line in log if line not in ours] == []
    sleeper = next(row["pid"] for row in guest.rows("ps") if row["args"] == "/bin/sleep 200000")
    theirs = re.findall(r"\[<0>\] (\S+\+0x[0-9a-f]+)", guest.file(f"/proc/{sleeper}/stack"))
    frames = guest.ask("stack", sleeper)
    assert {row["how"] for row in frames} == {"orc"}
    ours = [re.sub(r"\.(isra|constprop|part)\.\d+", "", row["symbol"]) for row in frames]
    theirs = [re.sub(r"\.(isra|constprop|part)\.\d+", "", name) for name in theirs]
    assert len(theirs) >= 3 and ours[-len(theirs):] == theirs


def test_a_second_answer_comes_from_the_cache(guest):
    guest.ask("ps")
    cache = state_folder(guest.name) / "guest.cache"
    assert cache.exists() and cache.stat().st_mode & 0o077 == 0
    rows = json.loads(glassbox("ps", guest.name, "--json").stdout)
    fresh = json.loads(glassbox("ps", guest.name, "--json", "--no-cache").stdout)
    assert {row["pid"] for row in rows} == {row["pid"] for row in fresh}


def test_timers(guest):
    for _ in range(10):  # timers come and go between the two looks
        theirs = re.findall(r"^ #\d+: <[^>]*>, (\w+), S:01", guest.file("/proc/timer_list"), re.M)
        rows = guest.ask("timers")
        ours = [row["function"] for row in rows if row["kind"] == "hrtimer"]
        if len(theirs) > 2 and set(theirs) <= set(ours):
            break
    else:
        pytest.fail(f"theirs {theirs}, ours {ours}")
    wheel = [row for row in rows if row["kind"] == "wheel"]
    # Every kernel has delayed work, and every function has a name.
    assert "delayed_work_timer_fn" in {row["function"] for row in wheel}
    assert all(not row["function"].startswith("0x") and row["jiffies_left"] > -1000 for row in wheel)
