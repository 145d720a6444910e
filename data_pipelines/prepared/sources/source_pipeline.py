"""Base of pipelines whose settings name the raw data by `source` and `path`.

Such pipelines also work from prepared rows, when the raw data are gone.
"""

import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from data_pipelines.contract.config import OnBadFile
from data_pipelines.contract.pipeline import Batch, DataPipeline, DataSpec, Manifest
from data_pipelines.prepared.manifest import load_manifest, read_manifest
from data_pipelines.storage.folder import Folder


class SourcePipeline(DataPipeline[Batch]):
    """Pipeline of one source; without the raw data, its data spec comes from the folder prepared before."""

    format_version: ClassVar[int] = 2
    """Version of the rules that turn raw data into rows; increased when a rule changes."""
    embedded: ClassVar[Mapping[str, str]] = {}
    """Sources that need no path, each with its description."""
    data: Any
    """Settings with `source`, `path`, `prepared` and `on_bad_file`, of which alone a subclass is built."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.data,)  # without the listing of the raw data

    @property
    @abstractmethod
    def key_prefix(self) -> str:
        """Prefix of the key: readable, and determined by the form of the rows alone."""

    @property
    def key_settings(self) -> Sequence[Any]:
        """Further settings that change the rows; JSON only."""
        return ()

    @abstractmethod
    def raw_data_spec(self, *, has_raw: bool) -> DataSpec:
        """Return the data spec from the raw data, or from the settings alone when there are none."""

    def refuse_prepared(self, manifest: Manifest) -> None:
        """Raise ValueError when prepared rows of this family do not fit the settings."""

    @property
    def key(self) -> str:
        """`<family>-<digest>`; when the settings name no raw data, the key of the folder prepared before."""
        if not self._names_raw:
            return self._prepared_key()
        raw = str(self.data.path.resolve()) if self.data.path else ""
        digest = hashlib.sha256(json.dumps([self.format_version, raw, *self.key_settings]).encode())
        return f"{self.key_prefix}-{digest.hexdigest()[:8]}"

    @property
    def prepared(self) -> Folder | None:
        return Folder(self.data.prepared) if self.data.prepared else None

    @property
    def source(self) -> str:
        """The raw data's path, or the description of the embedded data."""
        data = self.data
        if data.path is None and data.source in self.embedded:
            return self.embedded[data.source]
        return f"{data.source} at {data.path}" if data.path else f"{data.source}, no path given"

    @abstractmethod
    def list_raw_files(self) -> Sequence[Path]:
        """Return the raw files, which are at hand; see `raw_files`."""

    @property
    def on_bad_file(self) -> OnBadFile:
        return self.data.on_bad_file

    def raw_files(self) -> Sequence[Path]:
        return self.list_raw_files() if self.data.path is not None and self.has_raw else ()

    def raw_roots(self) -> Sequence[Path]:
        return [self.data.path] if self.data.path is not None and self.has_raw else ()

    def data_spec(self) -> DataSpec:
        prepared, has_raw = self.prepared, self.has_raw
        if not has_raw and prepared is not None and read_manifest(prepared) is not None:
            return load_manifest(prepared, self).data_spec
        return self.raw_data_spec(has_raw=has_raw)

    @property
    def _names_raw(self) -> bool:
        return self.data.path is not None or self.data.source in self.embedded

    @property
    def has_raw(self) -> bool:
        """Whether the raw data are at hand."""
        return self._names_raw and (self.data.path is None or self.data.path.exists())

    def _prepared_key(self) -> str:
        manifest = read_manifest(self.prepared) if self.prepared else None
        if manifest is None:
            raise ValueError(_lacks_path(self.data) + (f"; {self.data.prepared} is none" if self.data.prepared else ""))
        self.refuse_prepared(manifest)
        is_same = manifest.pipeline.startswith(f"{self.key_prefix}-")
        return manifest.pipeline if is_same else f"{self.key_prefix}-(any)"


def require_path(data: Any) -> Path:
    """Return the raw data's path. Raises ValueError when there is none."""
    if data.path is None:
        raise ValueError(_lacks_path(data))
    return data.path


def _lacks_path(data: Any) -> str:
    return (
        f"source: {data.source} needs `workload.data.path`, the raw data, or `workload.data.prepared`, a folder "
        "prepared before"
    )
