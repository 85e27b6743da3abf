"""A report concludes: its first sentences, from rows whose answer is known."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from bench.core.cells import collapsed_note
from bench.report.figures.drawing import Drawer
from bench.report.figures.models import training_gains_plot
from bench.report.parts.ranks import rank_figures
from bench.report.say.marks import scenes_by_model
from bench.report.say.means import table_means
from bench.report.say.verdict import training_gains, verdicts
from bench.report.sections.overview import overview_section
from bench.report.tables.beside import BLOCKS
from bench.report.tables.model import coverage
from bench.report.tables.papers import GTA
from bench.report.tables.runs import training_table
from bench.results.schema import ROW_COLUMNS, as_rows
from bench.stats.bootstrap import stratified_difference
from bench.stats.significance import sign_flip_test, smallest_p

#: model -> (mode, role, weights, PSNR above 20 dB)
STANDARD = {
    "strong": ("G", "model", "pretrained", 5.0),
    "weak": ("G", "model", "pretrained", 4.0),
    "strong@untrained": ("G", "model", "random", 2.0),
    "noise": ("G", "control", "none", 3.0),
    "flat": ("G", "control", "none", -8.0),
    "truth": ("G", "oracle", "none", 9.0),
    "instantsplat": ("instantsplat", "model", "none", 6.0),
}


def rows_of(models: dict[str, tuple[str, str, str, float]], scenes: int = 6, spread: float = 0.1) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    rows = []
    for (model, (mode, role, weights, above)), scene in itertools.product(models.items(), range(scenes)):
        row = {name: "-" if kind == "str" else None for name, kind in ROW_COLUMNS.items()}
        row |= {"track": "probe", "dataset": "llff", "scene": f"s{scene}", "view": "all", "model": model, "mode": mode}
        row |= {"pointmap": "sparse", "protocol": "paper-v1", "seed": 0, "metric": "psnr", "unit": "dB", "status": "ok"}
        row |= {"higher_is_better": True, "note": "", "weights": weights, "role": role, "start": "estimated", "quick": False}
        rows.append({**row, "value": 20 + above + scene + spread * generator.normal(), "key": "0" * 64})
    return as_rows(pd.DataFrame(rows))


def said(rows: pd.DataFrame) -> str:
    (found,) = verdicts(rows, table_means(rows), {**GTA, **BLOCKS})
    return " ".join(found.sentences)


def test_every_comparison_is_named_with_its_size() -> None:
    text = said(rows_of(STANDARD, spread=0.0))
    for expected in (
        "strong (27.50 dB) is best, +1.00 dB [+1.00, +1.00] ahead of weak (26.50 dB).",
        "It beats the strongest control, noise (25.50 dB), by +2.00 dB [+2.00, +2.00].",
        "The weakest control is flat (14.50 dB): +13.00 dB",
        "The training of strong adds +3.00 dB [+3.00, +3.00] to the same network untrained.",
        "Against InstantSplat, which sees no feature and optimises everything: -1.00 dB",
        "truth (31.50 dB), which reads the truth, is +4.00 dB",
    ):
        assert expected in text


def test_what_lies_below_the_floor_says_so_and_is_ranked_nowhere() -> None:
    models = {**STANDARD, "flat": ("G", "floor", "none", -8.0), "lost": ("G", "model", "pretrained", -9.0)}
    models["lost@untrained"] = ("G", "model", "random", 1.0)
    rows = rows_of(models, spread=0.0)
    text = said(rows)
    assert "The floor is flat (14.50 dB): +13.00 dB" in text
    assert "Below the floor, and no score: lost (13.50 dB on s0, s1, s2, s3, s4, s5, floor 14.50 dB)." in text
    assert "for lack of a scene" not in text
    means = table_means(rows).set_index(["model", "dataset"])
    assert not means.loc[("lost", "all"), "ranked"]
    assert means.loc[("weak", "all"), "ranked"]
    assert means.loc[("lost", "llff"), "value"] == pytest.approx(13.5)  # the number stands, with what must be said of it
    assert coverage(means.loc[("lost", "llff")].to_dict() | {"dataset": "llff"}).startswith("below the floor")
    assert not any(means[means.index.get_level_values("model") != "lost"]["below"])
    # what its training adds is not told from a probe that failed
    assert [model for model, _, gain in training_gains(rows, GTA) if gain.scenes] == ["strong"]


def test_one_scene_below_the_floor_is_enough() -> None:
    models = {**STANDARD, "flat": ("G", "floor", "none", -8.0)}
    rows = rows_of(models, spread=0.0)
    rows.loc[(rows["model"] == "strong") & (rows["scene"] == "s2"), "value"] = 12.0
    text = said(rows)
    assert "Below the floor, and no score: strong (12.00 dB on s2, floor 14.00 dB)." in text
    assert "weak (26.50 dB) is the only model that can be ranked." in text


def test_nothing_beats_the_control_is_an_answer() -> None:
    text = said(rows_of({**STANDARD, "noise": ("G", "control", "none", 7.0)}, spread=0.0))
    assert "Nothing beats the control noise (29.50 dB): it is +2.00 dB [+2.00, +2.00] above the best model." in text
    close = {**STANDARD, "noise": ("G", "control", "none", 4.95), "weak": ("G", "model", "pretrained", 4.97)}
    text = said(rows_of(close, spread=1.0))
    assert "which the choice of scenes alone can explain" in text
    assert "Nothing beats the control" in text


def test_an_oracle_below_the_best_model_is_no_bound() -> None:
    text = said(rows_of({**STANDARD, "truth": ("G", "oracle", "none", 4.5)}, spread=0.0))
    assert (
        "truth (27.00 dB), which reads the truth, is no bound here: the best model is +0.50 dB [+0.50, +0.50] above it."
        in text
    )
    assert "left to gain" not in text


def test_few_scenes_settle_nothing() -> None:
    text = said(rows_of(STANDARD, scenes=2, spread=0.0))
    assert "2 scenes do not settle the order" in text
    assert "2 scenes do not prove it better" in text
    assert "[" not in said(rows_of(STANDARD, scenes=1, spread=0.0))  # one scene has no interval
    only = {name: values for name, values in STANDARD.items() if values[1] != "model" or name == "instantsplat"}
    assert "No model was measured that can be ranked" in said(rows_of(only))


def test_a_model_is_what_its_row_says_not_what_its_name_says() -> None:
    """An oracle of any name is not ranked; a model whose name begins with oracle is."""
    named = {"oraclenet": STANDARD["strong"], "honest": ("G", "oracle", "none", 9.0), "weak": STANDARD["weak"]}
    assert said(rows_of(named, spread=0.0)).startswith("oraclenet (27.50 dB) is best")


def test_each_stratum_counts_alike() -> None:
    index = pd.MultiIndex.from_tuples([("a", "1"), ("a", "2"), ("a", "3"), ("b", "1")])
    first, second = pd.Series([1.0, 2.0, 3.0, 10.0], index), pd.Series([0.0, 0.0, 0.0, 0.0], index)
    found = stratified_difference(first, second)
    assert found["difference"] == pytest.approx((2 + 10) / 2)
    assert found["n"] == 4
    assert (1 + 10) / 2 <= found["low"] < found["difference"] < found["high"] <= (3 + 10) / 2
    alone = stratified_difference(first[:3], second[:3])
    assert alone["difference"] == pytest.approx(2)


@pytest.mark.parametrize("n", [2, 5, 8])
def test_the_smallest_p_is_what_the_test_gives_for_the_clearest_data(n: int) -> None:
    assert sign_flip_test(np.arange(1.0, n + 1)) == pytest.approx(smallest_p(n, 1))


def test_training_gains_stand_in_a_table_and_a_figure_with_their_intervals() -> None:
    gains = training_gains(rows_of(STANDARD, spread=0.0), {"G": "Geometry", "T": "Texture"})
    ((model, mode, found),) = gains
    assert (model, mode) == ("strong", "Geometry")
    assert (found.difference, found.low, found.high) == pytest.approx((3.0, 3.0, 3.0))
    (line,) = training_table(gains).lines
    assert [entry.text for entry in line.entries] == ["+3.00 dB [+3.00, +3.00]"]
    (axes,) = training_gains_plot(gains).axes
    assert [tuple(offset) for offset in axes.collections[1].get_offsets()] == [pytest.approx((3.0, 0.0))]
    assert training_gains(rows_of({"weak": STANDARD["weak"]}), {"G": "Geometry"}) == []


def test_a_floor_without_a_value_is_named_with_the_reason() -> None:
    rows = rows_of(STANDARD, spread=0.0)
    flat = rows["model"] == "flat"
    rows.loc[flat, "value"] = np.nan
    rows.loc[flat, ["role", "status", "note"]] = ["floor", "collapsed", collapsed_note(7.0)]
    rows.loc[flat & (rows["scene"] == "s2"), "note"] = collapsed_note(6.0)
    text = said(rows)
    assert "The floor, flat, has no value: the render is of one colour." in text
    assert "would be" not in text  # each view has a value of its own


def test_in_brief_stand_only_conditions_in_which_something_is_ranked() -> None:
    rows = rows_of({**STANDARD, "other": ("T", "control", "none", 1.0), "third": ("T", "oracle", "none", 1.0)})
    section = overview_section(rows, table_means(rows))
    assert [line.label for table in section.tables for line in table.lines] == ["Geometry"]


def test_ranks_are_drawn_of_models_and_critical_differences_where_there_can_be_one() -> None:
    def drawn(models: dict[str, tuple[str, str, str, float]], scenes: int) -> list[str]:
        units = scenes_by_model(rows_of(models, scenes), "psnr", "G")
        return [figure.name for figure in rank_figures(units, "psnr", "PSNR", Drawer("here", ()))]

    assert drawn(STANDARD, 8) == ["here-ranks-psnr", "here-critical-difference-psnr"]
    assert drawn(STANDARD, 2) == ["here-ranks-psnr"]  # six models on two scenes: no ranks are far enough apart
    assert drawn({name: each for name, each in STANDARD.items() if each[1] != "model" or each[2] == "random"}, 8) == []
