"""The real Volatility 3 and drgn, in an environment of their own under the cache folder."""
import json
import os
import subprocess
import sys
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "glassbox"
VENV = CACHE / "venv"
VOL = VENV / "bin" / "vol"


def missing(package="volatility3", program="vol"):
    """Installs another tool's package when it is not there; says why it cannot be used, or None."""
    if (VENV / "bin" / program).exists():
        return None
    python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
    try:
        if not (VENV / "bin" / "pip").exists():
            subprocess.run([python, "-m", "venv", VENV], check=True, capture_output=True, timeout=120)
        subprocess.run([VENV / "bin" / "pip", "install", "-q", "--only-binary", ":all:", package], check=True, capture_output=True,
                       timeout=300)
    except (OSError, subprocess.SubprocessError) as why:
        return f"{package} cannot be installed here: {why}"
    return None if (VENV / "bin" / program).exists() else f"the package {package} has no `{program}`"


class Volatility:
    """Runs plugins on one memory image with one folder of symbols."""

    def __init__(self, folder):
        self.cache, self.symbols = Path(folder) / "volatility-cache", Path(folder) / "symbols"
        self.cache.mkdir()
        (self.symbols / "linux").mkdir(parents=True)

    def run(self, image, plugin, *args):
        done = subprocess.run([VOL, "-q", "--offline", "--cache-path", self.cache, "-s", self.symbols, "-r", "json", "-f", image,
                               plugin, *args], capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout[done.stdout.index("["):])
