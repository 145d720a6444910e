"""Headless Chromium, driven by its own protocol (Chrome DevTools) over a WebSocket."""

import asyncio
import base64
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0")
WAIT_S = 60.0


class Tab:
    """One page, and the addresses of everything that it asked for."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._count = socket, 0
        self.requested: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol; events that come meanwhile are taken in."""
        self._count += 1
        await self._socket.send_json({"id": self._count, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json()
            if message.get("method") == "Network.requestWillBeSent":
                self.requested.append(message["params"]["request"]["url"])
            if message.get("id") == self._count:
                assert "error" not in message, message
                return message["result"]

    async def evaluate(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript."""
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"].get("value")

    async def wait_for(self, expression: str) -> None:
        """Wait until an expression of JavaScript is true. Raises TimeoutError."""
        async with asyncio.timeout(WAIT_S):
            while not await self.evaluate(expression):
                await asyncio.sleep(0.1)

    async def drop(self, files: Sequence[Path]) -> None:
        """Give files to the page's first field for files, as a user who drops them there."""
        root = await self.call("DOM.getDocument")
        node = await self.call("DOM.querySelector", nodeId=root["root"]["nodeId"], selector="input[type=file]")
        await self.call("DOM.setFileInputFiles", nodeId=node["nodeId"], files=[str(file) for file in files])

    async def photograph(self, file: Path) -> None:
        """Write a picture of the complete page as PNG."""
        found = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(found["data"]))


@asynccontextmanager
async def opened_page(address: str, profile: Path) -> AsyncIterator[Tab]:
    """Open an address in a browser of its own, whose profile is a new folder."""
    assert CHROMIUM
    words = (*OPTIONS, f"--user-data-dir={profile}", "--window-size=1280,1000", "about:blank")
    process = await asyncio.create_subprocess_exec(
        CHROMIUM, *words, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        port = await _wait_for_port(profile / "DevToolsActivePort")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                [target] = [each for each in json.loads(await answer.text()) if each["type"] == "page"]
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                tab = Tab(socket)
                await tab.call("Network.enable")
                await tab.call("Page.enable")
                await tab.call("Page.navigate", url=address)
                yield tab
    finally:
        process.terminate()
        await process.wait()


async def _wait_for_port(file: Path) -> int:
    async with asyncio.timeout(WAIT_S):
        while not (file.exists() and file.read_text().count("\n")):
            await asyncio.sleep(0.1)
    return int(file.read_text().splitlines()[0])
