"""One command line in the test's own process."""

import json
from typing import Any

from ray_jobs.cli import main


def call(capsys, *arguments: Any) -> tuple[int, dict[str, Any], str]:
    """Exit code, the line of JSON, and standard error of one command with --json."""
    code = main([*map(str, arguments), "--json"])
    captured = capsys.readouterr()
    summary = json.loads(captured.out.splitlines()[-1])
    assert isinstance(summary, dict)
    return code, summary, captured.err


def fail(capsys, *arguments: Any) -> tuple[int, str]:
    """Exit code and message of a command that must fail; standard error ends with what the JSON says."""
    code, summary, err = call(capsys, *arguments)
    assert list(summary) == ["error"]
    assert err.endswith(f"error: {summary['error']}\n") and "Traceback" not in err
    return code, summary["error"]
