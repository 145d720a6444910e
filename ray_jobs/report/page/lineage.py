"""Lineage of a run as parts of its page: settings, data, files, commit, versions."""

from collections.abc import Mapping
from typing import Any

from ray_jobs.console import format_counts
from ray_jobs.report.page.content import Card, FindReport, Folded, Pairs, Part, Table, Text, Words, present
from ray_jobs.report.record.run_record import RunRecord
from ray_jobs.report.record.settings import find_changes
from ray_jobs.settings.strict_yaml import dump_yaml

MAIN_PACKAGES = ("ray", "torch", "numpy", "pyarrow", "wandb")


def settings_cards(settings: Mapping[str, Any], name: str = "settings") -> list[Part]:
    """Build the card of settings that differ from the defaults, with all settings folded away."""
    if not settings:
        return []
    rows = [
        [
            Words(change.key, style="mono"),
            Words(setting_words(change.value), style="mono"),
            Words("" if change.default is None else setting_words(change.default), style="mono soft"),
        ]
        for change in find_changes(settings)
    ]
    known = Table(name, ["setting", "here", "default"], rows) if rows else Text("All are the defaults.")
    complete = Folded("all settings", [Text(dump_yaml(dict(settings)), is_verbatim=True)])
    return [Card([known, complete], is_long=True)]


def setting_words(value: Any) -> str:
    """Return a setting's value as YAML would have it, lists without brackets."""
    if isinstance(value, list):
        return ", ".join(map(setting_words, value))
    return dump_yaml(value).removesuffix("...\n").strip()


def input_card(each: Mapping[str, Any], find_report: FindReport) -> Card:
    """Build the card of data or of a file, with a link to the report of the run that made it."""
    metadata = each["metadata"]
    run = metadata.get("run_id")
    facts = [
        ("kind", each["type"]),
        ("setting", metadata.get("setting")),
        ("made by", Words(metadata["run"], find_report(run)) if run else None),
        ("source", metadata.get("source")),
        ("rows", ", ".join(f"{split} {rows:,}" for split, rows in metadata.get("rows", {}).items())),
        ("bytes", f"{metadata['bytes']:,}" if "bytes" in metadata else None),
        ("source hash", metadata.get("source_hash")),
        ("path", each["path"]),
    ]
    counts = format_counts(metadata.get("counts", {}))
    listed = Text("\n".join(counts), is_verbatim=True) if counts else None
    return Card(present(Pairs(facts), listed), each["name"])


def environment_cards(run: RunRecord) -> list[Part]:
    """Build the card of command, commit, versions and machine, with all packages folded away."""
    found = run.environment
    if not found:
        return []
    packages = found.get("packages", {})
    commit, is_clean = found.get("git_commit"), found.get("git_is_clean")
    tracking = run.settings.get("tracking") or {}
    facts = [
        ("command", Words(found.get("command") or "", style="mono")),
        ("commit", f"{commit}{'' if is_clean else ', with changes that are not committed'}" if commit else None),
        ("seed", found.get("seed")),
        ("versions", ", ".join(f"{name} {packages[name]}" for name in MAIN_PACKAGES if name in packages)),
        ("python", found.get("python")),
        ("platform", found.get("platform")),
        ("started", found.get("started")),
        ("workers", (run.settings.get("scaling") or {}).get("num_workers")),
        ("W&B id", run.identity.wandb_id if tracking.get("wandb") else None),
        ("folder", str(run.folder)),
    ]
    listed = Text(" ".join(f"{name}=={version}" for name, version in packages.items()), is_verbatim=True)
    folded = Folded(f"{len(packages)} packages", [listed]) if packages else None
    return [Card(present(Pairs(facts), folded), is_long=True)]
