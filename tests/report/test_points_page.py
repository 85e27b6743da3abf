"""The page of point clouds: which points it keeps, how it colours them, and that a browser draws them where they are."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator

import numpy as np
import pytest
from browser import Page, start_browser
from matplotlib import colormaps
from PIL import Image

from bench.core.protocols import GEOMETRY_PROTOCOLS
from bench.core.scenes import Array, MonocularSample, Prediction
from bench.geometry.camera import points_from_depth
from bench.report.viewer import clouds
from bench.report.viewer.clouds import WORST_ERROR, as_scene, points_page, predicted_cloud, true_cloud
from bench.report.viewer.nodes import Cloud

HEIGHT, WIDTH = 48, 64
PROTOCOL = GEOMETRY_PROTOCOLS["moge-v1"]
TOO_FAR = 0.15  #: of the true distance: how far beyond the truth a quarter of the prediction lies
COLOURS = np.array([[200, 40, 40], [40, 160, 60], [50, 80, 210], [220, 190, 40]], np.uint8)  # of the photo's quarters
READY = "return document.documentElement.dataset.ready === 'yes'"


def sample() -> MonocularSample:
    """A slope with four colours and some sky and unknown pixels at its upper edge."""
    depth = np.repeat(np.linspace(4, 2, HEIGHT, dtype=np.float32)[:, None], WIDTH, axis=1)
    depth[0, :10], depth[0, 10:20] = np.inf, np.nan
    rows, columns = np.arange(HEIGHT)[:, None] * 2 // HEIGHT, np.arange(WIDTH)[None] * 2 // WIDTH
    intrinsics = np.array([[0.9, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]])
    return MonocularSample("procedural", "slope", COLOURS[rows * 2 + columns], depth, intrinsics)


def predicted() -> Prediction:
    """Right but for the last quarter, which is TOO_FAR: an alignment of least absolute deviations leaves it where it is."""
    points = points_from_depth(np.nan_to_num(sample().depth, posinf=9.0, nan=9.0), sample().intrinsics)
    points[HEIGHT // 2 :, WIDTH // 2 :] *= 1 + TOO_FAR
    points[0, :5] = np.nan
    return Prediction(points_metric=points)


def cloud() -> Cloud:
    found = predicted_cloud("moge", sample(), predicted(), PROTOCOL, {}, {"slope": "rel 7.5 %"})
    assert found is not None
    assert found[1] == "points_metric"
    return found[0]


def test_points_stand_where_the_truth_is_known_and_the_prediction_is_there() -> None:
    truth, found = true_cloud(sample()), cloud()
    assert (len(truth.places), truth.whole) == (HEIGHT * WIDTH - 20,) * 2
    assert (len(found.places), found.whole) == (truth.whole, truth.whole)
    assert found.label == f"moge: {found.whole} points"
    right, wrong = (np.rint(np.array(colormaps["inferno"](share)[:3]) * 255) for share in (0.0, TOO_FAR / WORST_ERROR))
    last = (found.places[:, 0] > 0) & (found.places[:, 1] > 0)
    for colours, side in ((right, ~last), (wrong, last)):
        assert np.abs(found.colours[side].astype(int) - colours).max() <= 2
    camera = as_scene(sample()).test[0].camera
    assert camera is not None
    pixels, _ = camera.project(truth.places)
    expected = np.argwhere(np.isfinite(sample().depth))[:, ::-1] + 0.5
    np.testing.assert_allclose(pixels, expected, atol=1e-4)


def test_too_many_points_are_drawn_by_lot_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = true_cloud(sample())
    monkeypatch.setattr(clouds, "MOST_POINTS", 500)
    fewer = true_cloud(sample())
    assert fewer.label == f"truth: 500 of {whole.whole} points"
    np.testing.assert_array_equal(fewer.places, true_cloud(sample()).places)
    kept = {tuple(place) for place in whole.places}
    assert len({tuple(place) for place in fewer.places} & kept) == 500
    assert fewer.angle / whole.angle == pytest.approx((whole.whole / 500) ** 0.5)


def test_a_prediction_that_cannot_be_aligned_gives_no_cloud() -> None:
    nothing = Prediction(points_metric=np.full((HEIGHT, WIDTH, 3), np.nan))
    assert predicted_cloud("moge", sample(), nothing, PROTOCOL, {}, {}) is None


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    pytest.importorskip("viser", reason="the page needs the extra `view`")
    folder = tmp_path_factory.mktemp("points_page")
    path = folder / "points.html"
    text = points_page(
        [true_cloud(sample()), cloud()], as_scene(sample()), "procedural/slope, protocol moge-v1", ("a mark",)
    )
    path.write_text(text, encoding="utf-8")
    driver = start_browser(folder / "profile")
    yield Page(driver, path, READY)
    driver.quit()


def test_a_browser_draws_both_clouds_from_the_photos_camera_and_asks_for_nothing(shown: Page) -> None:
    """In the middle of each quarter of the photo: its colour in the truth, the colour of its error in the prediction."""
    shown.open("#models=1,2&view=slope", width=900)
    errors = np.array([colormaps["inferno"](share)[:3] for share in (0, 0, 0, TOO_FAR / WORST_ERROR)]) * 255
    wanted = [COLOURS.astype(float), errors]
    end = time.monotonic() + 60
    while (off := max(np.abs(quarters(shown, pane) - wanted[pane]).max() for pane in (0, 1))) > 12:
        assert time.monotonic() < end, f"colours are off by {off:.0f} of 255"
    assert "slope: rel 7.5 %" in shown.js("return panes[1].section.innerText")
    asked = [json.loads(entry["message"])["message"] for entry in shown.driver.get_log("performance")]
    urls = [each["params"]["request"]["url"] for each in asked if each["method"] == "Network.requestWillBeSent"]
    assert [url for url in urls if not url.startswith(("data:", "blob:", "about:", shown.path.as_uri()))] == []


def test_on_a_phone_one_cloud_is_shown_and_the_page_does_not_scroll_sideways(shown: Page) -> None:
    shown.open(width=390)
    assert shown.js("return panes.map((pane) => pane.shown)") == [True, False]
    shown.press("2", "n")
    assert shown.js("return panes.map((pane) => pane.shown)") == [True, True]
    tops = shown.js("return panes.map((pane) => pane.section.getBoundingClientRect().top)")
    assert tops[1] > tops[0]  # below each other
    assert shown.js("return document.documentElement.scrollWidth <= innerWidth")
    assert shown.violations() == []


def quarters(shown: Page, pane: int) -> Array:
    """(4, 3) the colours on the screen in the middle of the photo's quarters, where the page says that the photo lies."""
    script = """const pane = panes[arguments[0]], stage = pane.frame.getBoundingClientRect();
    return [stage.x, stage.y, ...fitted(data.views[0], pane.frame).box];"""
    x, y, left, top, across, down = shown.js(script, pane)
    screen = np.asarray(Image.open(io.BytesIO(shown.driver.get_screenshot_as_png())).convert("RGB"), float)
    places = [(x + left + across * u, y + top + down * v) for v in (0.25, 0.75) for u in (0.25, 0.75)]
    return np.array([screen[round(v), round(u)] for u, v in places])
