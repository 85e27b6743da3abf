"""The papers' numbers: read completely, transcribed faithfully, and as consistent with themselves as we say they are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest

import bench.results.reference.published as published
from bench.results.schema import PUBLISHED_COLUMNS, validate_rows
from bench.types import UserError

ROOT = Path(__file__).resolve().parents[2]
VALUES = {
    "feat2gs_gta": 6 * 11 * 3 * 3,
    "feat2gs_vggt": 7 * 2 * 3 * 3,
    "feat2gs_dtu": 11 * 6,
    "feat2gs_variants": 9 * 3 * 3,
    "feat2gs_instantsplat": 5 * 3,
    "moge_points": 2 * 4 * 19 + 4 * 13,
    "moge_depth": 15 * 19,
    "moge_fov": 6 * 9,
    "moge_ablation": 9 * 12,
}
#: Cells copied by eye from the seminar: table, dataset, model, mode, alignment, metric, value.
BY_EYE = [
    ("feat2gs_gta", "llff", "dust3r", "G", "-", "psnr", 19.88),
    ("feat2gs_gta", "casual", "iuvrgb", "A", "-", "lpips", 0.4955),
    ("feat2gs_gta", "tanks", "radio", "T", "-", "ssim", 0.6225),
    ("feat2gs_gta", "mvimgnet", "mae", "G", "-", "lpips", 0.3142),
    ("feat2gs_dtu", "dtu", "iuvrgb", "G", "-", "completeness", 16.957),
    ("feat2gs_dtu", "dtu", "sd", "G", "-", "distance", 11.594),
    ("feat2gs_variants", "all", "clip@featup", "T", "-", "lpips", 0.3286),
    ("feat2gs_variants", "all", "dino", "Aft", "-", "ssim", 0.6630),
    ("feat2gs_instantsplat", "all", "instantsplat", "instantsplat", "-", "lpips", 0.3039),
    ("moge_points", "sintel", "leres", "-", "points_scale_invariant", "delta", 0.306),
    ("moge_points", "ddad", "unidepth", "-", "local_points", "rel", 0.0818),
    ("moge_points", "all", "dust3r", "-", "points_affine_invariant", "rank", 2.94),
    ("moge_depth", "gso", "moge", "-", "depth_affine_invariant", "rel", 0.0094),
    ("moge_depth", "kitti", "midas-3.1", "-", "disparity_affine_invariant", "delta", 0.947),
    ("moge_depth", "all", "metric3d-v2", "-", "depth_scale_invariant", "rank", 2.07),
    ("moge_fov", "ibims1", "wildcamera", "-", "fov_crops", "fov_x_error_median", 9.08),
    ("moge_ablation", "all", "moge@l2-affine-invariant", "-", "local_points", "delta", 0.910),
]
#: Where each table stands in the seminar: how its heading begins (and which of the lines that begin so), lines to its last
#: row.
IN_THE_TEXT = {
    "feat2gs_gta": [("Feature\tLLFF", 0, 14), ("Feature\tMipNeRF", 0, 14)],
    "feat2gs_dtu": [("Feature\t2D Metrics", 0, 13)],
    "feat2gs_variants": [("Feature\tAll Datasets", 0, 12)],
    "feat2gs_instantsplat": [("Method\tAll Datasets", 0, 7)],
    "moge_points": [("Method\tNYUv2\t\tKITTI", 0, 17)],
    "moge_depth": [("Method\tNYUv2\t\tKITTI", 1, 20)],
    "moge_fov": [("Method\tNYUv2\t\tETH3D", 0, 8)],
    "moge_ablation": [("Ablation\t", 0, 11)],
}


def test_every_table_is_complete_and_follows_the_schema() -> None:
    assert {name: len(published.published_rows(name)) for name in published.TABLES} == VALUES
    rows = published.published_rows()
    assert list(rows.columns) == list(PUBLISHED_COLUMNS)
    assert validate_rows(rows) == []
    assert len(rows) == sum(VALUES.values()) == 1533
    assert (rows["protocol"] == "published").all()
    assert rows["source"].str.contains(r"arXiv:24\d\d\.\d{5}\), |Feat2GS_Benchmark\.pdf").all()


def test_the_authors_sheet_agrees_position_by_position() -> None:
    """tests/data/feat2gs_benchmark_pdf.csv: every number that the authors' own PDF prints, read out of the file by machine
    (github.com/fanegg/Feat2GS, commit 0930a18, assets/Feat2GS_Benchmark.pdf, page 1)."""
    sheet = pd.read_csv(ROOT / "tests" / "data" / "feat2gs_benchmark_pdf.csv", dtype=str)
    assert len(sheet) == 13 * 3 * 3 * 7
    place = ["dataset", "model", "mode", "metric"]
    for table, shared in (("feat2gs_gta", 594), ("feat2gs_vggt", 126), ("feat2gs_variants", 27)):
        both = published.published_rows(table).merge(sheet, on=place)
        assert len(both) == shared
        assert (both["value"] == both["printed"].astype(float)).all()


@pytest.mark.parametrize("cell", BY_EYE, ids=lambda cell: "/".join(map(str, cell[:-1])))
def test_cells_copied_by_eye(cell: tuple[str, str, str, str, str, str, float]) -> None:
    table, dataset, model, mode, alignment, metric, value = cell
    rows = published.published_rows(table).set_index(["dataset", "model", "mode", "alignment", "metric"])
    assert rows.loc[(dataset, model, mode, alignment, metric), "value"] == pytest.approx(value, rel=1e-12)


def test_the_values_are_plausible() -> None:
    rows = published.published_rows()
    ranges = {"psnr": (12, 23), "ssim": (0, 1), "lpips": (0, 1), "rel": (0, 1), "delta": (0, 1), "rank": (1, 8)}
    for metric, (low, high) in ranges.items():
        assert rows.loc[rows["metric"] == metric, "value"].between(low, high).all(), metric
    better_if_higher = rows.groupby("metric")["higher_is_better"].unique().map(list).to_dict()
    assert {metric for metric, flags in better_if_higher.items() if flags == [True]} == {"psnr", "ssim", "delta"}


def test_the_tables_of_words() -> None:
    models = published.published_cards("models")
    assert list(models["name"]) == ["dust3r", "mast3r", "midas", "dinov2", "dino", "sam", "clip", "radio", "mae", "sd"]
    assert models.set_index("name").loc["radio", ["arch", "channels", "supervision", "domain", "data"]].tolist() == [
        "ViT-H/16",
        "1280",
        "Multi-teacher Distillation",
        "2D",
        "DataComp-1B",
    ]
    datasets = published.published_cards("datasets")
    assert set(published.published_rows("feat2gs_gta")["dataset"]) | {"dtu"} == set(datasets["name"])
    training = published.published_cards("training_data")
    assert len(training) == 21
    assert training["weight"].astype(float).sum() == pytest.approx(1, abs=21 * 0.0005)  # each weight is rounded to 0.1 %


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UserError, match="feat2gs_gta"):
        published.published_rows("feat2gs")
    with pytest.raises(UserError, match="training_data"):
        published.published_cards("moge_points")


@pytest.mark.parametrize("table", IN_THE_TEXT)
def test_the_transcription_against_the_seminar(table: str, shared_data: Path) -> None:
    """Every number of the table, in the order of the text."""
    lines = (shared_data.parent / "reference" / "seminar.md").read_text(encoding="utf-8").splitlines()
    numbers = []
    for heading, which, count in IN_THE_TEXT[table]:
        start = [index for index, line in enumerate(lines) if line.startswith(heading)][which]
        for cell in (cell for line in lines[start + 1 : start + count] for cell in line.split("\t")[1:]):
            if re.fullmatch(r"[\d.]+", text := re.sub(r"<[^>]+>", "", cell).strip()):
                numbers.append(float(text))
    rows = published.published_rows(table)
    printed = rows["value"].where(~rows["metric"].isin(["rel", "delta"]), rows["value"] * 100)
    as_read = rows["note"].str.extract(r"the text reads ([\d.]+)", expand=False).astype(float)
    assert as_read.fillna(printed).tolist() == pytest.approx(numbers, rel=1e-12)


# -------------------------------------------------------------------------------------------------------- recomputation


def _text(table: str) -> pd.DataFrame:
    return pd.read_csv(ROOT / "results" / "published" / f"{table}.csv", dtype=str, keep_default_na=False)


def _recomputed_by_hand() -> dict[tuple[str, str, str, str, str], Fraction]:
    """Averages and ranks by plain loops over fractions: it shares nothing with bench.results.reference.published."""
    found: dict[tuple[str, str, str, str, str], Fraction] = {}
    cells = defaultdict(list)
    for row in _text("feat2gs_gta").itertuples():
        cells[row.model, row.mode, row.metric].append(Fraction(row.value))
    for row in _text("feat2gs_vggt").itertuples():
        if row.dataset != "all":
            cells[row.model, row.mode, row.metric].append(Fraction(row.value))
    for table in ("feat2gs_variants", "feat2gs_instantsplat", "feat2gs_vggt"):
        for row in _text(table).itertuples():
            if row.dataset == "all" and (row.model, row.mode, row.metric) in cells:
                values = cells[row.model, row.mode, row.metric]
                assert len(values) == 6
                found[table, "-", row.model, row.mode, row.metric] = sum(values, Fraction()) / 6
    for table in ("moge_points", "moge_depth", "moge_fov"):
        columns = defaultdict(dict)
        for row in _text(table).itertuples():
            if row.dataset != "all":
                columns[row.alignment, row.dataset, row.metric][row.model] = Fraction(row.value)
        ranks, averaged = defaultdict(list), defaultdict(list)
        for (alignment, _, metric), values in columns.items():
            for model, value in values.items():
                averaged[table, alignment, model, "-", metric].append(value)
                better = sum(other > value if metric == "delta" else other < value for other in values.values())
                equal = sum(other == value for other in values.values())
                ranks[table, alignment, model, "-", "rank"].append(better + Fraction(equal + 1, 2))
        found |= {key: sum(values, Fraction()) / len(values) for key, values in {**averaged, **ranks}.items()}
    return found


def test_every_average_and_rank_recomputed_and_the_disagreements_are_the_listed_ones() -> None:
    table = published.recompute()
    by_hand = _recomputed_by_hand()
    keys = list(table[["table", "alignment", "model", "mode", "metric"]].itertuples(index=False, name=None))
    assert len(keys) == len(by_hand) == 150
    assert set(keys) == set(by_hand)
    for key, row in zip(keys, table.itertuples(), strict=True):
        assert row.recomputed == pytest.approx(float(by_hand[key]), rel=1e-12)
        assert row.difference == pytest.approx(float(Fraction(row.printed) - by_hand[key]), abs=1e-12)
        half = Fraction(1, 2 * 10 ** len(row.printed.partition(".")[2]))
        assert (row.explanation == "") == (abs(Fraction(row.printed) - by_hand[key]) <= half), key

    differing = table[table["explanation"] != ""].round(6).astype(str).reset_index(drop=True)
    pd.testing.assert_frame_equal(differing, published.disagreements().astype(str), check_dtype=False)
    assert "unexplained" not in set(table["explanation"])


def test_a_misread_digit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What settled readings rest on: one wrong digit makes an average or a rank disagree beyond any rounding."""
    read = published.shipped_table

    def misread(folder: str, name: str) -> pd.DataFrame:
        table = read(folder, name)
        if name == "moge_fov":
            table.loc[(table["model"] == "leres") & (table["metric"] == "rank"), "value"] = "5.53"
        if name == "moge_points":
            hit = (table["model"] == "moge") & (table["dataset"] == "eth3d") & (table["metric"] == "rel")
            table.loc[hit & (table["alignment"] == "local_points"), "value"] = "0.0821"
        return table

    monkeypatch.setattr(published, "shipped_table", misread)
    table = published.recompute()
    wrong = table[table["explanation"] == "unexplained"]
    assert set(wrong[["table", "model", "metric"]].itertuples(index=False, name=None)) >= {
        ("moge_fov", "leres", "rank"),
        ("moge_points", "moge", "rel"),
    }


def test_the_settled_reading_says_what_the_text_reads() -> None:
    rows = published.published_rows()
    settled = rows[rows["note"].str.startswith("settled")]
    assert settled[["model", "metric", "value", "note"]].values.tolist() == [
        ["leres", "rank", 5.33, "settled: the text reads 5.53"]
    ]


# ------------------------------------------------------------------------------------------------------------- packaging


def test_the_tables_travel_with_the_package(tmp_path: Path) -> None:
    """What `pip install` copies is enough to read them, away from the repository."""
    if not (ROOT / "setup.py").is_file():
        pytest.skip("not a checkout: there is nothing to build from")
    library = tmp_path / "lib"
    build = ["setup.py", "-q", "egg_info", "--egg-base", str(tmp_path), "build_py", "--build-lib", str(library)]
    subprocess.run([sys.executable, *build], cwd=ROOT, check=True, capture_output=True)
    code = (
        "import bench.results.reference.published as p; print(p.__file__, len(p.published_rows()), len(p.disagreements()))"
    )
    environment = {**os.environ, "PYTHONPATH": str(library), "PYTHONSAFEPATH": "1"}
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    ).stdout.split()
    assert Path(shown[0]) == library / "bench" / "results" / "reference" / "published.py"
    assert shown[1:] == ["1533", "16"]
