"""`python -m ray_jobs`, and the script `quintet`."""

import os
import sys

from ray_jobs.exit_codes import INTERRUPTED


def main() -> int:
    """Run the command line; Ctrl-C ends also its imports, which take a second, with one line."""
    _open_closed_streams()
    if not os.environ.get("HOME", "unset").strip():
        del os.environ["HOME"]  # empty, it would make / the home folder
    try:
        from ray_jobs.cluster.connection import has_address
        from ray_jobs.cluster.loopback import bypass_proxy, stay_on_loopback

        bypass_proxy()
        if not has_address():
            stay_on_loopback()
        from ray_jobs.cli import main as run

        return run()
    except KeyboardInterrupt:
        print("interrupted before it began", file=sys.stderr)
        return INTERRUPTED


def _open_closed_streams() -> None:
    """Lead standard streams that were closed nowhere; the next file would get a number into which libraries print."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


if __name__ == "__main__":
    raise SystemExit(main())
