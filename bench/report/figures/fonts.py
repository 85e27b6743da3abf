"""The report's font: DejaVu Sans cut down to the scripts and signs that figures use.

Every PDF embeds the part of a font that it shows. Cutting that part out of the whole of DejaVu Sans costs more than drawing
the figure; out of a font that was cut once it costs next to nothing.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

FAMILY = "DejaVu Sans Report"
#: Latin, Greek, punctuation, super- and subscripts, arrows, mathematics.
_RANGES = ((0x20, 0x17F), (0x391, 0x3C9), (0x2010, 0x209F), (0x2190, 0x2193), (0x2200, 0x2265))


@functools.cache
def add_font() -> tempfile.TemporaryDirectory[str]:
    """Make FAMILY known to Matplotlib, once a process. Its file lies in the returned folder, which goes with the process."""
    from fontTools import subset
    from matplotlib import font_manager

    folder = tempfile.TemporaryDirectory(prefix="vfm3d-bench-font-")
    path = Path(folder.name) / "report.ttf"
    options = subset.Options(legacy_kern=True)
    options.drop_tables += ["GSUB", "GPOS", "GDEF", "FFTM", "PfEd"]
    with subset.load_font(font_manager.findfont("DejaVu Sans"), options) as font:
        cut = subset.Subsetter(options)
        cut.populate(unicodes=[code for first, last in _RANGES for code in range(first, last + 1)])
        cut.subset(font)
        for record in font["name"].names:
            if record.nameID in (1, 16):  # the family's name
                record.string = FAMILY
        font.save(path)
    font_manager.fontManager.addfont(path)
    return folder
