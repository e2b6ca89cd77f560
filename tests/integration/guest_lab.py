"""A guest of a known kernel, started by glassbox itself, with a shell on its console."""
import base64
import json
import os
import re
import socket
import subprocess
import time
import zlib
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "glassbox"
GLASSBOX = os.environ.get("GLASSBOX", str(TOP / "build" / "glassbox"))


def glassbox(*args, check=True, timeout=60):
    done = subprocess.run([GLASSBOX, *map(str, args)], capture_output=True, text=True, timeout=timeout)
    if check and done.returncode:
        raise AssertionError(f"glassbox {args}: {done.returncode}: {done.stderr}")
    return done


def state_folder(name):
    root = Path(os.environ.get("XDG_RUNTIME_DIR") or ("/run" if os.geteuid() == 0 else "/tmp"))
    return root / "glassbox" / name


class Guest:
    """One running guest. Use as a context manager."""

    def __init__(self, profile, name, mem="256M", cpus=1, qemu=(), append="", kernel=None, initrd=None):
        self.folder = CACHE / "guests" / profile
        self.profile = json.loads((self.folder / "profile.json").read_text())
        self.name = f"{name}-{os.getpid()}"
        append = " ".join([self.profile["append_kaslr"], append])
        args = ["run", "--name", self.name, "--mem", mem, "--cpus", cpus, "--detach",
                "--kernel", kernel or self.folder / self.profile["vmlinuz"],
                "--initrd", initrd or self.folder / self.profile["initrd"], "--append", append]
        if qemu:
            args += ["--", *qemu]
        glassbox(*args, timeout=120)
        self.count = self.read_bytes = 0

    def __enter__(self):
        try:
            self.wait_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        glassbox("stop", self.name, check=False)

    def wait_ready(self, seconds=90):
        end = time.time() + seconds
        log = state_folder(self.name) / "serial.log"
        while self.profile["ready_line"].encode() not in log.read_bytes():
            assert time.time() < end, "the guest did not get ready:\n" + log.read_text(errors="replace")[-2000:]
            time.sleep(0.2)
        time.sleep(1.5)  # daemons that start a moment later
        self.run("stty -echo; PS1=; PS2=")

    def run(self, command, seconds=60):
        """Runs a shell command in the guest; returns what it wrote, as bytes."""
        self.count += 1
        first, last = f"<begin-{self.count}>", f"<end-{self.count}>"
        # Quotes keep the marks out of the line's own echo.
        quoted = [mark.replace("-", '"-"') for mark in (first, last)]
        with socket.socket(socket.AF_UNIX) as console:
            console.connect(str(state_folder(self.name) / "console.sock"))
            console.sendall(f'echo "{quoted[0]}"; {command}\necho "{quoted[1]}"\n'.encode())
            data = self.read_until(last.encode(), seconds)
        body = data.split(first.encode() + b"\n", 1)[1]
        return body.split(last.encode())[0]

    def read_until(self, mark, seconds):
        """Output comes from the log: a terminal that lags is cut off."""
        end = time.time() + seconds
        while True:
            with open(state_folder(self.name) / "serial.log", "rb") as log:
                log.seek(self.read_bytes)
                data = log.read()
            if mark in data:
                self.read_bytes += data.index(mark) + len(mark)
                return data.replace(b"\r\n", b"\n")
            assert time.time() < end, f"no answer: {data[-500:]!r}"
            time.sleep(0.02)

    def output(self, command):
        """What a command writes, whole and unchanged by the terminal."""
        self.run(f"{command} > /tmp/lab 2>/dev/null", seconds=60)
        return zlib.decompress(base64.b64decode(self.run("gzip -c /tmp/lab | base64; rm /tmp/lab", seconds=120)), 31)

    def truth(self, *what):
        """The body of one frame of the guest's `truth` program."""
        data = self.output("truth " + " ".join(map(str, what)))
        found = re.fullmatch(rb"@@truth \S+ begin\n(.*)@@truth \S+ end bytes=(\d+) adler=([0-9a-f]+)\n", data, re.S)
        assert found, data[-500:]
        body = found[1]
        assert len(body) == int(found[2]) and zlib.adler32(body) == int(found[3], 16), "the console lost bytes"
        return body

    def rows(self, *what):
        return [json.loads(line) for line in self.truth(*what).splitlines()]

    def file(self, path):
        packed = self.run(f"gzip -c {path} | base64", seconds=120)
        return zlib.decompress(base64.b64decode(packed), 31).decode(errors="surrogateescape")

    def ask(self, call, *args):
        """What glassbox answers, as a document; nothing may be doubtful or partial."""
        done = glassbox(call, self.name, *args, "--json")
        assert done.stderr == "", done.stderr
        return json.loads(done.stdout)
