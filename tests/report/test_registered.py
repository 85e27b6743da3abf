"""Cards read in a process of its own are those of the registered classes, and a report loads no PyTorch for them."""

from __future__ import annotations

import subprocess
import sys

from bench.report.say.registered import registered_dataset, registered_model

MODELS = ["constant", "iuvrgb", "dinov2:L@layer=18", "moge", "nobody"]
DATASETS = ["llff", "nowhere"]
SCRIPT = f"""
import sys
from bench.report.build import build_report
from bench.report.say.registered import read_cards, registered_dataset, registered_model
models, datasets = {MODELS}, {DATASETS}
read_cards(models, datasets)
print([registered_model(name) for name in models], [registered_dataset(name) for name in datasets], "torch" in sys.modules)
"""


def test_what_another_process_says_is_what_the_classes_say() -> None:
    ended = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    models, datasets = [registered_model(name) for name in MODELS], [registered_dataset(name) for name in DATASETS]
    assert ended.stdout == f"{models} {datasets} False\n"
    assert models[1] is not None
    assert models[1].per_pixel
    assert models[4] is datasets[1] is None
