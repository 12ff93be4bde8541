"""Chromium without a window, driven by its DevTools protocol through a pipe: nothing needs to be installed but it."""

import base64
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Any

EXECUTABLE = shutil.which("chromium") or shutil.which("google-chrome")

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--remote-debugging-pipe"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
_SECONDS = 240.0


class Tab:
    """A tab of a browser.

    Attributes:
      requests: The addresses that the tab and service workers have asked for.
      problems: Errors and warnings of the tab's console.
    """

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive, self._rest, self._number = send, receive, b"", 0
        self.requests: list[str] = []
        self.problems: list[str] = []
        workers = [{"type": "service_worker"}]
        self._session: str | None = None
        self.call("Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=True, flatten=True, filter=workers)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "DOM", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Does what a method of the protocol does, and gives its result."""
        number = self._write(method, parameters, self._session)
        while True:
            message = self._read()
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript, once its promise is kept."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Waits until an expression of JavaScript is true."""
        end = time.monotonic() + _SECONDS
        while not self.evaluate(f"Boolean({expression})"):
            assert time.monotonic() < end, f"{expression} is not true; {self.problems}"
            time.sleep(0.05)

    def choose_file(self, selector: str, file: pathlib.Path) -> None:
        """Gives a file to an input of the page."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(file)], nodeId=node)

    def photograph(self, file: pathlib.Path, width: int, height: int, scale: float = 1.0) -> None:
        """Writes the page in a window of that size as a picture (PNG)."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False
        )
        time.sleep(0.5)
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def _write(self, method: str, parameters: dict[str, Any], session: str | None) -> int:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        data = json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0"
        while data:
            data = data[os.write(self._send, data) :]
        return self._number

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._receive, 1 << 16)
            assert more, "Chromium has ended"
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(line)
        self._note(message)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        """Keeps what is asked for and what is wrong, and lets service workers begin, watched."""
        parameters = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
            case "Log.entryAdded" if parameters["entry"]["level"] in ("error", "warning"):
                self.problems.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
            case "Runtime.exceptionThrown":
                self.problems.append(str(parameters["exceptionDetails"]))
            case "Target.attachedToTarget" if parameters["targetInfo"]["type"] == "service_worker":
                self._write("Network.enable", {}, parameters["sessionId"])
                self._write("Runtime.runIfWaitingForDebugger", {}, parameters["sessionId"])


@contextlib.contextmanager
def opened(*flags: str) -> Iterator[Tab]:
    """A tab of a browser of its own, which ends with the block."""
    (their_input, send), (receive, their_output) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        line = f'exec "$@" 3<&{their_input} 4>&{their_output}'
        command = [str(EXECUTABLE), *_FLAGS, f"--user-data-dir={profile}", *flags, "about:blank"]
        process = subprocess.Popen(
            ["bash", "-c", line, "bash", *command], pass_fds=(their_input, their_output), stderr=subprocess.DEVNULL
        )
        os.close(their_input)
        os.close(their_output)
        try:
            yield Tab(send, receive)
        finally:
            process.terminate()
            process.wait(20)
            os.close(send)
            os.close(receive)
