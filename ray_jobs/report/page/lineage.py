"""Lineage of a run as parts of its page: settings, data, files, commit, versions."""

from collections.abc import Mapping, Sequence
from typing import Any

from ray_jobs.console import format_counts
from ray_jobs.report.html import Markup, join, tag
from ray_jobs.report.page.page import Link, card, folded, linked, table
from ray_jobs.report.record.run_record import RunRecord
from ray_jobs.report.record.settings import find_changes
from ray_jobs.settings.strict_yaml import dump_yaml

MAIN_PACKAGES = ("ray", "torch", "numpy", "pyarrow", "wandb")


def settings_cards(settings: Mapping[str, Any]) -> Markup | None:
    """Build the card of settings that differ from the defaults, with all settings folded away."""
    if not settings:
        return None
    rows = [
        [
            tag("td", change.key, class_="mono"),
            tag("td", _word(change.value), class_="mono"),
            tag("td", _default(change), class_="mono soft"),
        ]
        for change in find_changes(settings)
    ]
    known = table(["setting", "here", "default"], rows) if rows else tag("p", "All are the defaults.")
    return card(known, folded("all settings", tag("pre", dump_yaml(dict(settings)))), is_long=True)


def _word(value: Any) -> str:
    return (
        dump_yaml(value).removesuffix("...\n").strip() if not isinstance(value, list) else ", ".join(map(_word, value))
    )


def _default(change: Any) -> str:
    return "" if change.default is None else _word(change.default)


def lineage_card(inputs: Sequence[Mapping[str, Any]], link: Link) -> Markup | None:
    """Build the cards of data and files, with links to the reports of the runs that made them."""
    return join(_input(each, link) for each in inputs) or None


def _input(each: Mapping[str, Any], link: Link) -> Markup:
    metadata = each["metadata"]
    run = metadata.get("run_id")
    origin = linked(metadata["run"], link(run)) if run else None
    facts = [
        ("kind", each["type"]),
        ("setting", metadata.get("setting")),
        ("made by", origin),
        ("source", metadata.get("source")),
        ("rows", ", ".join(f"{split} {rows:,}" for split, rows in metadata.get("rows", {}).items())),
        ("bytes", f"{metadata['bytes']:,}" if "bytes" in metadata else None),
        ("source hash", metadata.get("source_hash")),
        ("path", each["path"]),
    ]
    counts = format_counts(metadata.get("counts", {}))
    return card(tag("h3", each["name"]), pairs(facts), tag("pre", "\n".join(counts)) if counts else None)


def environment_cards(run: RunRecord) -> Markup | None:
    """Build the card of command, commit, versions and machine, with all packages folded away."""
    found = run.environment
    if not found:
        return None
    packages = found.get("packages", {})
    commit, is_clean = found.get("git_commit"), found.get("git_is_clean")
    tracking = run.settings.get("tracking") or {}
    facts = [
        ("command", tag("code", found.get("command"))),
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
    listed = " ".join(f"{name}=={version}" for name, version in packages.items())
    return card(pairs(facts), folded(f"{len(packages)} packages", tag("pre", listed)) if listed else None, is_long=True)


def pairs(items: Sequence[tuple[str, Any]]) -> Markup:
    """Build a table of names and values, without unknown values."""
    rows = [
        tag("tr", tag("th", name), tag("td", value, class_="path")) for name, value in items if value not in (None, "")
    ]
    return tag("div", tag("table", tag("tbody", rows)), class_="scroll")
