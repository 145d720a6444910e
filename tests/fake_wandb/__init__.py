"""A W&B server of this process, by which tests see what real wandb clients send, and make the server fail at will."""

import socket
import threading
from contextlib import suppress
from http.server import ThreadingHTTPServer
from typing import Any, Self

from tests.fake_wandb.faults import Fault, Faults
from tests.fake_wandb.handler import Handler
from tests.fake_wandb.schema import Schema
from tests.fake_wandb.state import Run, State


class _Server(ThreadingHTTPServer):
    """Knows its open connections, so that all of them can be cut."""

    allow_reuse_address = True
    block_on_close = True
    daemon_threads = False

    def __init__(self, port: int, handler: type[Handler]):
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that was cut is no error of the server."""

    def cut(self) -> None:
        """End all connections, in the middle of whatever they do."""
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class FakeWandb:
    """A server on 127.0.0.1 for the length of a `with` block; read its state through the attributes.

    Args:
        keys: the API keys that are known; others get 401. Without it any key will do.
        entity: whose projects are meant where a client names no entity.
    """

    def __init__(self, keys: set[str] | None = None, entity: str = "tester"):
        self.keys, self.entity = keys, entity
        self.lock = threading.RLock()
        self.faults = Faults()
        self.state = State()
        self.runs, self.artifacts, self.used = self.state.runs, self.state.artifacts, self.state.used
        self.requests: list[tuple[float, str, str, str]] = []
        """Time, method, path and GraphQL operation of each request."""
        self.errors: list[str] = []
        """Tracebacks of what could not be answered: a gap of this server or a wrong request."""
        self.url = ""
        self.schema: Schema
        self._port = 0
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.refuse()

    def fail(self, status: int = 500, *, on: str = "", times: int | None = None) -> None:
        """Answer with `status`: all requests, those of a class (`graphql`, `filestream`, `files`), or one operation."""
        self.faults.add(Fault(on, status=status, times=times))

    def hang(self, *, on: str = "", times: int | None = None) -> None:
        """Take requests and do not answer before `heal`."""
        self.faults.add(Fault(on, hangs=True, times=times))

    def slow(self, seconds: float, *, on: str = "", times: int | None = None) -> None:
        """Answer rightly after a while."""
        self.faults.add(Fault(on, delay=seconds, times=times))

    def refuse(self) -> None:
        """Cut all connections and refuse new ones."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._server.socket.close()
        self.faults.cut()
        self._server.cut()
        self._server.server_close()
        self._thread.join()
        self._server = None

    def heal(self) -> None:
        """Lift all faults; listen again, on the same port."""
        self.faults.clear()
        if self._server is None:
            self._open()

    def stop_run(self, run_id: str) -> None:
        """Press the stop button of a run."""
        self.run(run_id).is_stopped = True

    def run(self, run_id: str) -> Run:
        """The one run of this id."""
        (found,) = [run for run in self.runs.values() if run.run_id == run_id]
        return found

    def operations(self) -> list[str]:
        """Names of the GraphQL operations so far."""
        return [operation for _, _, _, operation in self.requests if operation]

    def _open(self) -> None:
        self._server = _Server(self._port, type("BoundHandler", (Handler,), {"fake": self}))
        self._port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self.schema = Schema(self.state, f"{self.url}/storage", self.entity)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
