"""The page of Gaussians that works offline: what it says, what it draws (against the rasterizer), what it refuses."""

from __future__ import annotations

import io
import json
import math
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import Page, start_browser
from PIL import Image
from rich.console import Console

from bench.commands.view import one_scene, view_command
from bench.core.cells import Cell
from bench.core.errors import Unavailable, UserError
from bench.core.scenes import Array, Camera, MultiViewScene, View
from bench.report.viewer.nodes import Shown
from bench.report.viewer.page import page
from bench.results.record import CellRecord
from bench.splat import Gaussians, most_visible, seen_by

CELL = Cell("probe", "procedural", "room", "iuvrgb", "G", "simulated", "quick-v1", 0)
WHOLE, KEPT = 400, 300


def looking(position: Array, target: Array, width: int, height: int, fov_y: float) -> Camera:
    """A camera at a position whose picture's middle is the target, with -y up."""
    ahead = (target - position) / np.linalg.norm(target - position)
    right = np.cross([0.0, 1, 0], ahead)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(ahead, right), ahead])
    pose[:3, 3] = -pose[:3, :3] @ position
    focal = height / 2 / math.tan(fov_y / 2)
    return Camera(np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]), pose, width, height)


def blobs(seed: int) -> Gaussians:
    source = torch.Generator().manual_seed(seed)
    return Gaussians(
        torch.rand(WHOLE, 3, generator=source) - 0.5 + torch.tensor([0.0, 0, 3]),
        torch.nn.functional.normalize(torch.randn(WHOLE, 4, generator=source), dim=1),
        torch.rand(WHOLE, 3, generator=source) * 0.05 + 0.02,
        torch.rand(WHOLE, generator=source) * 0.6 + 0.3,
        torch.rand(WHOLE, 1, 3, generator=source) * 3 - 1.5,
    )


def scene() -> MultiViewScene:
    target = np.array([0.0, 0, 3])
    photo = np.full((24, 32, 3), 128, np.uint8)
    cameras = [looking(np.array([x, 0.0, 0]), target, 32, 24, 0.8) for x in (0.0, 0.4, 0.2)]
    first, second, held_out = (View(f"photos/{i}", photo, camera) for i, camera in enumerate(cameras))
    return MultiViewScene("procedural", "room", (first, second), (held_out,))


@pytest.fixture(scope="module")
def document() -> str:
    pytest.importorskip("viser", reason="the page needs the extra `view`")
    models = [Shown("iuvrgb G", blobs(0), WHOLE), Shown("a<b> T", blobs(1), WHOLE)]
    return page(models, scene(), KEPT, "procedural/room (quick protocol)")


def test_the_page_says_what_it_keeps(document: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"iuvrgb G: {KEPT} of {WHOLE} Gaussians, " in document
    assert f"a&lt;b&gt; T: {KEPT} of {WHOLE} Gaussians, " in document
    assert "<title>procedural/room (quick protocol)</title>" in document
    assert "2 training views blue, 1 held-out views orange" in document
    assert capsys.readouterr().out == ""


def test_nothing_is_lost_where_all_are_kept() -> None:
    pytest.importorskip("viser", reason="the page needs the extra `view`")
    assert f"iuvrgb G: {WHOLE} Gaussians, no loss" in page([Shown("iuvrgb G", blobs(0), WHOLE)], scene(), WHOLE, "room")


def test_a_browser_draws_what_the_rasterizer_draws_and_asks_for_nothing(document: str, tmp_path: Path) -> None:
    """Seen from the side, where no frustum is in the picture; then the other model by clicks in the scene tree."""
    path = tmp_path / "page.html"
    path.write_text(document, encoding="utf-8")
    driver = start_browser(tmp_path / "profile")
    try:
        side = looking(np.array([2.5, -0.4, 3.2]), np.array([0.0, 0, 3]), 1, 1, 0.6)
        place = ",".join(f"{x:.3f}" for x in side.centre)
        query = f"?initialCameraPosition={place}&initialCameraLookAt=0,0,3&initialCameraUp=0,-1,0&initialCameraFov=0.6"
        shown = Page(driver, path, "return document.querySelector('canvas') !== null").open(query)
        width, height = shown.js("const c = document.querySelector('canvas'); return [c.clientWidth, c.clientHeight]")
        camera = looking(side.centre, np.array([0.0, 0, 3]), width, height, 0.6)
        first, second = (drawn(blobs(seed), camera) for seed in (0, 1))
        assert middle_psnr(first, second) < 20
        assert settles(shown, first) > 35
        shown.js("document.querySelector('[aria-label=\"Show scene tree\"]').click()")
        shown.until("return document.querySelector('[data-scene-node=\"/models\"]') !== null")
        shown.js("document.querySelector('[data-scene-node=\"/models\"]').click()")
        models = "[...document.querySelectorAll('[data-scene-node^=\"/models/\"]')]"
        shown.until(f"return {models}.length === 2")
        for eye in driver.find_elements(
            "css selector", "[data-scene-node^='/models/'] :is(.tabler-icon-eye, .tabler-icon-eye-off)"
        ):
            eye.click()
        assert settles(shown, second) > 35
        asked = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
        urls = [each["params"]["request"]["url"] for each in asked if each["method"] == "Network.requestWillBeSent"]
        assert [url for url in urls if not url.startswith(("data:", "blob:", "about:", path.as_uri()))] == []
        assert not [each for each in asked if each["method"].startswith("Network.webSocket")]
    finally:
        driver.quit()


def drawn(gaussians: Gaussians, camera: Camera) -> Array:
    """(H, W, 3) in [0, 1]: the most visible Gaussians, as the page keeps them, through the suite's rasterizer."""
    kept = most_visible(gaussians, [view.camera for view in scene().views if view.camera], KEPT)
    return seen_by(kept, camera).rgb.clamp(0, 1).numpy()


def middle_psnr(one: Array, other: Array) -> float:
    """Over the middle third of the picture, where the Gaussians are and nothing lies over them."""
    rows, columns = (slice(size // 3, size - size // 3) for size in one.shape[:2])
    return -10 * math.log10(np.mean((one[rows, columns] - other[rows, columns]) ** 2))


def settles(shown: Page, expected: Array) -> float:
    """The best PSNR of the screen against a picture within some seconds: software WebGL draws a frame in its own time."""
    best, end = 0.0, time.monotonic() + 15
    while best < 35 and time.monotonic() < end:
        screen = np.asarray(Image.open(io.BytesIO(shown.driver.get_screenshot_as_png())).convert("RGB"), np.float64) / 255
        best = max(best, middle_psnr(screen[: expected.shape[0], : expected.shape[1]], expected))
    return best


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scene": "table"}, "scene is room and table"),
        ({"pointmap": "dust3r"}, "pointmap is simulated and dust3r"),
        ({"protocol": "quick-v2"}, "protocol is quick-v1 and quick-v2"),
        ({"seed": 1}, "seed is 0 and 1"),
    ],
)
def test_cells_of_different_worlds_are_not_shown_together(change: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        one_scene([CellRecord("a", CELL, "ok", "none"), CellRecord("b", replace(CELL, **change), "ok", "none")])  # type: ignore[arg-type]


def test_too_many_and_the_same_are_refused() -> None:
    records = [CellRecord(str(i), replace(CELL, model=f"model{i}"), "ok", "none") for i in range(5)]
    with pytest.raises(UserError, match="at most 4 cells; 5"):
        one_scene(records)
    with pytest.raises(UserError, match="named twice"):
        one_scene([records[0], records[0]])
    assert one_scene(records[:4]) == records[:4]


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "viser", None)
    with pytest.raises(Unavailable, match=r"pip install 'vfm3d-bench\[view\]'"):
        view_command(["abc"], tmp_path, None, 8080, tmp_path / "page.html", Console())
    assert not (tmp_path / "page.html").exists()
