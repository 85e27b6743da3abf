"""Markdown, LaTeX and CSV against golden strings; LaTeX through pdflatex where it is installed."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bench.geometry.blocks import DEPTH_BLOCKS, POINT_BLOCKS
from bench.report.figures.gallery import PICTURED
from bench.report.page.render import latex_document, latex_escaped, to_csv, to_latex, to_markdown
from bench.report.tables.model import Entry, Heading, Line, Table

TABLE = Table(
    "small",
    "Small | table",
    "A caption with 5 % & more.",
    ((Heading("LLFF", 2), Heading("DTU")), (Heading("PSNR↑"), Heading("δᵖ↑"), Heading("PSNR↑"))),
    (
        Line("one*", (Entry("1.0", 1.0, "best"), Entry("2.0", 2.0, "second"), Entry("3.0", 3.0, "", "1 of 2 scenes"))),
        Line("two_x", (Entry("✗", note="it <broke>"), Entry(), Entry("4.0", 4.0)), ("random weights",)),
    ),
    "feature",
    ("quick protocol",),
)


def test_markdown_is_exactly_this() -> None:
    assert to_markdown(TABLE) == "\n".join(
        [
            r"**Small \| table** [quick protocol]",
            "",
            "| feature | LLFF PSNR↑ | LLFF δᵖ↑ | DTU PSNR↑ |",
            "|:--|--:|--:|--:|",
            r"| one\* | **1.0** | <u>2.0</u> | 3.0<sup>a</sup> |",
            r"| two\_x [random weights] | ✗<sup>b</sup> | – | 4.0 |",
            "",
            "A caption with 5 % & more.",
            "",
            "<sup>a</sup> 1 of 2 scenes; <sup>b</sup> it &lt;broke&gt;",
            "",
        ]
    )


def test_markdown_does_not_repeat_the_heading_above_but_keeps_the_marks() -> None:
    assert to_markdown(TABLE, "Small | table").splitlines()[:2] == ["[quick protocol]", ""]
    assert to_markdown(replace(TABLE, marks=()), "Small | table").startswith("| feature |")
    assert to_markdown(TABLE, "Another") == to_markdown(TABLE)


def test_blocks_have_a_line_of_their_own_in_markdown() -> None:
    lines = (Line("a", (Entry("1"),), (), "first"), Line("b", (Entry("2"),), (), "second"))
    text = to_markdown(Table("t", "T", "", ((Heading("x"),),), lines, "m"))
    assert "| **first** | |\n| a | 1 |\n| **second** | |\n| b | 2 |" in text


def test_latex_is_booktabs_with_escaped_text() -> None:
    text = to_latex(TABLE)
    assert r"\caption{Small \textbar{} table [quick protocol]. A caption with 5 \% \& more.}" in text
    assert r" & \multicolumn{2}{c}{LLFF} & DTU \\" in text
    assert r"\cmidrule(lr){2-3}\cmidrule(lr){4-4}" in text
    assert r"feature & PSNR$\uparrow$ & $\delta$$^{p}$$\uparrow$ & PSNR$\uparrow$ \\" in text
    assert r"one* & \textbf{1.0} & \underline{2.0} & 3.0\textsuperscript{a} \\" in text
    assert r"two\_x [random weights] & $\times$\textsuperscript{b} & -- & 4.0 \\" in text
    assert r"\textsuperscript{b} it \textless{}broke\textgreater{}" in text
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert text.count(rule) == 1


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("50 % of C:\\x_y", r"50 \% of C:\textbackslash{}x\_y"),
        ("{a}^#$&~", r"\{a\}\textasciicircum{}\#\$\&\textasciitilde{}"),
        ("naïve 東", "naive ?"),
        ("two\nlines", "two lines"),
    ],
)
def test_latex_escapes_whatever_an_error_message_may_hold(text: str, escaped: str) -> None:
    assert latex_escaped(text) == escaped


def test_csv_reads_back_with_marks_and_notes() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(TABLE))))
    assert rows[0]["LLFF PSNR↑"] == "1.0"
    assert rows[0]["notes"] == "DTU PSNR↑: 1 of 2 scenes"
    assert rows[1]["marks"] == "random weights; quick protocol"
    assert rows[1]["LLFF δᵖ↑"] == "–"


def compiled(source: str, folder: Path) -> str:
    """Run pdflatex and return its log; fails the test where it fails."""
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed (Debian: texlive-latex-base texlive-latex-recommended)")
    (folder / "tables.tex").write_text(source, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"],
        cwd=folder,
        capture_output=True,
        timeout=120,
    )
    log = done.stdout.decode(errors="replace")
    assert done.returncode == 0, log[-2000:]
    return log


def test_latex_compiles(tmp_path: Path) -> None:
    hostile = Line("".join(map(chr, range(32, 127))), (Entry("naïve 東 …"), Entry("± − Δ"), Entry("δᵈ")))
    table = Table("hostile", "Hostile", "", TABLE.header, (*TABLE.lines, hostile), "corner")
    log = compiled(latex_document([TABLE, table]), tmp_path)
    assert "Undefined control sequence" not in log


def test_galleries_name_the_alignment_that_pictures_show() -> None:
    assert [block.name for block in (*POINT_BLOCKS, *DEPTH_BLOCKS)] == list(PICTURED)
