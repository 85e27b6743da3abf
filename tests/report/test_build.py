"""The whole report: what it says, that it repeats itself byte for byte, and that its page needs nothing from elsewhere."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import fill_store

from bench.machine.files import write_text
from bench.report import write
from bench.report.build import build_report
from bench.report.figures.drawing import FORMATS, Figure
from bench.results.store import Store
from bench.types import UserError


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The papers' tables; the figures' files are empty here, test_figures.py draws them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "write_figure", empty_figure)
        return build_report([Path("published")], tmp_path_factory.mktemp("report") / "published").parent


def empty_figure(figure: Figure, folder: Path) -> None:
    for kind in FORMATS:
        write_text(folder / f"{figure.name}.{kind}", "")


class Page(HTMLParser):
    """Collects what a page refers to, its ids and its text, and checks that tags are closed in order."""

    VOID = frozenset({"meta", "link", "br", "img", "col", "hr", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.resources: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.images_without_text = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        held = dict(attributes)
        self.ids += [held["id"] or ""] if "id" in held else []
        if tag == "a":
            self.links.append(held["href"] or "")
        else:
            self.resources += [held[name] or "" for name in ("src", "href") if name in held]
        self.images_without_text += tag == "img" and not held.get("alt")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("which", ["report", "published"])
def test_the_page_is_well_formed_and_asks_for_nothing_from_elsewhere(which: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(which)
    text = (folder / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert page.images_without_text == 0
    for resource in page.resources:
        assert resource == "data:," or (folder / resource).is_file(), resource
    for link in page.links:
        assert link[1:] in page.ids if link.startswith("#") else (folder / link).is_file(), link
    assert "@import" not in text
    assert "url(" not in text
    assert "<script" not in text


def test_the_same_rows_give_the_same_bytes(report: Path, results: Path, tmp_path: Path) -> None:
    again = build_report([results], tmp_path / "second").parent
    first, second = files(report), files(again)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    assert {Path(name).suffix for name in first} == {".html", ".md", ".tex", ".csv", ".svg", ".png", ".pdf"}


def test_marks_stand_on_every_table_and_figure_of_marked_conditions(report: Path) -> None:
    text = (report / "index.html").read_text(encoding="utf-8")
    start, end = text.index('<h2 id="probe-quick-v1-simulated"'), text.index('<h2 id="geometry-moge-v1"')
    probe = text[start:end]
    captions = re.findall(r'<(?:div class="caption"|figcaption|summary).*?</(?:div|figcaption|summary)>', probe, re.S)
    assert len(captions) > 10
    for caption in captions:
        assert "quick protocol" in caption
        assert "simulated point map" in caption
    rows = re.findall(r'<th scope="row">DINOv2(?:\*)?(?=[ <])(.*?)</th>', probe, re.S)
    assert rows
    assert all("random weights" in row for row in rows)
    assert "quick protocol" not in text[end:].split("<section", 1)[0]
    for name in ("report.md", "tables.tex"):
        held = (report / name).read_text(encoding="utf-8")
        assert "random weights" in held
        assert "quick protocol, simulated point map" in held


def test_figures_carry_their_marks_in_the_drawing_itself(report: Path) -> None:
    drawn = sorted((report / "figures").glob("probe-*.svg"))
    assert drawn
    for path in drawn:
        assert "quick protocol · simulated point map" in path.read_text(encoding="utf-8")


def test_failures_and_gaps_are_shown_with_their_reasons(report: Path) -> None:
    text = (report / "index.html").read_text(encoding="utf-8")
    gaps = text[text.index('<h2 id="gaps"') :]
    assert "ValueError: &lt;b&gt;50 %&lt;/b&gt; | it_broke" in gaps
    assert "no backbone" in gaps
    assert "27 of 28 cells finished" in text
    table = text[text.index('id="probe-quick-v1-simulated-gta-procedural"') :].split("</table>")[0]
    daisy = re.search(r'<th scope="row">DAISY</th>(.*?)</tr>', table)
    assert daisy is not None
    cells = re.findall(r"<td.*?</td>", daisy[1])
    assert len(cells) == 4  # LPIPS was measured nowhere: its columns are one note
    assert "<sup" in cells[2]  # texture, PSNR: one of two scenes
    assert 'title="1 of 2 scenes"' in cells[2]
    assert "LPIPS has no value: no backbone." in text
    assert r"ValueError: &lt;b&gt;50 %&lt;/b&gt; \| it\_broke" in (report / "report.md").read_text(encoding="utf-8")


def test_a_mark_less_folder_of_rows_gives_the_same_tables_without_pictures(
    results: Path, report: Path, tmp_path: Path
) -> None:
    (tmp_path / "demo").mkdir()
    shutil.copy(results / "rows.csv", tmp_path / "demo")
    again = build_report([tmp_path / "demo"], tmp_path / "out", ("csv",)).parent / "tables"
    first = report / "tables"
    assert {p.name: p.read_text() for p in again.iterdir()} == {p.name: p.read_text() for p in first.iterdir()}


def test_a_measurement_that_stands_in_two_folders_counts_once(results: Path, report: Path, tmp_path: Path) -> None:
    other = fill_store(tmp_path / "copy")
    again = build_report([results, other], tmp_path / "out", ("csv",)).parent / "tables"
    assert (again / "cost-cost.csv").read_text() == (report / "tables" / "cost-cost.csv").read_text()


def test_the_papers_tables_name_their_source_and_are_marked_published(published: Path) -> None:
    text = (published / "index.html").read_text(encoding="utf-8")
    captions = re.findall(r'<div class="caption".*?</div>', text, re.S)
    assert len(captions) >= 13
    for caption in captions:
        assert '<span class="mark">published</span>' in caption
        if "Do 2D metrics follow" not in caption:
            assert "arXiv:2412.09606" in caption or "arXiv:2410.19115" in caption


def test_published_correlations_show_what_one_feature_does_to_them(published: Path) -> None:
    text = (published / "tables" / "published-feat2gs-leverage-dtu.csv").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("PSNR – Comp."))
    fields = next(csv.reader([line]))
    assert fields[3] == "0.79"  # Spearman over oriented metrics comes first: the paper's
    assert fields[6] == "0.98"
    assert fields[8:10] == ["0.57", "IUVRGB"]


def test_a_folder_without_results_and_an_unknown_format_are_named(tmp_path: Path, results: Path) -> None:
    with pytest.raises(UserError, match="holds no results"):
        build_report([tmp_path], tmp_path / "out")
    Store(tmp_path / "empty")
    with pytest.raises(UserError, match="no finished cell yet"):
        build_report([tmp_path / "empty"], tmp_path / "out")
    with pytest.raises(UserError, match="--format docx"):
        build_report([results], tmp_path / "out", ("docx",))
    assert not (tmp_path / "out").exists()


def test_a_lost_picture_is_named(new_results: Callable[[], Path], tmp_path: Path) -> None:
    folder = new_results()
    next((folder / "pictures").rglob("*.png")).unlink()
    with pytest.raises(UserError, match="is missing: the results folder was changed"):
        build_report([folder], tmp_path / "out", ("md",))
