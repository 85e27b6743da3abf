"""The report page as a reader meets it: in Chromium, at two widths, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Page, start_browser


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    started = start_browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.quit()


@pytest.fixture(scope="module")
def page(driver: Any, report: Path) -> Page:
    return Page(driver, report / "index.html", "return document.readyState === 'complete'", alone=False)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_accessible_by_axe(page: Page, width: int, scheme: str) -> None:
    page.open(width=width, scheme=scheme)
    page.js("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert page.violations() == []
    assert page.complaints() == []


def test_on_a_phone_tables_scroll_in_their_frames_and_the_page_does_not(page: Page) -> None:
    page.open(width=390)
    assert page.js("return document.documentElement.scrollWidth") <= 390
    frames = page.js("return [...document.querySelectorAll('.scroll, .gallery')].map((e) => [e.clientWidth, e.scrollWidth])")
    assert any(inside > outside for outside, inside in frames)
    assert all(outside <= 390 for outside, _ in frames)
    covered = "return [...document.querySelectorAll('tbody th')].filter((e) => e.offsetWidth > 0.6 * innerWidth).length"
    assert page.js(f"{covered} - document.querySelectorAll('tbody th[colspan]').length") <= 0  # labels stay in place


def test_every_picture_is_there(page: Page) -> None:
    page.open()
    page.js("document.querySelectorAll('img').forEach((each) => { each.loading = 'eager'; })")
    assert page.until("return [...document.images].every((each) => each.complete)")
    assert page.js("return [...document.images].filter((each) => !each.naturalWidth).map((each) => each.src)") == []


def test_the_results_come_first(page: Page) -> None:
    page.open()
    headings = page.js("return [...document.querySelectorAll('h2')].map((each) => each.innerText)")
    assert headings[0] == "What this run says"
    assert "IUVRGB" in page.find("#overview-1 + p").text
    text = page.find("#overview-headlines").text
    assert "IUVRGB" in text
    assert "DINOv2" in text.partition("not ranked")[2]
    assert page.find(".legend").text.startswith("quick protocol")


def test_pictures_hold_their_room_before_they_are_loaded(page: Page) -> None:
    """Else the page would jump under a reader who scrolls."""
    page.open()
    page.js("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    kept = page.js(
        "return [...document.querySelectorAll('.gallery img')].map((each) => each.offsetWidth / each.offsetHeight)"
    )
    page.js("document.querySelectorAll('img').forEach((each) => { each.loading = 'eager'; })")
    assert page.until("return [...document.images].every((each) => each.complete)")
    own = "return [...document.querySelectorAll('.gallery img')].map((each) => each.naturalWidth / each.naturalHeight)"
    assert kept == pytest.approx(page.js(own), rel=0.02)


def test_one_table_of_contents_leads_to_the_sections(page: Page) -> None:
    page.open()
    assert page.js("return document.querySelectorAll('nav').length") == 1
    links = "document.querySelectorAll('.contents > ul > li > a[href^=\"#\"]')"
    names = page.js(f"return [...{links}].map((each) => each.innerText)")
    assert names == page.js("return [...document.querySelectorAll('h2')].map((each) => each.firstChild.textContent.trim())")
    page.js("document.documentElement.style.scrollBehavior = 'auto'; " + links + "[2].click()")
    top = "document.querySelectorAll('h2')[2].getBoundingClientRect().top"
    assert page.until(f"return {top} < 200")
    assert page.js("const nav = document.querySelector('nav').getBoundingClientRect(); return nav.top >= 0 && nav.left >= 0")


def test_figures_scroll_on_a_phone_and_turn_dark_with_the_page(page: Page) -> None:
    page.open(width=390, scheme="dark")
    page.js("document.querySelectorAll('img').forEach((each) => { each.loading = 'eager'; })")
    assert page.until("return [...document.images].every((each) => each.complete)")
    assert page.js("return document.documentElement.scrollWidth") <= 390
    shown = "return [...document.querySelectorAll('figure img')].map((each) => each.offsetWidth / each.naturalWidth)"
    assert min(page.js(shown)) >= 0.99  # at their own size: their letters are as large as the page's
    assert "invert" in page.js("return getComputedStyle(document.querySelector('figure img')).filter")
