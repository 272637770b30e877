"""A headless Chromium, told what to do by the DevTools protocol, through pipes: no port, no driver.

    browser = Browser()
    browser.open("http://127.0.0.1:8090/")
    browser.wait("document.title", "Events, live")
    browser.screenshot("/tmp/page.png")
    browser.messages                    what the page logged, threw, or was refused
"""
import base64
import json
import os
import select
import shutil
import tempfile
import time

import tap

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome")
                 if (found := shutil.which(name))), None)


class Browser:
    def __init__(self, width=1100, height=760):
        self.profile = tempfile.mkdtemp(prefix="browser-", dir=tap.TMP)
        tap.at_exit(shutil.rmtree, self.profile, ignore_errors=True)
        from_us, self._out = os.pipe()
        self._in, to_us = os.pipe()

        def hand_over():  # it reads from 3 and writes to 4, wherever those of ours are
            read, write = os.dup(from_us), os.dup(to_us)
            read, write = (fd if fd > 4 else os.dup2(fd, fd + 20) for fd in (read, write))
            os.dup2(read, 3)
            os.dup2(write, 4)

        with open(f"{self.profile}/log", "wb") as log:
            self.process = tap.spawn(
                [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                 "--disable-background-networking", "--disable-component-update", "--no-proxy-server",
                 "--disable-features=Translate,OptimizationHints", "--remote-debugging-pipe", "--hide-scrollbars",
                 f"--window-size={width},{height}", f"--user-data-dir={self.profile}", "about:blank"],
                stdout=log, stderr=log, stdin=log, preexec_fn=hand_over, close_fds=False, env=dict(
                    os.environ, HOME=self.profile, TZ="UTC"))
        os.close(from_us)
        os.close(to_us)
        self.messages, self._buffer, self._number, self._session = [], b"", 0, None
        page = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def call(self, method, deadline=60, **params):
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + deadline
        while True:
            answer = self._read(end)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self._note(answer)

    def _read(self, end):
        while b"\0" not in self._buffer:
            if not select.select([self._in], [], [], max(0, end - time.monotonic()))[0]:
                raise RuntimeError("the browser does not answer")
            data = os.read(self._in, 1 << 20)
            if not data:
                with open(f"{self.profile}/log", encoding="utf-8", errors="replace") as log:
                    raise RuntimeError("the browser has ended: " + log.read()[-2000:])
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def _note(self, event):
        if event.get("method") == "Runtime.exceptionThrown":
            self.messages.append(event["params"]["exceptionDetails"]["text"])
        elif event.get("method") == "Runtime.consoleAPICalled":
            self.messages.append(" ".join(str(a.get("value")) for a in event["params"]["args"]))
        elif event.get("method") == "Log.entryAdded":
            self.messages.append(event["params"]["entry"]["text"])

    def open(self, url):
        """Until the page is there as a whole."""
        self.call("Page.navigate", url=url)
        if self.wait("document.readyState + ' ' + location.href", "complete " + url) != "complete " + url:
            raise RuntimeError(f"the browser does not open {url}")

    def evaluate(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, expression, wanted, deadline=60):
        """Until it has that value; returns what it had last."""
        last = None

        def has_it():
            nonlocal last
            try:
                last = self.evaluate(expression)
            except RuntimeError as error:  # what it asks for may not be there yet
                last = error
            return last == wanted

        tap.wait_until(has_it, deadline, 0.1)
        return last

    def dark(self, on=True):
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if on else "light"}])

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
