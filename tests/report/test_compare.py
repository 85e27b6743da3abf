"""`bench compare`: what meets, what differs, and what a terminal and a page say of it."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from bench.commands.results.compare import compare_command
from bench.report.compare import AGREEMENT, CHANGE, comparison
from bench.report.say.means import table_means
from bench.report.tables.beside import beside_tables, joined, published_means
from bench.report.tables.runs import significance_table
from bench.results.reference.published import published_rows, published_scenes
from bench.results.store import Store, rows_of
from bench.types import UserError


def shifted_rows(model_shift: float) -> pd.DataFrame:
    """Measured rows of LLFF, geometry mode: the published numbers with `model_shift` dB added."""
    rows = published_rows("feat2gs_gta")
    llff = rows[(rows["dataset"] == "llff") & (rows["mode"] == "G")].assign(protocol="paper-v1", seed=0)
    return llff.assign(value=llff["value"] + model_shift * (llff["metric"] == "psnr"))


def test_the_difference_stands_beside_both_values() -> None:
    found = joined(table_means(shifted_rows(0.5)), published_means())
    (table,) = beside_tables(found, "beside", "published")
    line = next(line for line in table.lines if line.label == "DUSt3R")
    assert [entry.text for entry in line.entries] == [
        "20.38",
        "19.88",
        "+0.50",
        ".7442",
        ".7442",
        "0.0000",
        ".2123",
        ".2123",
        "0.0000",
    ]
    assert [heading.text for heading in table.header[1][:3]] == ["ours", "published", "Δ"]
    assert line.group == "Geometry"


def test_an_average_over_other_data_sets_is_not_compared() -> None:
    found = joined(table_means(shifted_rows(0.0)), published_means())
    assert set(found[found["found"] == "both"]["dataset"]) == {"llff"}


def test_a_mean_over_fewer_scenes_says_so() -> None:
    means = table_means(shifted_rows(0.0)).assign(n_ok=1, n_total=2)
    (table,) = beside_tables(joined(means, published_means()), "beside", "published")
    assert table.notes == ["1 of 2 scenes"]


def test_another_run_meets_rows_of_the_same_kind_of_weights_only() -> None:
    means = table_means(shifted_rows(0.0))
    random = means.assign(weights=means["weights"].where(means["model"] != "dino", "random"))
    found = joined(means, random)
    missed = found[(found["found"] == "ours only") & (found["metric"] == "psnr") & (found["dataset"] == "llff")]
    assert set(missed["model"]) == {"dino"}


def test_significance_is_bold_where_every_scene_agrees() -> None:
    units = pd.DataFrame(
        {
            ("a", "none", "model"): np.arange(10.0) + 1.0,
            ("b", "none", "model"): np.arange(10.0),
            ("c", "random", "model"): np.arange(10.0) + 0.001,
        }
    )
    units.columns = pd.MultiIndex.from_tuples(units.columns, names=["model", "weights", "role"])
    table = significance_table(units, "psnr", "s", "S")
    assert [line.label for line in table.lines] == ["a", "c", "b"]
    texts = [[(entry.text, entry.emphasis) for entry in line.entries] for line in table.lines]
    assert texts[0] == [("·", ""), ("+1.00", "best"), ("+1.00", "best")]
    assert texts[2] == [("-1.00", ""), ("-0.00", ""), ("·", "")]
    assert table.lines[1].marks == ("random weights",)
    assert "Holm over 3 pairs" in table.caption


@pytest.fixture
def changed(new_results: Callable[[], Path], tmp_path: Path) -> Path:
    """The results with 1 dB added to every PSNR of IUVRGB."""
    folder = new_results().rename(tmp_path / "changed")
    store = Store(folder)
    for record in store.records():
        if record.cell.model == "iuvrgb":
            measured = tuple(replace(m, value=m.value + (m.metric == "psnr")) for m in record.measurements)
            store.save(replace(record, measurements=measured), {})
    return folder


def test_two_runs_are_compared_scene_by_scene(results: Path, changed: Path, tmp_path: Path) -> None:
    out = io.StringIO()
    compare_command(changed, results, tmp_path / "out", Console(file=out, width=100))
    page = comparison(changed, results)
    probe = next(section for section in page.sections if section.anchor.startswith("probe"))
    change = next(part for part in probe.parts if part.title == CHANGE).tables[0]
    texts = {line.label: [entry.text for entry in line.entries] for line in change.lines}
    assert texts["IUVRGB"][0] == "+1.00"
    assert texts["DAISY"][0] == "+0.00"
    assert texts["IUVRGB"][2] == "2"
    agreement = next(part for part in probe.parts if part.title == AGREEMENT).tables[0]
    line = next(
        line
        for line in agreement.lines
        if (line.group, line.label) == ("Procedural", "Geometry") and line.entries[0].text == "PSNR↑"
    )
    assert line.entries[1].text == "2"  # IUVRGB and DAISY; random weights stand apart
    said = out.getvalue()
    assert "Agreement with demo" in said
    assert "quick protocol" in said
    assert (tmp_path / "out" / "index.html").is_file()
    assert "Agreement with demo" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def test_a_scene_that_only_one_of_the_runs_has_is_missing_from_the_other(
    results: Path, new_results: Callable[[], Path], tmp_path: Path
) -> None:
    less = new_results().rename(tmp_path / "less")
    for record in Store(less).records():
        if record.cell.model == "iuvrgb" and record.cell.scene == "table":
            Store(less).path(record.key).unlink()

    def beside(folder: Path, to: Path) -> dict[str, list[str]]:
        """What each line of the first block, geometry mode, says of ours and of the reference."""
        probe = next(section for section in comparison(folder, to).sections if section.anchor.startswith("probe"))
        table = next(
            table for table in probe.tables if table.title == "Beside demo: Procedural" or "Beside less" in table.title
        )
        return {line.label: [entry.note for entry in line.entries[:2]] for line in reversed(table.lines)}

    ours = beside(less, results)
    assert (ours["IUVRGB"], ours["DAISY"]) == (["1 of 2 scenes", ""], ["", ""])
    assert beside(results, less)["IUVRGB"] == ["", "1 of 2 scenes"]


def test_the_published_numbers_are_met_where_data_set_and_model_are_the_same(results: Path) -> None:
    page = comparison(results, Path("published"))
    geometry = next(section for section in page.sections if section.anchor.startswith("geometry"))
    assert geometry.parts
    labels = {line.label for table in geometry.tables if "Beside" in table.title for line in table.lines}
    assert labels == {"MoGe"}  # the other estimator is in no paper
    probe = next(section for section in page.sections if section.anchor.startswith("probe"))
    assert not probe.parts  # procedural scenes are in no paper


def test_nothing_in_common_is_said(results: Path, new_results: Callable[[], Path]) -> None:
    other = new_results()
    for path in (other / "cells").glob("*.json"):
        text = path.read_text().replace('"procedural"', '"llff"')
        path.write_text(text.replace('"nyuv2"', '"gso"').replace('"kitti"', '"gso2"'))
    with pytest.raises(UserError, match=r"in common.*\n.* holds models .*data sets .*kitti.*\n.* holds .*data sets .*gso2"):
        comparison(results, other)
    with pytest.raises(UserError, match="name a results folder first"):
        comparison(Path("published"), results)


@pytest.mark.parametrize(
    ("scenes", "said"),
    [
        (("fern",), "LLFF: ours over fern, published over fortress, horns, orchids, room, trex."),
        (("Fortress", "horns", "orchids", "room", "trex"), ""),
    ],
)
def test_a_mean_over_other_scenes_than_the_papers_says_so(
    scenes: tuple[str, ...], said: str, results: Path, tmp_path: Path
) -> None:
    rows = rows_of(Store(results).records()).query("track == 'probe'")
    own = rows[rows["scene"] == rows["scene"].iloc[0]]
    copies = [
        own.assign(dataset="llff", scene=scene, key=[f"{n}{key[1:]}" for key in own["key"]])
        for n, scene in enumerate(scenes)
    ]
    (tmp_path / "mine").mkdir()
    pd.concat(copies).to_csv(tmp_path / "mine" / "rows.csv", index=False)
    page = comparison(tmp_path / "mine", Path("published"))
    agreement = next(part for part in page.sections[0].parts if part.title == AGREEMENT).tables[0]
    assert agreement.caption.partition("for three or more.")[2].strip() == said


def test_the_papers_scenes_are_those_of_its_data_sets() -> None:
    found = published_scenes()
    assert {name: len(scenes) for name, scenes in found.items()} == {
        "llff": 5, "dtu": 22, "dl3dv": 5, "casual": 5, "mipnerf360": 5, "mvimgnet": 5, "tanks": 5,
    }  # fmt: skip
    assert all(len(set(scenes)) == len(scenes) for scenes in found.values())
