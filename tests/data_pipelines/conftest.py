"""A stand-in of an object store."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs
import pytest

from data_pipelines.storage import folder as folder_module


@pytest.fixture
def serve_mock(monkeypatch) -> Callable[[Path], None]:
    """Makes `mock://` a file system that pyarrow reaches, and that is not the local one, over a folder."""
    original = folder_module.split_uri

    def serve(root: Path) -> None:
        def split(uri: str) -> Any:
            if not uri.startswith("mock://"):
                return original(uri)
            return pafs.SubTreeFileSystem(str(root), pafs.LocalFileSystem()), uri.removeprefix("mock://")

        monkeypatch.setattr(folder_module, "split_uri", split)

    return serve
