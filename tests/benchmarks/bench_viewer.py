"""How large the splat viewer's page is, and how fast it opens and turns in Chromium's software GL:
`python tests/benchmarks/bench_viewer.py` (Chromium, chromedriver and the extras dev and view).

Random Gaussians about a point, two models side by side, seen at a held-out view. A frame is the time between two that the
browser draws of one pane while the cameras are turned.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from bench.report.viewer.nodes import Shown
from bench.report.viewer.page import page
from bench.splat import Gaussians

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from browser import Page, start_browser
from test_view_page import READY, scene

WIDTH = 1300
#: Turns all panes a little before each of so many frames; gives milliseconds a frame.
TURN = """const [frames, done] = arguments, {contentWindow} = panes[0].frame, start = performance.now();
let left = frames;
const next = () => {
  if (!left--) return done((performance.now() - start) / frames);
  panes[0].frame.contentDocument.querySelector("canvas").dispatchEvent(new WheelEvent("wheel", {deltaY: left % 2 ? 3 : -3}));
  contentWindow.requestAnimationFrame(next);
};
next();"""


def blobs(count: int, seed: int) -> Gaussians:
    source = torch.Generator().manual_seed(seed)
    return Gaussians(
        torch.rand(count, 3, generator=source) - 0.5 + torch.tensor([0.0, 0, 3]),
        torch.nn.functional.normalize(torch.randn(count, 4, generator=source), dim=1),
        torch.rand(count, 3, generator=source) * 0.02 + 0.005,
        torch.rand(count, generator=source) * 0.6 + 0.3,
        torch.rand(count, 1, 3, generator=source) * 3 - 1.5,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gaussians", nargs="+", type=int, default=[1_000, 10_000, 100_000], help="of each model")
    parser.add_argument("--frames", type=int, default=8)
    options = parser.parse_args()
    table = Table("Gaussians a model", "page, MB", "opens in, s", "frame, ms", title="two models side by side")
    with tempfile.TemporaryDirectory() as folder:
        driver = start_browser(Path(folder) / "profile")
        driver.set_script_timeout(600)
        for count in options.gaussians:
            file = Path(folder) / "page.html"
            models = [Shown(f"model {seed}", blobs(count, seed), count) for seed in (0, 1)]
            file.write_text(page(models, scene(), count, "benchmark"), encoding="utf-8")
            start = time.perf_counter()
            Page(driver, file, READY).open("#models=1,2&view=photos/2", width=WIDTH)
            seconds = time.perf_counter() - start
            driver.execute_async_script(TURN, 3)
            frame = driver.execute_async_script(TURN, options.frames)
            size = file.stat().st_size / 1e6
            table.add_row(f"{count:,}", f"{size:.1f}", f"{seconds:.1f}", f"{frame:.0f}")
        driver.quit()
    Console().print(table)


if __name__ == "__main__":
    main()
