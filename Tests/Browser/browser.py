"""A headless Chromium, spoken to by the DevTools protocol.

Messages are JSON over a WebSocket; every command is answered under its id, and what the page reports in between is kept.
Waiting is for a condition in the page, never for a time.
"""

import asyncio
import base64
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading

import aiohttp

PROGRAM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


class PageError(AssertionError):
    """A script of the page failed."""


class Browser:
    """One process; each page has its own size and colours."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="crop-browser", ignore_cleanup_errors=True)
        arguments = [
            PROGRAM, "--headless=new", "--remote-debugging-port=0", f"--user-data-dir={self._folder.name}", "--no-first-run",
            "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb",
            "--disable-background-networking", "--disable-component-update", "--font-render-hinting=none",
        ]
        if os.getuid() == 0:
            # Its sandbox is not for root, whom containers run tests as.
            arguments.append("--no-sandbox")
        self._process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        address = None
        for line in self._process.stderr:
            if line.startswith("DevTools listening on "):
                address = line.split()[-1]
                break
        assert address, "Chromium ended before it listened"
        threading.Thread(target=self._process.stderr.read, daemon=True).start()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._answers = {}
        self._count = 0
        self.events = []
        self._arrived = threading.Condition()
        self._wait(self._open(address))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._wait(self._close())
        self._process.terminate()
        self._process.wait(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._folder.cleanup()

    def _wait(self, coroutine, timeout=150):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout)

    async def _open(self, address):
        self._session = aiohttp.ClientSession()
        self._socket = await self._session.ws_connect(address, max_msg_size=0)
        self._reader = asyncio.create_task(self._read())

    async def _close(self):
        await self._socket.close()
        await self._session.close()

    async def _read(self):
        async for message in self._socket:
            message = json.loads(message.data)
            if "id" in message:
                self._answers.pop(message["id"]).set_result(message)
            else:
                with self._arrived:
                    self.events.append(message)
                    self._arrived.notify_all()

    async def _send(self, method, parameters, session):
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        answer = self._answers[self._count] = self._loop.create_future()
        await self._socket.send_str(json.dumps(message))
        return await answer

    def send(self, method, session=None, **parameters):
        """-> the result of a command."""
        answer = self._wait(self._send(method, parameters, session))
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def wait_for_event(self, session, method, **parameters):
        """Waits until a page reported an event with these parameters."""
        def has_come():
            return any(event.get("sessionId") == session and event["method"] == method
                       and parameters.items() <= event["params"].items() for event in self.events)
        with self._arrived:
            assert self._arrived.wait_for(has_come, 100), f"{method} {parameters} never came"

    def page(self, width=1280, height=900, dark=False, mobile=False):
        """-> a new page of its own browsing context: no storage or permission of another."""
        context = self.send("Target.createBrowserContext")["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Page(self, session, target, context, width, height, dark, mobile)


class Page:
    def __init__(self, browser, session, target, context, width, height, dark, mobile):
        self._browser, self._session, self._target, self._context = browser, session, target, context
        # Of what the browser complains of: parts of lines that are meant to be there.
        self.expected = []
        for domain in ("Page", "Runtime", "Log", "Network", "DOM", "Accessibility"):
            self.send(f"{domain}.enable")
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        self.send("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"}])

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        faults = [] if kind else self.faults()
        self._browser.send("Target.disposeBrowserContext", browserContextId=self._context)
        assert not faults, faults

    def send(self, method, **parameters):
        return self._browser.send(method, session=self._session, **parameters)

    def open(self, url):
        self.send("Page.navigate", url=url)

    def run(self, expression):
        """-> the value of an expression in the page, awaited where it is a promise."""
        answer = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise PageError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    def wait(self, condition):
        """Waits until an expression is true: looked at in every frame; a page that never gets there fails the test."""
        self.run(f"""new Promise((done, fail) => {{
          const end = performance.now() + 100000;
          (function look() {{
            let met = false;
            try {{ met = {condition}; }} catch (error) {{ met = false; }}
            if (met) done(true);
            else if (performance.now() > end) fail(new Error("never: " + {json.dumps(condition)}));
            else setTimeout(look, 15);
          }})();
        }})""")

    def events(self, method):
        return [event["params"] for event in self._browser.events
                if event.get("sessionId") == self._session and event["method"] == method]

    def faults(self):
        """What the browser complained of: failed scripts, refused loads."""
        failed = [event["exceptionDetails"].get("exception", {}).get("description") for event in self.events("Runtime.exceptionThrown")]
        entries = [event["entry"] for event in self.events("Log.entryAdded")]
        errors = [entry["text"] for entry in entries if entry["level"] == "error"]
        return failed + [text for text in errors if not any(part in text for part in self.expected)]

    def wait_for_download(self):
        self._browser.wait_for_event(self._session, "Page.downloadProgress", state="completed")

    def save_downloads(self, folder):
        self._browser.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder), browserContextId=self._context)

    def requests(self):
        return [event["request"]["url"] for event in self.events("Network.requestWillBeSent")]

    def press(self, key, code=None, text=None):
        windows = {"Tab": 9, "ArrowRight": 39, "ArrowLeft": 37, "Enter": 13, " ": 32, "Home": 36, "End": 35}
        common = {"key": key, "code": code or key, "windowsVirtualKeyCode": windows.get(key, 0)}
        self.send("Input.dispatchKeyEvent", type="keyDown", **({"text": text} if text else {}), **common)
        self.send("Input.dispatchKeyEvent", type="keyUp", **common)

    def mouse(self, kind, x, y):
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1, buttons=1)

    def place(self, selector):
        return self.run(f"(r => ({{x: r.x, y: r.y, width: r.width, height: r.height}}))"
                        f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())")

    def give_files(self, selector, paths):
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(pathlib.Path(path).resolve()) for path in paths])

    def screenshot(self, whole=False):
        """-> the bytes of a PNG."""
        shot = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(shot["data"])

    def names(self):
        """-> role and name of what a screen reader meets, in order."""
        nodes = self.send("Accessibility.getFullAXTree")["nodes"]
        return [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node.get("ignored")]
