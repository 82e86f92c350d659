"""A headless Chromium for tests of pages, driven over a pipe in its DevTools protocol.

The protocol is JSON with a NUL after each message, on the file descriptors 3 and 4, so nothing
beside the standard library is needed.  A test that finds no Chromium skips.
"""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select
from tempfile import TemporaryDirectory
from typing import Any, Final, Self

import pytest

__all__ = ["Browser", "Tab", "needs_chromium", "started"]

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATH: Final = os.environ.get("WINDTUNNEL_CHROMIUM") or next(
    filter(None, map(shutil.which, NAMES)), ""
)
needs_chromium: Final = pytest.mark.skipif(
    not PATH, reason="needs Chromium: install it, or put its path in WINDTUNNEL_CHROMIUM"
)

_BECOME: Final = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4);"
    " os.execv(sys.argv[3], sys.argv[3:])"
)
_PATIENCE: Final = 60  # seconds
_FLAGS: Final = (
    "--headless",
    "--no-sandbox",  # which root does not get
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--no-first-run",
    "--hide-scrollbars",
    "--font-render-hinting=none",
    "--remote-debugging-pipe",
)
_KEYS: Final = {  # by name: the code that the page sees, and what is typed
    "ArrowDown": (40, ""),
    "ArrowLeft": (37, ""),
    "ArrowRight": (39, ""),
    "ArrowUp": (38, ""),
    "End": (35, ""),
    "Enter": (13, "\r"),
    "Escape": (27, ""),
    "Home": (36, ""),
    "PageDown": (34, ""),
    "PageUp": (33, ""),
    "Tab": (9, ""),
}


class Browser:
    """A running Chromium."""

    def __init__(self, profile: Path) -> None:
        to_child, self._out = os.pipe()
        self._in, from_child = os.pipe()
        # Another Python puts the pipes where Chromium looks for them, and becomes it.
        words = [PATH, *_FLAGS, f"--user-data-dir={profile}"]
        ends = tuple(fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_child, from_child))
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _BECOME, *map(str, ends), *words],
            pass_fds=ends,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (to_child, from_child, *ends):
            os.close(end)
        self._number = 0
        self._rest = b""
        self.events: list[dict[str, Any]] = []

    def send(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """Call a method of the protocol, and wait for its answer."""
        self._number += 1
        call: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if session:
            call["sessionId"] = session
        os.write(self._out, json.dumps(call).encode() + b"\0")
        while True:
            said = self._receive()
            if said.get("id") == self._number:
                if "error" in said:
                    raise RuntimeError(f"{method}: {said['error']}")
                answer: dict[str, Any] = said["result"]
                return answer
            self.events.append(said)

    def wait(self, method: str, session: str) -> None:
        """Wait until an event of this name has come."""
        while not any((e["method"], e.get("sessionId")) == (method, session) for e in self.events):
            self.events.append(self._receive())

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not select([self._in], [], [], _PATIENCE)[0]:
                raise RuntimeError(f"Chromium said nothing for {_PATIENCE} seconds")
            more = os.read(self._in, 1 << 16)
            if not more:
                raise RuntimeError("Chromium went away")
            self._rest += more
        head, _, self._rest = self._rest.partition(b"\0")
        said: dict[str, Any] = json.loads(head)
        return said

    def tab(self, *, width: int = 1280, height: int = 900, dark: bool = False) -> "Tab":
        """A new tab of this size, in light or dark."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Tab(self, target, session, width=width, height=height, dark=dark)

    def close(self) -> None:
        """End it."""
        try:
            self.send("Browser.close")
        except (RuntimeError, OSError):
            self._process.kill()
        os.close(self._out)
        os.close(self._in)
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Tab:
    """A page, and hands on its mouse and keyboard."""

    def __init__(
        self, browser: Browser, target: str, session: str, *, width: int, height: int, dark: bool
    ) -> None:
        self._browser = browser
        self._target = target
        self._session = session
        self.send("Page.enable")
        self.send("Runtime.enable")
        self.send("Log.enable")
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.send("Target.closeTarget", targetId=self._target)

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol in this tab."""
        return self._browser.send(method, self._session, **params)

    def open(self, page: Path, fragment: str = "") -> Self:
        """Load a page, once for a tab, until its script has drawn it and a frame was painted."""
        self.send("Page.navigate", url=page.absolute().as_uri() + fragment)
        self._browser.wait("Page.loadEventFired", self._session)
        self.until("document.documentElement.dataset.ready")
        self.settle()
        return self

    def get(self, expression: str) -> Any:
        """What a script gives; it may be a promise."""
        answer = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"]["exception"].get("description"))
        return answer["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait for something to be true, ten seconds at most."""
        self.get(
            "new Promise((done, fail) => { const begun = performance.now(); const look = () => {"
            f" if ({expression}) done(true);"
            " else if (performance.now() - begun > 10000) fail(new Error('it stays untrue'));"
            " else setTimeout(look, 20); }; look(); })"
        )

    def settle(self) -> None:
        """Let what is due be drawn."""
        self.get(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame("
            "() => setTimeout(() => done(true), 0))))"
        )

    def click(self, x: float, y: float, *, times: int = 1) -> None:
        """Press and release the mouse at a place of the window."""
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for number in range(1, times + 1):
            for kind in ("mousePressed", "mouseReleased"):
                self.send(
                    "Input.dispatchMouseEvent",
                    type=kind,
                    x=x,
                    y=y,
                    button="left",
                    clickCount=number,
                )
                self.settle()  # a hand is slower than a frame

    def point_at(self, x: float, y: float) -> None:
        """Move the mouse to a place of the window."""
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        self.settle()

    def click_on(self, selector: str) -> None:
        """Click in the middle of an element, once it is in sight."""
        box = self.get(
            f"(() => {{ const found = document.querySelector({json.dumps(selector)});"
            " found.scrollIntoView({block: 'center'}); const box = found.getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        self.click(*box)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag from a place to another."""
        for kind, (x, y), buttons in (
            ("mouseMoved", start, 0),
            ("mousePressed", start, 1),
            ("mouseMoved", end, 1),
            ("mouseReleased", end, 0),
        ):
            self.send(
                "Input.dispatchMouseEvent",
                type=kind,
                x=x,
                y=y,
                button="none" if kind == "mouseMoved" else "left",
                buttons=buttons,
                clickCount=1,
            )
        self.settle()

    def wheel(self, x: float, y: float, by: float, *, ctrl: bool = False) -> None:
        """Turn the wheel."""
        self.send(
            "Input.dispatchMouseEvent",
            type="mouseWheel",
            x=x,
            y=y,
            deltaX=0,
            deltaY=by,
            modifiers=2 if ctrl else 0,
        )
        self.settle()

    def press(self, *keys: str, shift: bool = False) -> None:
        """Type keys, by name or as they print."""
        for key in keys:
            code, text = _KEYS.get(key, (ord(key.upper()), key) if len(key) == 1 else (0, ""))
            words = {
                "key": key,
                "windowsVirtualKeyCode": code,
                "modifiers": 8 if shift else 0,
                "text": text,
            }
            self.send("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **words)
            self.send("Input.dispatchKeyEvent", type="keyUp", **words)
        self.settle()

    def picture(self, place: Path, *, whole: bool = False) -> None:
        """Save a screenshot of the window, or of the whole page."""
        answer = self.send("Page.captureScreenshot", captureBeyondViewport=whole)
        place.write_bytes(base64.b64decode(answer["data"]))

    def complaints(self) -> list[str]:
        """What the page's console has complained about so far."""
        kinds = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        return [
            json.dumps(said["params"])
            for said in self._browser.events
            if said.get("sessionId") == self._session and said.get("method") in kinds
        ]


@contextmanager
def started() -> Iterator[Browser]:
    """A browser while it is used."""
    with TemporaryDirectory(prefix="windtunnel-chromium-", ignore_cleanup_errors=True) as profile:
        browser = Browser(Path(profile))
        try:
            yield browser
        finally:
            browser.close()
