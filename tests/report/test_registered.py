"""Cards read in a process of its own are those of the registered classes, and a report loads no PyTorch for them."""

from __future__ import annotations

import subprocess
import sys

from bench.report.say.registered import registered_dataset, registered_initialiser, registered_model

MODELS = ["constant", "iuvrgb", "dinov2:L@layer=18", "moge", "nobody"]
DATASETS = ["llff", "nowhere"]
INITIALISERS = ["vggt", "sparse", "-"]
SCRIPT = f"""
import sys
from bench.report.build import build_report
from bench.report.say.registered import read_cards, registered_dataset, registered_initialiser, registered_model
models, datasets, initialisers = {MODELS}, {DATASETS}, {INITIALISERS}
read_cards(models, datasets, initialisers)
print([registered_model(name) for name in models], [registered_dataset(name) for name in datasets])
print([registered_initialiser(name) for name in initialisers], "torch" in sys.modules)
"""


def test_what_another_process_says_is_what_the_classes_say() -> None:
    ended = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    models, datasets = [registered_model(name) for name in MODELS], [registered_dataset(name) for name in DATASETS]
    initialisers = [registered_initialiser(name) for name in INITIALISERS]
    assert ended.stdout == f"{models} {datasets}\n{initialisers} False\n"
    assert initialisers[0] is not None
    assert initialisers[2] is None
    assert models[1] is not None
    assert models[1].per_pixel
    assert models[4] is datasets[1] is None
