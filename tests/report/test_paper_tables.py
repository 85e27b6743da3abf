"""The published rows give the papers' tables: layout, digits and emphasis, as the papers print them (transcript)."""

from __future__ import annotations

import pytest

from bench.report.page.render import latex_document
from bench.report.say.means import table_means
from bench.report.tables import papers as paper_tables
from bench.report.tables.model import Table
from bench.results.reference.published import published_rows

METRICS_2D, METRICS_3D = ("psnr", "ssim", "lpips"), ("accuracy", "completeness", "distance")
#: Printed rows of MoGe's point and field-of-view tables; *best*, _second_, as printed.
POINTS = {
    ("Scale-invariant point map", "UniDepth"): "_5.33_ *98.4* _5.96_ *98.5* 18.5 77.6 _5.29_ *97.4* 6.58 _99.6_ _33.0_ 48.9 "
    "*11.4* _90.2_ _12.3_ _91.0_ _12.3_ _87.7_ _2.09_",
    (
        "Scale-invariant point map",
        "MoGe",
    ): "*4.86* *98.4* *5.47* _97.4_ *4.58* *98.9* *4.63* _97.1_ *2.58* *100* *22.3* *69.5* "
    "_12.3_ *90.3* *6.58* *94.5* *7.91* *93.3* *1.22*",
    (
        "Affine-invariant point map",
        "DUSt3R",
    ): "4.45 97.4 12.7 83.3 _7.27_ _95.0_ 5.04 96.0 3.07 99.6 30.3 56.6 19.7 71.2 8.97 88.7 11.4 86.0 2.94",
    ("Local point map", "LeReS"): "– – – – 9.32 91.9 8.57 93.2 – – 13.3 84.8 10.7 88.9 11.6 88.2 10.7 89.4 3.80",
    (
        "Local point map",
        "DUSt3R",
    ): "– – – – _6.05_ _94.8_ _5.44_ 95.9 – – _11.8_ _87.0_ 9.24 90.8 _7.32_ _93.1_ _7.97_ _92.3_ _2.30_",
}
DEPTH = {
    (
        "Scale-invariant depth map",
        "LeReS",
    ): "12.1 82.6 19.2 64.8 14.2 78.4 14.0 78.8 13.6 77.9 30.5 52.1 26.5 52.0 18.2 69.6 18.5 69.5 7.31",
    (
        "Affine-invariant disparity map",
        "MoGe",
    ): "*3.38* *98.6* *4.05* *98.1* *3.11* *98.9* *3.23* _98.0_ *0.96* *100* *18.4* "
    "*79.5* *8.99* *91.5* *3.98* *97.2* *5.76* *95.2* *1.06*",
}
FIELD_OF_VIEW = {
    ("", "DUSt3R"): "*2.57* *1.86* _5.77_ _3.60_ _3.83_ _2.53_ _4.06_ _2.66_ _1.67_",
    ("", "UniDepth"): "7.56 4.31 10.7 9.96 11.9 5.96 10.1 6.74 4.50",
}
ABLATION = {
    ("Global loss only", "Affine-inv. depth"): "29.9 51.4 29.0 52.7 12.2 86.0 28.9 52.7 *6.18* *93.9* 15.9 76.6",
}


def means(table: str) -> object:
    return table_means(published_rows(table))


def shown(table: Table) -> dict[tuple[str, str], str]:
    """Each line as text: *best*, _second_."""
    signs = {"best": "*", "second": "_", "": ""}
    return {
        (line.group, line.label): " ".join(f"{signs[e.emphasis]}{e.text}{signs[e.emphasis]}" for e in line.entries)
        for line in table.lines
    }


def every_table() -> list[Table]:
    return [
        *paper_tables.gta_tables(means("feat2gs_gta"), METRICS_2D),
        *paper_tables.cloud_tables(means("feat2gs_dtu"), METRICS_2D, METRICS_3D),
        paper_tables.variants_table(means("feat2gs_variants"), METRICS_2D),
        paper_tables.instantsplat_table(means("feat2gs_instantsplat"), METRICS_2D),
        paper_tables.points_table(means("moge_points")),
        paper_tables.depth_table(means("moge_depth")),
        paper_tables.field_of_view_table(means("moge_fov")),
        paper_tables.summary_table(means("moge_ablation"), name="ablation", title="Ablation"),
        paper_tables.models_table(list(published_rows("feat2gs_gta")["model"].unique()), "probe"),
        paper_tables.datasets_table(),
        paper_tables.training_data_table(),
    ]


def test_the_probe_table_has_the_papers_layout() -> None:
    first, second = paper_tables.gta_tables(means("feat2gs_gta"), METRICS_2D)
    assert [heading.text for heading in first.header[0]] == ["LLFF", "DL3DV", "Casual"]
    assert [heading.text for heading in second.header[0]] == ["MipNeRF 360", "MVImgNet", "Tanks and Temples"]
    assert [(heading.text, heading.span) for heading in first.header[1][:3]] == [("Geometry", 3), ("Texture", 3), ("All", 3)]
    assert [heading.text for heading in first.header[2][:3]] == ["PSNR↑", "SSIM↑", "LPIPS↓"]
    labels = ["DUSt3R", "MASt3R", "MiDaS", "DINOv2", "DINO", "SAM", "CLIP", "RADIO", "MAE", "SD", "IUVRGB"]
    assert [line.label for line in first.lines] == [line.label for line in second.lines] == labels
    assert [entry.text for entry in first.lines[-1].entries[:9]] == (
        ["15.55", ".5765", ".3986", "19.75", ".7303", ".2262", "15.38", ".6175", ".4308"]
    )


def test_the_dtu_table_is_the_papers() -> None:
    (table,) = paper_tables.cloud_tables(means("feat2gs_dtu"), METRICS_2D, METRICS_3D)
    assert [(heading.text, heading.span) for heading in table.header[0]] == [("2D metrics", 3), ("3D metrics", 3)]
    assert shown(table)["", "RADIO"] == "*21.78* *.7871* *.2042* *1.886* 1.326 *5.431*"
    assert shown(table)["", "IUVRGB"] == "16.09 .6825 .3134 13.015 16.957 46.671"
    assert "millimetre" in table.caption


def test_upsampled_and_fine_tuned_rows_follow_their_feature() -> None:
    table = paper_tables.variants_table(means("feat2gs_variants"), METRICS_2D)
    assert [line.label for line in table.lines] == [
        f"{name}{variant}" for name in ("DINOv2", "DINO", "CLIP") for variant in ("", "+", "*")
    ]
    assert shown(table)["", "DINO*"] == "_19.74_ *.6557* *.2918* 18.09 .5949 _.3235_ _19.69_ *.6630* *.3154*"


def test_instantsplat_is_the_first_row_and_bold_is_where_the_paper_has_it() -> None:
    table = paper_tables.instantsplat_table(means("feat2gs_instantsplat"), METRICS_2D)
    best = {line.label: [e.text for e in line.entries if e.emphasis == "best"] for line in table.lines}
    assert next(iter(best)) == "InstantSplat"
    assert {label: texts for label, texts in best.items() if texts} == {
        "Feat2GS w/ all ten joined": ["19.80"],
        "Feat2GS w/ DUSt3R*": [".6561", ".2928"],
    }


@pytest.mark.parametrize(
    ("table", "golden"),
    [
        (paper_tables.points_table(means("moge_points")), POINTS),
        (paper_tables.depth_table(means("moge_depth")), DEPTH),
        (paper_tables.field_of_view_table(means("moge_fov")), FIELD_OF_VIEW),
        (paper_tables.summary_table(means("moge_ablation")), ABLATION),
    ],
    ids=["points", "depth", "fov", "ablation"],
)
def test_moges_tables_are_printed_and_emphasised_as_in_the_paper(table: Table, golden: dict[tuple[str, str], str]) -> None:
    lines = shown(table)
    assert {place: lines[place] for place in golden} == golden


def test_what_the_paper_does_not_rank_is_said_and_takes_no_emphasis() -> None:
    table = paper_tables.depth_table(means("moge_depth"))
    line = next(line for line in table.lines if line.label == "Metric3D V2")
    unranked = [entry for entry in line.entries if "not ranked in the paper" in entry.note]
    assert [entry.text for entry in unranked] == ["7.41", "94.6", "6.33", "94.3"]
    assert not any(entry.emphasis for entry in unranked)


def test_an_average_or_rank_that_lacks_a_data_set_is_not_formed() -> None:
    rows = published_rows("moge_points")
    measured = rows[(rows["dataset"] != "all") & ~((rows["model"] == "moge") & (rows["dataset"] == "gso"))]
    table = paper_tables.points_table(table_means(measured.assign(protocol="moge-v1", seed=0)))
    moge = next(line for line in table.lines if line.label == "MoGe")
    assert [entry.text for entry in moge.entries[-3:]] == ["–"] * 3
    lacking = "7 of 8 data sets complete (gso: missing)"
    assert [entry.note for entry in moge.entries[-3:]] == [lacking, lacking, "14 of 16 values complete (lacks gso)"]


def test_measured_averages_and_ranks_agree_with_the_printed_ones() -> None:
    rows = published_rows("moge_points")
    own = paper_tables.points_table(table_means(rows[rows["dataset"] != "all"].assign(protocol="moge-v1", seed=0)))
    printed = paper_tables.points_table(means("moge_points"))
    for ours, theirs in zip(own.lines, printed.lines, strict=True):
        for entry, published in zip(ours.entries[-3:], theirs.entries[-3:], strict=True):
            assert entry.value == pytest.approx(published.value, abs=0.0051)


def test_latex_of_every_published_table_compiles(tmp_path_factory: pytest.TempPathFactory) -> None:
    from test_render import compiled

    tables = every_table()
    log = compiled(latex_document(tables), tmp_path_factory.mktemp("latex"))
    assert len(tables) == 12
    assert "Overfull" not in log
