"""A generated page in headless Chromium, for the tests that look at it as a reader does."""

from __future__ import annotations

import importlib.util
import json
import shutil
import time
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1300,950"
)


class Page:
    """A page in a browser: the leaderboard, or a page without scripts, which is ready once it is loaded."""

    def __init__(
        self, driver: Any, path: Path, ready: str = "return document.documentElement.dataset.ready", alone: bool = True
    ) -> None:
        """alone: True where the page must not ask for the files beside it."""
        self.driver = driver
        self.path = path
        self.ready = ready
        self.own = (path if alone else path.parent).as_uri()

    def open(self, fragment: str = "", width: int = 1300, scheme: str = "light") -> Page:
        metrics = {"width": width, "height": 950, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        self.driver.get("about:blank")
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(self.path.as_uri() + fragment)
        self.until(self.ready)
        return self

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def until(self, script: str, seconds: float = 20) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.js(script)
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError(f"not within {seconds} s: {script}; {self.driver.get_log('browser')}")

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def press(self, *keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def column(self, heading: str) -> list[str]:
        """The first line of each body cell under a heading."""
        script = """const heads = [...document.querySelectorAll('#table thead th')];
        const at = heads.findIndex((th) => th.innerText.includes(arguments[0]));
        const lines = [...document.querySelectorAll('#table tbody tr:not(.group)')];
        return lines.map((tr) => tr.cells[at]?.innerText.trim().split('\\n')[0]);"""
        return list(self.js(script, heading))

    def sorted_by(self, heading: str, direction: str) -> None:
        """Wait until the table is sorted so: a click sorts it a moment later."""
        head = "[...document.querySelectorAll('#table thead th')].find((th) => th.innerText.includes(%s))"
        self.until(f"return {head % json.dumps(heading)}.ariaSort === {json.dumps(direction)}")

    def choose(self, control: str, value: str) -> None:
        script = """const select = document.getElementById(arguments[0]);
        select.value = arguments[1];
        select.dispatchEvent(new Event('change', {bubbles: true}));"""
        self.js(script, control, value)

    def heading(self, text: str) -> Any:
        script = "return [...document.querySelectorAll('#table thead th')].find((th) => th.innerText.includes(arguments[0]))"
        return self.js(script, text)

    def violations(self) -> list[list[str]]:
        """What axe finds wrong outside of frames: rule and first place; skipped, with the reason, where there is no axe."""
        if importlib.util.find_spec("axe_core_python") is None:
            pytest.skip("the accessibility check needs the package axe-core-python")
        self.js(resources.files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
        found = "({violations}) => arguments[0](violations.map((v) => [v.id, v.nodes[0].html]))"
        return list(self.driver.execute_async_script(f"axe.run(document, {{iframes: false}}).then({found})"))

    def complaints(self) -> list[str]:
        """Console errors, and requests for anything but the page's own files and data URIs."""
        wrong = [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                wrong += [] if url.startswith(("data:", self.own, "about:")) else [url[:200]]
        return wrong


def start_browser(profile: Path) -> Any:
    """A headless Chromium with an empty profile; the test is skipped, with the reason, where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="the browser tests need the package selenium")
    from selenium.webdriver.chrome.service import Service

    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    control = shutil.which("chromedriver")
    if browser is None or control is None:
        pytest.skip("the browser tests need Chromium and chromedriver (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS.split(), f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(control))
    started.set_script_timeout(60)
    return started
