"""The pages are valid HTML: a strict parser finds nothing, references meet, tables are whole.

The Nu checker of the W3C sees more. It needs Java and its vnu.jar (npm package `vnu-jar`): set NU_CHECKER to the jar's path
and the last test here runs it.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench.report import write
from bench.report.build import build_report

PAGES = ("index.html", "leaderboard.html")
#: What the Nu checker says of the policy of the leaderboard's scripts and pictures although Chromium obeys and runs it.
POLICY = "violates Content Security Policy"


@pytest.fixture(scope="module")
def pages(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "write_figure", lambda figure, folder: None)  # other tests look at the drawings
        return build_report([results, Path("published")], tmp_path_factory.mktemp("html") / "report", ("html",)).parent


@pytest.fixture(scope="module", params=PAGES)
def tree(pages: Path, request: pytest.FixtureRequest) -> Any:
    html5lib = pytest.importorskip("html5lib", reason="the strict parser is the package html5lib")
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    return parser.parse((pages / request.param).read_text(encoding="utf-8"))  # strict: raises at the first error


def test_a_strict_parser_accepts_the_page(tree: Any) -> None:
    assert tree.find("head/title").text
    assert tree.get("lang") == "en"


def test_a_strict_parser_would_not_accept_anything() -> None:
    html5lib = pytest.importorskip("html5lib", reason="the strict parser is the package html5lib")
    for broken in ("<!doctype html><p><b>x</p>", "<!doctype html><title>x</title><table><p>x</table>", "<p>no doctype"):
        with pytest.raises(html5lib.html5parser.ParseError):
            html5lib.HTMLParser(strict=True).parse(broken)


def test_ids_are_unique_and_what_refers_to_them_finds_them(tree: Any) -> None:
    ids = [element.get("id") for element in tree.iter() if element.get("id") is not None]
    assert len(ids) == len(set(ids))
    assert all(name and not any(character.isspace() for character in name) for name in ids)
    for element in tree.iter():
        for attribute in ("aria-labelledby", "aria-describedby", "for"):
            assert set((element.get(attribute) or "").split()) <= set(ids), element.attrib


def test_images_have_sources_and_texts_and_headings_skip_no_level(tree: Any) -> None:
    for image in tree.iter("img"):
        assert image.get("src")
        assert image.get("alt") is not None
    levels = [int(e.tag[1]) for e in tree.iter() if e.tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert all("".join(e.itertext()).strip() for e in tree.iter() if e.tag in ("h1", "h2", "h3", "h4"))


def test_every_row_of_a_table_is_as_wide_as_the_others(tree: Any) -> None:
    for table in tree.iter("table"):
        widths = {sum(int(cell.get("colspan", 1)) for cell in row) for row in table.iter("tr")}
        assert len(widths) <= 1, table.attrib


def test_the_nu_checker_finds_no_error(pages: Path) -> None:
    jar, java = os.environ.get("NU_CHECKER"), shutil.which("java")
    if not jar or java is None:
        pytest.skip("the Nu checker needs Java and NU_CHECKER, the path of its vnu.jar (npm package vnu-jar)")
    files = sorted(map(str, pages.glob("*.html")))  # those of the models, too
    found = subprocess.run([java, "-jar", jar, "--format", "gnu", *files], capture_output=True, text=True, check=False)
    said = [line for line in (found.stdout + found.stderr).splitlines() if line and POLICY not in line]
    assert said == []
