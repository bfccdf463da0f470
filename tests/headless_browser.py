"""Chromium without a screen, spoken to in its DevTools protocol over a pair of pipes: no package, no port."""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
_PATIENCE_S = 30.0
"""How long an answer or a condition is waited for; a machine that is busy with other tests is slow, not wrong."""
_KEY_CODES = {"ArrowRight": 39, "ArrowLeft": 37, " ": 32, "Enter": 13}

_ON_3_AND_4 = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
os.dup2(pipes[0], 3)
os.dup2(pipes[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Chromium reads commands from descriptor 3 and writes answers to 4; the pipes may have these numbers themselves."""


class Page:
    """One page in a browser of its own. `complaints` collects whatever its console says."""

    def __init__(self, profile: Path, *, width_px: int = 1400, height_px: int = 1000) -> None:
        down_read, self._down = os.pipe()
        self._up, up_write = os.pipe()
        arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--remote-debugging-pipe",
            "--autoplay-policy=no-user-gesture-required",
            f"--user-data-dir={profile}",
            f"--window-size={width_px},{height_px}",
            "about:blank",
        ]
        command = [sys.executable, "-c", _ON_3_AND_4, str(down_read), str(up_write), str(BROWSER), *arguments]
        self._process = subprocess.Popen(
            command, pass_fds=(down_read, up_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(down_read)
        os.close(up_write)
        self._number = 0
        self._pending = b""
        self._session: str | None = None
        self.complaints: list[str] = []
        targets = self._ask("Target.getTargets")["targetInfos"]
        target = next(one["targetId"] for one in targets if one["type"] == "page")
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._ask(f"{domain}.enable")
        self._ask(
            "Emulation.setDeviceMetricsOverride", width=width_px, height=height_px, deviceScaleFactor=1, mobile=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._down)
        os.close(self._up)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def open(self, path: Path, hash_: str = "") -> None:
        """Load a file and wait until it and its videos are ready."""
        self._ask("Page.navigate", url="about:blank")  # else another place of the same file would not load it anew
        self.wait_for("location.href === 'about:blank'")
        self._ask("Page.navigate", url=f"{path.resolve().as_uri()}{hash_}")
        self.wait_for("document.readyState === 'complete'")
        self.wait_for("[...document.querySelectorAll('video')].every((one) => one.readyState >= 1 || one.error)")

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        found = self._ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Wait until an expression is true."""
        until = time.monotonic() + _PATIENCE_S
        while not self.run(expression):
            assert time.monotonic() < until, f"never became true: {expression}"
            time.sleep(0.02)

    def click(self, selector: str) -> None:
        """Press the mouse in the middle of the first element that a selector finds, after scrolling to it."""
        x, y = self.run(
            f"(() => {{ const found = document.querySelector({json.dumps(selector)}); "
            "found.scrollIntoView({block: 'center'}); const box = found.getBoundingClientRect(); "
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self._ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        """Press a key."""
        code = _KEY_CODES.get(key, ord(key[0].upper()))
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        self._ask("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
        self._ask("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def prefer(self, scheme: str) -> None:
        """Ask for a dark or a light page."""
        self._ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def print_like(self) -> None:
        """Lay the page out as for paper, until something else is preferred."""
        self._ask("Emulation.setEmulatedMedia", media="print")

    def screenshot(self) -> bytes:
        """What is seen, as PNG."""
        return base64.b64decode(self._ask("Page.captureScreenshot", format="png")["data"])

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._down, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self._note(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._pending:
            assert select.select([self._up], [], [], _PATIENCE_S)[0], "the browser does not answer"
            more = os.read(self._up, 1 << 20)
            assert more, "the browser is gone"
            self._pending += more
        message, _, self._pending = self._pending.partition(b"\0")
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        if event["method"] in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            self.complaints.append(json.dumps(event["params"]))
