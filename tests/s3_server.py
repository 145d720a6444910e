"""A server on this machine that speaks S3, and counts the requests and the bytes that it gets."""

import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

BUCKET = "bucket"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}


class S3Server:
    """Address of a server with one bucket, and its requests so far."""

    def __init__(self, address: str, requests: list[str]):
        self.address, self.requests = address, requests
        self.bytes_sent = 0

    def uri(self, name: str) -> str:
        """The URI of a folder in the bucket."""
        return f"s3://{BUCKET}/{name}?region=us-east-1&endpoint_override={self.address}"


class _SilentHandler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        pass


@contextmanager
def started_s3_server() -> Iterator[S3Server]:
    """A server with an empty bucket."""
    application: Any = DomainDispatcherApplication(create_backend_app)
    requests: list[str] = []
    store = S3Server("", requests)

    def count(environ: dict[str, Any], start_response: Any) -> Any:
        lengths = [environ.get(name) for name in ("HTTP_X_AMZ_DECODED_CONTENT_LENGTH", "CONTENT_LENGTH")]
        store.bytes_sent += int(next(filter(None, lengths), 0))
        requests.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ.get('QUERY_STRING', '')}")
        return application(environ, start_response)

    server = make_server("127.0.0.1", 0, count, threaded=True, request_handler=_SilentHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    urllib.request.urlopen(urllib.request.Request(f"{address}/{BUCKET}", method="PUT")).close()
    store.address = address
    yield store
    server.shutdown()
    thread.join()
    server.server_close()


def set_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what the server takes; any would do."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
