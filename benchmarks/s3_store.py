"""An S3 server on this machine, in a process of its own, with one bucket; its content is gone with it."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyarrow import fs as pafs

from benchmarks.feed.ranks import free_port

BUCKET = "bench"
START_S = 60.0


@dataclass(frozen=True)
class S3Store:
    """The server's address, and the bucket in it."""

    address: str

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which boto3, MosaicML's streaming and Arrow find it."""
        return {
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": self.address,
            "S3_ENDPOINT_URL": self.address,
        }

    def uri(self, name: str) -> str:
        """Return the URI of a folder in the bucket, as Arrow takes it."""
        return f"s3://{BUCKET}/{name}?region=us-east-1&endpoint_override={self.address}"

    def plain_uri(self, name: str) -> str:
        """Return the URI of a folder, as others take it."""
        return f"s3://{BUCKET}/{name}"

    def upload(self, folder: Path, name: str) -> None:
        """Copy a folder of this machine with all its files."""
        target, path = pafs.FileSystem.from_uri(self.uri(name))
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                with target.open_output_stream(f"{path}/{file.relative_to(folder)}") as stream:
                    stream.write(file.read_bytes())


@contextmanager
def started_store() -> Iterator[S3Store]:
    """Start a server with an empty bucket; this process gets its variables."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    store = S3Store(f"http://127.0.0.1:{port}")
    before: dict[str, Any] = {name: os.environ.get(name) for name in store.environment}
    os.environ.update(store.environment)
    try:
        _make_bucket(store.address)
        yield store
    finally:
        process.kill()
        process.wait()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _make_bucket(address: str) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            urllib.request.urlopen(urllib.request.Request(f"{address}/{BUCKET}", method="PUT")).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
