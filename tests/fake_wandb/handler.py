"""The HTTP side of the fake server."""

import base64
import gzip
import json
import time
import traceback
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from tests.fake_wandb.faults import ConnectionCutError
from tests.fake_wandb.graphql import Document

if TYPE_CHECKING:
    from tests.fake_wandb import FakeWandb


class Handler(BaseHTTPRequestHandler):
    """Answers one connection; the subclass that a server makes for itself holds `fake`."""

    fake: "FakeWandb"
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on standard error: the server keeps its own log."""

    def _serve(self) -> None:
        path = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        body = self._read_body()
        document = Document(json.loads(body)["query"]) if path == ["graphql"] else None
        kind, operation = _kind(path), document.name if document else ""
        self.fake.requests.append((time.time(), self.command, self.path, operation))
        try:
            status = self.fake.faults.meet(kind, operation)
        except ConnectionCutError:
            self.close_connection = True
            return
        if status == 0 and path[0] != "storage" and not self._is_key_known():
            status = 401
        if status:
            self._answer(status, {"error": f"status {status}", "errors": [{"message": f"status {status}"}]})
        elif document:
            self._graphql(document, json.loads(body).get("variables") or {})
        elif kind == "filestream":
            self._filestream(path, body)
        else:
            self._storage(path, body)

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(content) if self.headers.get("Content-Encoding") == "gzip" else content

    def _is_key_known(self) -> bool:
        if self.fake.keys is None:
            return True
        _, _, credentials = self.headers.get("Authorization", "").partition(" ")
        return base64.b64decode(credentials).decode().partition(":")[2] in self.fake.keys

    def _graphql(self, document: Document, variables: dict[str, Any]) -> None:
        root = self.fake.schema.mutation if document.kind == "mutation" else self.fake.schema.query
        try:
            with self.fake.lock:
                answer = {"data": document.execute(root, variables)}
        except (KeyError, TypeError, ValueError) as error:
            self.fake.errors.append(traceback.format_exc())
            answer = {"data": None, "errors": [{"message": repr(error)}]}
        self._answer(200, answer)

    def _filestream(self, path: list[str], body: bytes) -> None:
        _, entity, project, run_id, _ = path
        with self.fake.lock:
            run = self.fake.runs[entity, project, run_id]
            run.stream(json.loads(body))
            answer = {"exitcode": run.exit_code, "limits": {}, "stopped": run.is_stopped}
        self._answer(200, answer)

    def _storage(self, path: list[str], body: bytes) -> None:
        with self.fake.lock:
            if self.command == "PUT":
                self.fake.state.store(path[1:], body)
                content = b""
            else:
                content = self.fake.state.load(path[1:])
        self._send(404 if content is None else 200, content or b"", "application/octet-stream")

    def _answer(self, status: int, answer: Any) -> None:
        self._send(status, json.dumps(answer).encode(), "application/json")

    def _send(self, status: int, content: bytes, kind: str) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            self.close_connection = True  # The client has given up waiting.


def _kind(path: list[str]) -> str:
    if path == ["graphql"]:
        return "graphql"
    return "filestream" if path[-1] == "file_stream" else "files"
