"""A headless Chromium, driven by playwright-core in a process of its own (driver.mjs)."""

import json
import os
import pathlib
import shutil
import subprocess

from tests.support import servers

HERE = pathlib.Path(__file__).parent
NODE_MODULES = servers.ROOT / "build/browser"


class Browser:
    def __init__(self):
        subprocess.run([HERE / "install"], check=True, stdin=subprocess.DEVNULL)
        executable = shutil.which("chromium")
        assert executable, "there is no chromium: scripts/setup browser installs it"
        self.driver = subprocess.Popen(
            ["node", HERE / "driver.mjs", executable], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PINFOLD_NODE_MODULES": str(NODE_MODULES)},
        )  # fmt: skip

    def __call__(self, do, **rest):
        self.driver.stdin.write(json.dumps({"do": do, **rest}) + "\n")
        self.driver.stdin.flush()
        line = self.driver.stdout.readline()
        assert line, f"the driver has ended with {self.driver.wait()}"
        answer = json.loads(line)
        assert "error" not in answer, f"{do} {rest}: {answer['error']}"
        return answer["value"]

    def open(self, url, **options):
        """A new page, with options of Playwright's newContext()."""
        self("open", url=url, options=options)

    def evaluate(self, script):
        return self("evaluate", script=script)

    def until(self, script):
        """Waits until a script in the page is true."""
        self("until", script=script)

    def text(self, selector):
        return self.evaluate(f"document.querySelector({json.dumps(selector)}).textContent")

    def close(self):
        self.driver.stdin.close()
        self.driver.wait(30)
        self.driver.stdout.close()
