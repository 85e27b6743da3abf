"""Aggregation worked by hand, and the promise that nothing missing goes unseen."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.core.cells import WHOLE_CELL
from bench.stats.aggregate import expand_failures, over_datasets, per_dataset, per_scene, unit_table

FAILED = {"metric": WHOLE_CELL, "status": "failed", "note": "out of memory", "unit": "", "higher_is_better": None}


def row(model: str, scene: str, value: float | None, **changes: Any) -> dict[str, Any]:
    status = "invalid" if value is None else "ok"
    plain = {
        "track": "probe",
        "dataset": "llff",
        "scene": scene,
        "view": "0",
        "model": model,
        "mode": "G",
        "pointmap": "sparse",
        "alignment": "-",
        "protocol": "quick-v1",
        "seed": 0,
        "metric": "psnr",
        "value": math.nan if value is None else value,
        "unit": "dB",
        "higher_is_better": True,
        "status": status,
        "note": "not finite" if value is None else "",
        "weights": "none",
    }
    return {**plain, **changes}


def table(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(rows).astype({"higher_is_better": "boolean"})


#: 3 models x 3 scenes. fern has two views, the others one; b lacks a view, c failed on room.
HAND = table(
    row("a", "fern", 10, view="0"),
    row("a", "fern", 20, view="1"),
    row("a", "room", 30),
    row("a", "trex", 0),
    row("b", "fern", 12, view="0"),
    row("b", "fern", None, view="1"),
    row("b", "room", 6),
    row("b", "trex", 6),
    row("c", "fern", 1, view="0"),
    row("c", "fern", 3, view="1"),
    row("c", "room", None, metric=WHOLE_CELL, status="failed", note="out of memory", unit="", higher_is_better=None),
    row("c", "trex", 4),
)


def test_a_three_by_three_table_by_hand() -> None:
    result = per_dataset(HAND).set_index("model")
    assert result["value"].to_dict() == {"a": 15.0, "b": 8.0, "c": 3.0}  # a: (15 + 30 + 0) / 3
    assert result["n_ok"].to_dict() == {"a": 3, "b": 2, "c": 2}
    assert result["n_total"].to_dict() == {"a": 3, "b": 3, "c": 3}
    assert result["status"].to_dict() == {"a": "ok", "b": "partial", "c": "partial"}
    assert result["note"].to_dict() == {"a": "", "b": "not finite", "c": "out of memory"}
    assert result.loc["a", "spread"] == 15.0  # of 15, 30, 0
    assert result["unit"].unique().tolist() == ["dB"]
    assert result["higher_is_better"].tolist() == [True, True, True]


def test_views_are_averaged_within_their_scene_first() -> None:
    scenes = per_scene(HAND).set_index(["model", "scene"])
    assert scenes.loc[("a", "fern"), ["value", "n_ok", "n_total", "status"]].tolist() == [15.0, 2, 2, "ok"]
    assert scenes.loc[("b", "fern"), ["value", "n_ok", "n_total", "status"]].tolist() == [12.0, 1, 2, "partial"]
    assert math.isnan(scenes.loc[("c", "room"), "value"])
    assert scenes.loc[("c", "room"), ["n_ok", "n_total", "status", "note"]].tolist() == [0, 1, "failed", "out of memory"]


def test_seeds_are_averaged_within_their_scene() -> None:
    rows = table(
        row("a", "fern", 10, seed=0), row("a", "fern", 20, seed=1), row("a", "fern", 30, seed=2), row("a", "room", 0)
    )
    result = per_dataset(rows).iloc[0]
    assert result["value"] == 10.0  # (20 + 0) / 2, not 60 / 4
    assert (result["n_ok"], result["n_total"]) == (4, 4)


def test_a_nan_that_calls_itself_ok_is_counted_as_invalid() -> None:
    rows = table(row("a", "fern", 10), row("a", "room", math.nan))
    result = per_dataset(rows).iloc[0]
    assert (result["value"], result["n_ok"], result["n_total"], result["status"]) == (10.0, 1, 2, "partial")
    assert per_scene(rows)["status"].tolist() == ["ok", "invalid"]


def test_a_failed_cell_lacks_no_metric_that_its_data_set_cannot_have() -> None:
    failed = {"metric": WHOLE_CELL, "status": "failed", "note": "broken", "unit": "", "higher_is_better": None}
    rows = table(
        row("a", "scan1", 10, dataset="dtu"),
        row("a", "scan1", 3, dataset="dtu", metric="accuracy", higher_is_better=False),
        row("a", "fern", 20),
        row("a", "room", None, **failed),  # LLFF has no ground truth: no accuracy is missing
        row("a", "scan2", None, dataset="dtu", **failed),
        row("a", "bench", None, dataset="casual", **failed),  # nothing is known of this data set: all that a has elsewhere
    )
    expanded = expand_failures(rows)
    lacking = expanded[expanded["status"] == "failed"].groupby("scene")["metric"].agg(set).to_dict()
    assert lacking == {"room": {"psnr"}, "scan2": {"psnr", "accuracy"}, "bench": {"psnr", "accuracy"}}


def test_a_failed_cell_counts_against_every_metric_of_its_siblings() -> None:
    rows = table(
        row("a", "fern", 1),
        row("a", "fern", 2, metric="ssim", unit=""),
        row("a", "room", None, metric=WHOLE_CELL, status="failed"),
        row("b", "room", None, metric=WHOLE_CELL, status="unavailable"),  # never ran: it takes the track's metrics
    )
    counts = per_dataset(rows).set_index(["model", "metric"])[["n_ok", "n_total", "status"]]
    assert counts.loc[("a", "psnr")].tolist() == [1, 2, "partial"]
    assert counts.loc[("a", "ssim")].tolist() == [1, 2, "partial"]
    assert counts.loc[("b", "psnr")].tolist() == [0, 2, "unavailable"]  # and fern was not even tried
    assert counts.loc[("b", "ssim")].tolist() == [0, 2, "unavailable"]
    assert len(counts) == 4


def test_where_nothing_succeeded_the_failure_stays_visible() -> None:
    rows = table(row("a", "fern", None, metric=WHOLE_CELL, status="failed"))
    result = per_dataset(rows).iloc[0]
    assert (result["metric"], result["n_ok"], result["n_total"], result["status"]) == (WHOLE_CELL, 0, 1, "failed")


def test_expand_failures_leaves_rows_without_failures_alone() -> None:
    rows = HAND[HAND["metric"] != WHOLE_CELL]
    assert expand_failures(rows) is rows


def test_the_median_is_over_all_views() -> None:
    rows = table(*(row("a", f"photo-{index}", value) for index, value in enumerate([1, 2, 9])), row("a", "photo-3", None))
    result = per_dataset(rows, "median").iloc[0]
    assert result["value"] == 2.0
    assert (result["n_ok"], result["n_total"]) == (3, 4)


def test_over_datasets_by_hand_and_a_missing_data_set_leaves_no_number() -> None:
    rows = table(
        row("a", "s", 10, dataset="llff"),
        row("a", "s", 20, dataset="dtu"),
        row("b", "s", 30, dataset="llff"),
        row("c", "s", 5, dataset="llff"),
        row("c", "s", None, dataset="dtu"),
    )
    result = over_datasets(per_dataset(rows)).set_index("model")
    assert result.loc["a", ["value", "n_ok", "n_total", "status"]].tolist() == [15.0, 2, 2, "ok"]
    for model in ("b", "c"):
        assert math.isnan(result.loc[model, "value"])
        assert result.loc[model, ["n_ok", "n_total", "status"]].tolist() == [1, 2, "partial"]
    assert result["note"].to_dict() == {"a": "", "b": "dtu: missing", "c": "dtu: 0 of 1 scenes"}


def test_an_average_over_data_sets_that_lacks_a_scene_says_so() -> None:
    failed = {"metric": WHOLE_CELL, "status": "failed", "note": "out of memory", "unit": "", "higher_is_better": None}
    rows = table(
        row("daisy", "easy", 30),
        row("daisy", "hard", None, **failed),
        row("daisy", "scan1", 10, dataset="dtu"),
        row("rgb", "easy", 29),
        row("rgb", "hard", 15),
        row("rgb", "scan1", 10, dataset="dtu"),
    )
    result = over_datasets(per_dataset(rows)).set_index("model")
    assert result.loc["rgb", ["value", "n_ok", "n_total", "status", "note"]].tolist() == [16.0, 2, 2, "ok", ""]
    daisy = result.loc["daisy", ["value", "n_ok", "n_total", "status", "note"]].tolist()
    assert daisy == [20.0, 1, 2, "partial", "llff: 1 of 2 scenes"]


def test_over_datasets_refuses_two_values_for_one_data_set() -> None:
    rows = table(row("a", "s", 10), row("a", "s", 20, pointmap="ground-truth"))
    with pytest.raises(ValueError, match="two values"):
        over_datasets(per_dataset(rows), by=("track", "model", "mode", "alignment", "protocol", "weights", "metric"))


def test_a_scene_that_was_never_run_is_counted_as_missing_by_hand() -> None:
    """Five scenes, worked by hand:

            fern  room  trex  horns  leaves   mean of what there is          n_ok of n_total
    a        10    20    30    40     50      150 / 5 = 30                   5 of 5
    b        12    22    32    .      .        66 / 3 = 22 (a's there: 20)   3 of 5: the two hard scenes were never run
    c        11    fail  31    41     .        83 / 3 = 27.67                3 of 5: one failed, one was never run
    """
    scenes = ("fern", "room", "trex", "horns", "leaves")
    rows = table(
        *(row("a", scene, value) for scene, value in zip(scenes, (10, 20, 30, 40, 50), strict=True)),
        *(row("b", scene, value) for scene, value in zip(scenes, (12, 22, 32), strict=False)),
        *(row("c", scene, value) for scene, value in (("fern", 11), ("trex", 31), ("horns", 41))),
        row("c", "room", None, **FAILED),
    )
    result = per_dataset(rows).set_index("model")
    assert result["value"].round(2).to_dict() == {"a": 30.0, "b": 22.0, "c": 27.67}
    assert result["spread"].round(2).to_dict() == {"a": 15.81, "b": 10.0, "c": 15.28}
    assert result[["n_ok", "n_total", "status"]].T.to_dict("list") == {
        "a": [5, 5, "ok"],
        "b": [3, 5, "partial"],
        "c": [3, 5, "partial"],
    }
    assert result["note"].to_dict() == {
        "a": "",
        "b": "not run: horns, leaves",
        "c": "out of memory; not run: leaves",
    }
    over = over_datasets(per_dataset(rows)).set_index("model")
    assert over["note"].to_dict() == {"a": "", "b": "llff: 3 of 5 scenes", "c": "llff: 3 of 5 scenes"}
    assert per_scene(rows)["scene"].isin(scenes).all()
    assert len(per_scene(rows)) == 12, "what was never run gets no row of its own where scenes are the units"


def test_what_a_scene_or_a_model_cannot_have_is_not_missing() -> None:
    rows = table(
        # Only scan1 has ground truth; b was not run on scan2, where it could have had no accuracy either.
        row("a", "scan1", 10),
        row("a", "scan1", 1, metric="accuracy"),
        row("a", "scan2", 20),
        row("b", "scan1", 11),
        row("b", "scan1", 2, metric="accuracy"),
        # Another point map, protocol and data set are conditions of their own.
        row("a", "scan3", 30, pointmap="ground-truth"),
        row("a", "scan3", 30, protocol="paper-v1"),
        row("a", "scan3", 30, dataset="dtu"),
        # c has no accuracy anywhere on the data set: it cannot lack that.
        row("c", "scan1", 12),
        row("c", "scan2", 13),
    )
    counts = per_dataset(rows).set_index(["model", "dataset", "mode", "pointmap", "protocol", "metric"])
    short = counts[counts["n_ok"] < counts["n_total"]]
    assert short[["n_ok", "n_total", "note"]].T.to_dict("list") == {
        ("b", "llff", "G", "sparse", "quick-v1", "psnr"): [1, 2, "not run: scan2"]
    }
    assert ("c", "llff", "G", "sparse", "quick-v1", "accuracy") not in counts.index


def test_a_mode_lacks_what_another_mode_has() -> None:
    """G, T and A of a model stand side by side in one table, and InstantSplat beside them."""
    rows = table(
        *(row("a", scene, 10) for scene in ("fern", "room", "trex")),
        row("a", "fern", 20, mode="A"),
        row("instantsplat", "room", 30, mode="instantsplat"),
    )
    result = per_dataset(rows).set_index("mode")[["n_ok", "n_total", "note"]].T.to_dict("list")
    assert result == {"G": [3, 3, ""], "A": [1, 3, "not run: room, trex"], "instantsplat": [1, 3, "not run: fern, trex"]}


def test_many_missing_scenes_are_counted_rather_than_named() -> None:
    rows = table(*(row("a", f"s{number:02}", 1) for number in range(12)), row("b", "s00", 2))
    notes = per_dataset(rows).set_index("model")["note"]
    assert notes["b"] == "not run: s01, s02, s03, s04, s05, s06, s07, s08 and 3 more"


def test_a_failure_elsewhere_makes_no_metric_missing_that_the_scene_cannot_have() -> None:
    rows = table(
        row("a", "scan1", 10),
        row("a", "scan1", 1, metric="accuracy"),
        row("a", "scan2", None, **FAILED),  # counts for a in every metric of a, since nobody knows better
        row("b", "scan1", 11),
        row("b", "scan1", 2, metric="accuracy"),
        row("c", "scan1", 12),
        row("c", "scan1", 3, metric="accuracy"),
        row("c", "scan2", 13),  # finished: there is no accuracy on scan2
    )
    counts = per_dataset(rows).set_index(["model", "metric"])[["n_ok", "n_total"]].T.to_dict("list")
    assert counts["b", "psnr"] == [1, 2]
    assert counts["b", "accuracy"] == [1, 1]
    assert counts["c", "accuracy"] == [1, 1]
    everywhere = per_dataset(rows[rows["model"] != "c"]).set_index(["model", "metric"])[["n_ok", "n_total"]]
    assert everywhere.T.to_dict("list")["b", "accuracy"] == [1, 2], "nothing finished on scan2: what it has is not known"


def test_a_model_lacks_scenes_as_often_as_it_has_seeds_but_no_seeds_of_others() -> None:
    rows = table(
        *(row("a", scene, 10, seed=seed) for scene in ("fern", "room") for seed in (0, 1, 2)),
        *(row("b", scene, 20, seed=0) for scene in ("fern", "room")),
        *(row("c", "fern", 30, seed=seed) for seed in (0, 1)),
        row("c", "room", 40, seed=0),
        *(row("d", "fern", 50, seed=seed) for seed in (0, 1)),
    )
    result = per_dataset(rows).set_index("model")[["n_ok", "n_total"]].T.to_dict("list")
    assert result == {"a": [6, 6], "b": [2, 2], "c": [3, 3], "d": [2, 4]}


def test_random_and_pretrained_weights_of_a_model_lack_what_the_other_has() -> None:
    rows = table(
        *(row("a", scene, 1, weights="pretrained") for scene in ("fern", "room")), row("a", "fern", 2, weights="random")
    )
    result = per_dataset(rows).set_index("weights")
    assert result.loc["random", ["value", "n_ok", "n_total"]].tolist() == [2.0, 1, 2]
    assert result.loc["pretrained", ["value", "n_ok", "n_total"]].tolist() == [1.0, 2, 2]


def test_scenes_of_the_table_beside_count_too() -> None:
    rows = table(row("a", "fern", 10))
    other = table(row("a", "fern", 11), row("b", "room", 12), row("b", "trex", 13, protocol="paper-v1"))
    result = per_dataset(rows, beside=other).iloc[0]
    assert (result["value"], result["n_ok"], result["n_total"], result["note"]) == (10.0, 1, 2, "not run: room")
    medians = per_dataset(rows, "median", other).iloc[0]
    assert (medians["value"], medians["n_ok"], medians["n_total"]) == (10.0, 1, 2)
    assert len(per_dataset(rows, beside=other)) == 1


def test_published_averages_and_measured_scenes_do_not_make_each_other_incomplete() -> None:
    published = row("a", "all", 3.5, seed=None, view="all", protocol="published", pointmap="-")
    rows = table(published, row("a", "fern", 10), row("a", "room", 12)).astype({"seed": "Int64"})
    result = per_dataset(rows)
    assert (result["n_ok"] == result["n_total"]).all()


def test_published_rows_without_seeds_aggregate_to_themselves() -> None:
    rows = table(row("a", "all", 3.5, seed=None, view="all")).astype({"seed": "Int64"})
    result = per_dataset(rows).iloc[0]
    assert (result["value"], result["n_ok"], result["n_total"]) == (3.5, 1, 1)


def test_the_unit_table_is_paired_by_scene() -> None:
    units = unit_table(HAND)
    assert units.loc[("llff", "fern")].to_dict() == {"a": 15.0, "b": 12.0, "c": 2.0}
    assert math.isnan(units.loc[("llff", "room"), "c"])
    assert units.shape == (3, 3)
    seeds = unit_table(table(row("a", "s", 1, seed=0), row("a", "s", 5, seed=1)), units=("dataset", "scene", "seed"))
    assert seeds["a"].tolist() == [1.0, 5.0]
    with pytest.raises(ValueError, match="one metric"):
        unit_table(table(row("a", "s", 1), row("a", "s", 1, metric="ssim")))


values = st.lists(st.one_of(st.none(), st.floats(-1e3, 1e3)), min_size=1, max_size=12)


@settings(max_examples=15)
@given(values, st.randoms(use_true_random=False))
def test_counts_are_complete_and_the_order_of_rows_does_not_matter(found: list[float | None], shuffler: Any) -> None:
    rows = [row("a", f"s{index % 4}", value, view=str(index)) for index, value in enumerate(found)]
    scenes = per_scene(table(*rows))
    assert scenes["n_total"].sum() == len(found)
    assert scenes["n_ok"].sum() == sum(value is not None for value in found)
    shuffled = list(rows)
    shuffler.shuffle(shuffled)
    once, again = per_dataset(table(*rows)).iloc[0], per_dataset(table(*shuffled)).iloc[0]
    assert (once["n_ok"], once["n_total"]) == (again["n_ok"], again["n_total"])
    np.testing.assert_allclose(once["value"], again["value"], rtol=1e-9, atol=1e-9)
