"""The real Volatility 3, in an environment of its own under the cache folder."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "glassbox"
VENV = CACHE / "venv"
VOL = VENV / "bin" / "vol"


def missing():
    """Installs Volatility 3 when it is not there; says why it cannot be used, or None."""
    if VOL.exists():
        return None
    python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
    try:
        subprocess.run([python, "-m", "venv", VENV], check=True, capture_output=True, timeout=120)
        subprocess.run([VENV / "bin" / "pip", "install", "-q", "volatility3"], check=True, capture_output=True, timeout=300)
    except (OSError, subprocess.SubprocessError) as why:
        return f"Volatility 3 cannot be installed here: {why}"
    return None if VOL.exists() else "Volatility 3's package has no `vol`"


class Volatility:
    """Runs plugins on one memory image with one folder of symbols."""

    def __init__(self, folder):
        self.cache, self.symbols = Path(folder) / "volatility-cache", Path(folder) / "symbols"
        self.cache.mkdir()
        (self.symbols / "linux").mkdir(parents=True)

    def run(self, image, plugin, *args):
        done = subprocess.run([VOL, "-q", "--offline", "--cache-path", self.cache, "-s", self.symbols, "-r", "json", "-f", image,
                               plugin, *args], capture_output=True, text=True, timeout=400)
        if "taint_flag.module" in done.stderr:
            pytest.skip("this Volatility does not know how 7.x kernels note what a module taints")
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout[done.stdout.index("["):])
