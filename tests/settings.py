"""Valid settings with one of them replaced, and what is wrong with them: for tests of what is refused."""

from typing import Any

import pytest

from ray_jobs.settings.experiment import check_settings


def settings_with(dotted: str = "", value: Any = None) -> dict[str, Any]:
    """Valid flow-matching settings with one of them replaced."""
    settings: dict[str, Any] = {"workload": {"name": "flow_matching"}, "training": {"epochs": 1}}
    if dotted:
        *sections, last = dotted.split(".")
        inner = settings
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[last] = value
    return settings


def problems_of(settings: dict[str, Any]) -> list[str]:
    with pytest.raises(ValueError) as caught:
        check_settings(settings, origin="here.yaml")
    first, *lines = str(caught.value).splitlines()
    assert first == f"here.yaml: {len(lines)} wrong setting(s)"
    return [line.strip() for line in lines]
