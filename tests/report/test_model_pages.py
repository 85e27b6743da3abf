"""A page for each model: its numbers are the report's, what it knows from training is told, it asks for nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from browser import Page, start_browser
from typer.main import get_command

from bench.cli import app
from bench.metrics.catalogue import METRICS
from bench.report.build import build_report
from bench.report.model_pages import _METHODS, page_file
from bench.report.read import load_results
from bench.report.say.means import table_means

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pages(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_report([results], tmp_path_factory.mktemp("report") / "pages", ("html",)).parent


def _page(pages: Path, model: str) -> str:
    return (pages / page_file(model)).read_text(encoding="utf-8")


def test_there_is_one_for_each_network_and_an_index(pages: Path) -> None:
    index = (pages / "models.html").read_text(encoding="utf-8")
    wanted = {"daisy", "dinov2", "iuvrgb", "moge", "plane"}
    assert {path.name for path in pages.glob("model-*.html")} == {page_file(model) for model in wanted}
    assert all(f'href="{page_file(model)}"' in index for model in wanted)
    assert 'href="models.html"' in (pages / "index.html").read_text(encoding="utf-8")
    linked = {target for path in pages.glob("m*.html") for target in re.findall(r'href="([\w.-]+\.html)"', path.read_text())}
    assert all((pages / target).is_file() for target in linked)


def test_the_leaderboard_knows_the_page_of_each_model_that_has_one(pages: Path) -> None:
    """Its dialogue of a model links the page."""
    text = (pages / "leaderboard.html").read_text(encoding="utf-8")
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    assert set(data["pages"]) == {"daisy", "dinov2", "iuvrgb", "moge", "plane"}
    assert {path.name for path in pages.glob("model-*.html")} == set(data["pages"].values())
    driver = start_browser(pages.parent / "profile")
    try:
        page = Page(driver, pages / "leaderboard.html", alone=False).open()
        opened = "[...document.querySelectorAll('[data-row]')].find((each) => each.innerText.includes(arguments[0])).click()"
        page.js(opened, "DAISY")
        link = page.find("#details-body .about a")
        assert link.is_displayed()
        assert link.get_attribute("href").endswith(f"/{page_file('daisy')}")
    finally:
        driver.quit()


def test_names_that_differ_by_case_or_by_signs_have_files_of_their_own() -> None:
    names = ["openclip:g", "openclip:G", "dinov2:L@layer=18", "dinov2:L@layer=1", "dinov2:l@layer=18", "a.b", "a-b"]
    assert len({page_file(name).lower() for name in names}) == len(names)
    assert all(re.fullmatch(r"[a-z0-9.-]+", page_file(name)) for name in names)


def test_scores_are_those_of_the_report_with_intervals(pages: Path, results: Path) -> None:
    means = table_means(load_results([results]).rows)
    own = means[(means["model"] == "moge") & (means["metric"] == "rel") & (means["dataset"] == "kitti")]
    (value,) = own["value"]
    text = _page(pages, "moge")
    assert f"{METRICS['rel'].printed(value)} [" in text
    assert "Scale-invariant point map" in text, "the published rows stand below"
    assert "As printed" in text


def test_training_data_and_its_overlap_are_told(pages: Path) -> None:
    moge = _page(pages, "moge")
    assert "MoGe-Mix: A2D2, Argoverse2" in moge
    assert "arXiv:2410.19115, training datasets" in moge
    assert "trained on photos chosen to resemble KITTI" in moge, "by the weights that it starts from"
    assert "none known" in moge
    assert "none known" in _page(pages, "daisy")


def test_random_weights_and_quick_protocols_are_marked(pages: Path) -> None:
    text = _page(pages, "dinov2")
    for mark in ("random weights", "quick protocol", "simulated point map"):
        assert f'<span class="mark">{mark}</span>' in text


def _command_options() -> set[str]:
    run: Any = get_command(app).commands["run"]  # type: ignore[attr-defined]
    return {option for parameter in run.params for option in parameter.opts}


def test_the_command_has_options_that_exist_and_names_the_conditions(pages: Path) -> None:
    (command,) = re.findall(r"<pre[^>]*>(bench run[^<]*)", _page(pages, "dinov2"))
    assert command == (
        "bench run --models dinov2 --datasets procedural --modes G,T,Gft --pointmap simulated --protocol quick-v1 --seeds 0 "
        "--weights random"
    )
    assert set(re.findall(r"--\w+", command)) <= _command_options()


def test_bibtex_says_what_is_known_and_the_papers_are_those_of_the_citation_file(pages: Path) -> None:
    assert "eprint = {2304.07193}" in _page(pages, "dinov2")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    titles = re.findall(r'    title: "([^"]+)"', citation)
    names = re.findall(r"given-names: (\S+)\n        family-names: (\S+)", citation)
    entries = "".join(_METHODS.values())
    assert all(f"title = {{{title}}}" in entries for title in titles)
    assert re.findall(r"author = \{(.*)\}", re.sub(r"\n {4}", " ", entries)) == [
        " and ".join(f"{family}, {given}" for given, family in part) for part in (names[:5], names[5:])
    ]


def test_pictures_lie_beside_the_pages(pages: Path) -> None:
    pictures = re.findall(r'src="(pictures/[^"]+)"', _page(pages, "dinov2"))
    assert pictures
    assert all((pages / picture).is_file() for picture in pictures)
    assert "pictures/" not in _page(pages, "plane").partition("<main>")[0]
