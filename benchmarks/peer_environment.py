"""An environment for peers whose pins do not agree with ours: made once, in a cache folder.

It holds the peers and what they pin; everything else, torch above all, comes from the current environment, which a
`.pth` file puts behind it on the search path. So torch, pyarrow and the code that decodes are the same for all.
"""

import hashlib
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

PINS = ("mosaicml-streaming==0.13.0", "litdata==0.2.76")
PACKAGES = ("streaming", "litdata")
DEFAULT = Path("~/.cache/quintet/peers")


def find_python(
    folder: Path, pins: Sequence[str] = PINS, packages: Sequence[str] = PACKAGES
) -> tuple[Path | None, str]:
    """Return the interpreter with the peers, made if it is not there; or None and why there is none.

    Args:
        folder: Where environments lie.
        pins: What is installed.
        packages: Names under which it is imported.
    """
    folder = folder.expanduser()
    ours = sysconfig.get_paths()["purelib"]
    digest = hashlib.sha256("\n".join([*pins, ours]).encode()).hexdigest()[:8]
    place = folder / digest
    python, ready = place / "bin" / "python", place / "ready"
    if ready.exists():
        return python, ""
    print(f"making {place} with {', '.join(pins)}", flush=True)
    shutil.rmtree(place, ignore_errors=True)
    try:
        _run([sys.executable, "-m", "venv", str(place)])
        purelib = _run([str(python), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]).strip()
        Path(purelib, "ours.pth").write_text(f"{ours}\n")
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pins])
        _run([str(python), "-c", f"import {', '.join(('torch', *packages))}"])
    except (subprocess.CalledProcessError, OSError) as error:
        return None, f"cannot be installed: {_last_line(error)}"
    ready.touch()
    return python, ""


def _run(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _last_line(error: Exception) -> str:
    words = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
    return (words.strip().splitlines() or ["no word about it"])[-1][:200]
