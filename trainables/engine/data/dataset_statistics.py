"""Cache of dataset statistics, kept beside the prepared rows for every later run and trial."""

import hashlib
import io
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

import torch

from data_pipelines.storage.folder import Folder
from trainables.contract.train_context import Collectives

LEARNT = "learnt"
"""Name of the folder among the prepared rows."""
_DIGEST_SIZE = hashlib.sha256().digest_size

logger = logging.getLogger(__name__)


class DatasetStatisticsCache:
    """Files of plain data and CPU tensors, each preceded by its checksum.

    The file name is a digest of everything the content follows from, so two runs that compute the same statistic at the
    same time write the same file.
    """

    def __init__(self, prepared: Folder, source_hash: str, collectives: Collectives):
        self._prepared, self._source_hash, self._collectives = prepared, source_hash, collectives

    def cached(self, name: str, settings: Mapping[str, Any], compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the cached result of `compute`, or call it and cache its result; see `CachedStatistic`."""
        file = f"{LEARNT}/{name}-{self._digest(settings)}.pt"
        is_root = self._collectives.rank == 0
        known = self._collectives.broadcast(self._load(file) if is_root else None)
        if known is not None:
            return known
        computed = compute()
        if is_root:
            self._save(file, computed)
        return computed

    def _digest(self, settings: Mapping[str, Any]) -> str:
        content = json.dumps([self._source_hash, settings], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def _load(self, file: str) -> dict[str, Any] | None:
        if not self._prepared.exists(file):
            return None
        content = self._prepared.read(file)
        digest, computed = content[:_DIGEST_SIZE], content[_DIGEST_SIZE:]
        if hashlib.sha256(computed).digest() != digest:
            logger.warning("%s/%s is damaged; it is recomputed", self._prepared, file)
            return None
        return torch.load(io.BytesIO(computed), weights_only=True)

    def _save(self, file: str, computed: dict[str, Any]) -> None:
        buffer = io.BytesIO()
        torch.save(computed, buffer)
        content = buffer.getvalue()
        try:
            self._prepared.write(file, hashlib.sha256(content).digest() + content)
        except OSError as error:
            logger.warning("%s/%s cannot be written, so each run learns it anew: %s", self._prepared, file, error)
