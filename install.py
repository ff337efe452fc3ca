"""Makes ``.venv`` with paybatch and all that it needs; `make` calls it.

Two at once wait for each other; one that is broken off is done again by the next.
"""

import fcntl
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / ".installed"
PARTS = (ROOT / "requirements.lock", ROOT / "pyproject.toml")
OLDEST = (3, 11)


def is_current() -> bool:
    """Tell whether the environment is newer than what it was made from."""
    if not STAMP.exists():
        return False
    return all(part.stat().st_mtime <= STAMP.stat().st_mtime for part in PARTS)


def install() -> None:
    """Make the environment; the stamp is written last."""
    print("Installing what paybatch needs into .venv", flush=True)
    if not (VENV / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    pip.append("--disable-pip-version-check")
    subprocess.run([*pip, "--require-hashes", "-r", str(PARTS[0])], check=True, cwd=ROOT)
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "-e", "."], check=True, cwd=ROOT)
    STAMP.touch()


def main() -> None:
    """Install under a lock, if there is anything to do."""
    if sys.version_info < OLDEST:
        sys.exit(
            "paybatch needs Python 3.11 or later; set PYTHON to one: make run PYTHON=python3.12"
        )
    with (ROOT / ".install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_current():
            install()


if __name__ == "__main__":
    main()
