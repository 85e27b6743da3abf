"""A stranger's folder is reported without a word of it becoming markup, and without a file outside of the report."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path

import html5lib
import numpy as np
import pytest

from bench.core.cells import Cell, Measurement
from bench.core.errors import UserError
from bench.machine.digests import json_digest
from bench.report.build import build_report
from bench.results.check import check_folder
from bench.results.pictures import picture_path
from bench.results.record import CellRecord
from bench.results.store import Store

PAYLOADS = (
    "<script>window.broken = 1</script>",
    "<img src=x onerror=window.broken=1>",
    "</title><svg onload=window.broken=1>",
    "\"'><b onmouseover=window.broken=1>",
    "{{ 7 * 7 }}{% include 'x' %}",
    "]]><!--",
    "javascript:window.broken",
    "\\write18{rm} $x$ \\input{/etc/passwd} %",
    "../../../../etc/passwd",
)
FIELDS = ("dataset", "scene", "mode", "pointmap", "protocol")
PICTURE = np.zeros((4, 4, 3), np.uint8)
BROKEN = re.compile(r"<\s*(script|img src=x|svg onload|b onmouseover)|onerror=|onload=|onmouseover=", re.IGNORECASE)


def _cell(place: int, payload: str) -> Cell:
    """A probe with the payload in every field that takes any text."""
    texts = {name: f"{payload}{name}" for name in FIELDS}
    return Cell(track="probe", model=f"model-{place}", seed=0, **texts)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every payload in every text of a cell, once measured and once failed."""
    place = tmp_path_factory.mktemp("hostile") / "results"
    store = Store(place)
    for number, payload in enumerate(PAYLOADS):
        cell = _cell(number, payload)
        measured = (
            Measurement("psnr", 20.0, f"{payload}view", f"{payload}unit", True),
            Measurement(f"{payload}metric", 1.0, "all", payload, None, f"{payload}alignment"),
            Measurement("ssim", float("nan"), "a", "", True, status="unavailable", note=f"{payload}note"),
        )
        provenance = {"code_version": f"{payload}code", "device_name": f"{payload}device"}
        record = CellRecord(
            json_digest(payload), cell, "ok", "none", measurements=measured, provenance=provenance, device=payload
        )
        store.save(record, {f"photo.{payload}": PICTURE, f"render.{payload}": PICTURE})
        lost = replace(cell, scene="other")
        store.save(
            replace(record, key=json_digest([payload]), cell=lost, status="failed", error=payload, measurements=()), {}
        )
    return place


def test_no_word_of_a_folder_becomes_markup(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "inside" / "report"
    build_report([folder], out)
    pages = sorted(out.rglob("*.html"))
    shown = {page.name for page in pages if html.escape("window.broken", quote=True) in page.read_text(encoding="utf-8")}
    assert shown >= {"index.html", "leaderboard.html"}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for element in html5lib.parse(text, namespaceHTMLElements=False).iter():
            handlers = [name for name in element.attrib if str(name).lower().startswith("on")]
            assert handlers == [], (page.name, element.tag, handlers)
            if element.tag == "script" and element.get("type") != "application/json":
                assert "window.broken" not in (element.text or "").replace("\\u003c", "<"), page.name
            assert not str(element.get("href", "")).lower().startswith("javascript:")
    for picture in out.rglob("*.svg"):
        assert not BROKEN.search(picture.read_text(encoding="utf-8"))
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(out)]
    assert outside == []


@pytest.mark.parametrize("payload", [payload for payload in PAYLOADS if payload != "javascript:window.broken"])
def test_a_name_that_no_model_can_have_is_refused_with_its_file(payload: str, tmp_path: Path) -> None:
    cell = Cell("probe", "llff", "fern", payload, "G", "sparse", "quick-v1", 0)
    record = CellRecord(json_digest(payload), cell, "failed", "none", "no end")
    Store(tmp_path).save(record, {})
    assert any(record.key in problem and "a name is written" in problem for problem in check_folder(tmp_path).problems)
    with pytest.raises(UserError, match=record.key):
        build_report([tmp_path], tmp_path / "report")


def test_nothing_is_copied_from_outside(folder: Path, tmp_path: Path) -> None:
    """A picture that is a link to a file of the reader's, in a folder that links elsewhere."""
    place = tmp_path / "linked"
    store = Store(place)
    record = CellRecord(json_digest("x"), Cell("probe", "llff", "fern", "rgb", "G", "sparse", "quick-v1", 0), "ok", "none")
    store.save(replace(record, measurements=(Measurement("psnr", 20.0, "a", "dB", True),)), {"photo.a": PICTURE})
    path = picture_path(place, record.key, "photo.a")
    secret = tmp_path / "secret.png"
    path.rename(secret)
    path.symlink_to(secret)
    with pytest.raises(UserError, match="is a link"):
        build_report([place], tmp_path / "report", ("html",))
    assert not list((tmp_path / "report").rglob("pictures/*"))
