"""What the fake server remembers: runs, artifacts, uploads."""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

RunKey = tuple[str, str, str]
"""Entity, project, run id."""


@dataclass
class Run:
    """One run as the server has it."""

    entity: str
    project: str
    run_id: str
    history: list[dict[str, Any]] = field(default_factory=list)
    """By line offset."""
    events: list[dict[str, Any]] = field(default_factory=list)
    """System metrics."""
    output: list[str] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    """As wandb sends it: `{"key": {"value": ...}}`, with `_wandb` beside the user's."""
    display_name: str = ""
    tags: list[str] = field(default_factory=list)
    group: str = ""
    job_type: str = ""
    notes: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    exit_code: int | None = None
    is_stopped: bool = False
    """Whether somebody pressed the stop button."""
    resume_count: int = 0
    """How often a process asked for what is there, to go on with it."""

    @property
    def is_finished(self) -> bool:
        """Whether a process said that it ended, with whatever exit code."""
        return self.exit_code is not None

    @property
    def id(self) -> str:
        """The server's own id."""
        return base64.b64encode(f"Run:v1:{self.run_id}:{self.project}:{self.entity}".encode()).decode()

    def stream(self, body: dict[str, Any]) -> None:
        """Take in one request of the filestream."""
        lines = {"wandb-history.jsonl": self.history, "wandb-events.jsonl": self.events}
        for name, part in body.get("files", {}).items():
            if name in lines:
                _put(lines[name], part["offset"], [json.loads(line) for line in part["content"]])
            elif name == "wandb-summary.json":
                self.summary = json.loads(part["content"][-1])
            elif name == "output.log":
                _put(self.output, part["offset"], part["content"])
        self.exit_code = body.get("exitcode", 0) if body.get("complete") else None


def _put(lines: list[Any], offset: int, content: list[Any]) -> None:
    """Lines from `offset` on replace what was there; a hole is filled with `None`."""
    lines.extend([None] * (offset - len(lines)))
    lines[offset : offset + len(content)] = content


@dataclass
class ArtifactVersion:
    """One version of an artifact."""

    id: str
    entity: str
    project: str
    name: str
    version: int
    type: str
    digest: str
    metadata: dict[str, Any]
    state: str = "PENDING"
    aliases: list[str] = field(default_factory=list)
    wanted_aliases: list[str] = field(default_factory=list)
    """Those that it gets once it is committed."""
    description: str = ""
    client_id: str = ""
    logged_by: str = ""
    """Run id."""
    manifest: dict[str, Any] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    """Content by path."""

    @property
    def files(self) -> dict[str, bytes | str]:
        """By path: the content of a file, the URI of a reference."""
        contents = self.manifest.get("contents", {})
        return {path: entry.get("ref") or self.uploads[path] for path, entry in contents.items()}


@dataclass
class State:
    """All of it."""

    runs: dict[RunKey, Run] = field(default_factory=dict)
    artifacts: dict[tuple[str, str, str], list[ArtifactVersion]] = field(default_factory=dict)
    """Versions by entity, project and name."""
    used: dict[RunKey, list[str]] = field(default_factory=dict)
    """Ids of the artifact versions that a run used."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    """Uploaded artifact files by the hexadecimal MD5 of their content."""

    def version(self, id: str) -> ArtifactVersion:
        """The artifact version of this id, the server's or the client's."""
        for versions in self.artifacts.values():
            for version in versions:
                if id in (version.id, version.client_id):
                    return version
        raise KeyError(f"no artifact {id}")

    def find(self, entity: str, project: str, name: str) -> ArtifactVersion | None:
        """The version that `NAME:ALIAS` or `NAME:vN` means."""
        name, _, alias = name.partition(":")
        for version in self.artifacts.get((entity, project, name), []):
            if version.state == "COMMITTED" and (alias or "latest") in [*version.aliases, f"v{version.version}"]:
                return version
        return None

    def store(self, path: list[str], content: bytes) -> None:
        """Take in an upload; `path` is that of the URL which `upload_url` made."""
        kind, *where = path
        if kind == "run":
            entity, project, run_id, *name = where
            self.runs[entity, project, run_id].files["/".join(name)] = content
            return
        version, name = self.version(where[0]), "/".join(where[1:])
        if kind == "manifest":
            version.manifest = json.loads(content)
        else:
            version.uploads[name] = content
            self.blobs[hashlib.md5(content).hexdigest()] = content

    def load(self, path: list[str]) -> bytes | None:
        """What is at the path of a download URL."""
        if path[0] == "manifest":
            return json.dumps(self.version(path[1]).manifest).encode()
        if path[0] == "run":
            entity, project, run_id, *name = path[1:]
            return self.runs[entity, project, run_id].files.get("/".join(name))
        return self.blobs.get(path[-1])
