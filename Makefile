# `make demo` ends in a report, `make test` in passing tests; both set everything up first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TESTED := $(VENV)/.ready-for-tests
SYSTEM_LIBRARY := libusb-1.0.so.0

.PHONY: demo embedded test fuzz faults lint setup setup-tests benchmarks sanitize clean

# Networks whose trained weights come in packages, each beside its untrained twin, and the controls; minutes on two cores.
TRAINED := aliked disk efficientnet-lite xfeat
CONTROLS := constant,random-vit,daisy,iuvrgb,oracle-xyz,oracle,oracle-noisy,plane,ground-plane
COMMA := ,
EMPTY :=
SPACE := $(EMPTY) $(EMPTY)
DEMO_MODELS := $(subst $(SPACE),$(COMMA),$(foreach name,$(TRAINED),$(name) $(name)@untrained)),$(CONTROLS)

demo: setup
	$(BIN)/bench run --models $(DEMO_MODELS) --modes G,T,instantsplat --out results/demo --report reports/demo

# What the README shows: the demo's rows, their report in Markdown, some pictures, a chart of published values; and what its
# cells took, for the first word on how long a run will take.
embedded: demo
	mkdir -p results/embedded && cp results/demo/rows.csv results/embedded
	$(BIN)/python -m bench.perf.costs results/demo results/reproduced/costs.csv
	rm -rf reports/embedded && $(BIN)/bench report results/embedded --out reports/embedded --format md
	rm -rf reports/embedded/tables reports/embedded/figures/*.svg reports/embedded/figures/*.pdf
	$(BIN)/python -m bench.report.figures.excerpt results/demo room reports/embedded/pictures
	$(BIN)/bench report published --out build/published --format md
	mkdir -p reports/published && cp build/published/figures/published-feat2gs-texture-geometry.png reports/published/texture-geometry.png

# Two tests at a time on two cores: the processes that they start have one thread each.
test: setup-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

# The readers on 2,000 damaged scenes, samples, photos and depth maps of each format (`make test` tries 50).
fuzz: setup-tests
	BENCH_FUZZ=2000 $(BIN)/pytest tests/registry/readers/test_fuzz_readers.py
	BENCH_FUZZ=2000 $(BIN)/pytest tests/machine/pictures/test_images.py tests/machine/pictures/test_depths.py tests/geometry/test_convert.py -k spoilt

# Every kind of misbehaving model and twenty kills of each kind of process, under one job and under two;
# SLURM tasks told to stop, and what runs them killed; a lost machine of Ray.
faults: setup-tests
	BENCH_FAULTS=1 BENCH_KILLS=20 $(BIN)/pytest tests/run/test_plugin_boundary.py tests/run/test_kills.py tests/run/engines tests/test_cli.py

lint: setup-tests
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

benchmarks: setup-tests
	for file in tests/benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

# The kernels' tests on kernels built with address and undefined-behaviour sanitizers, in a copy of the tree.
SANITIZED := build/sanitize
SANITIZERS := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
sanitize: setup-tests
	rm -rf $(SANITIZED) && mkdir -p $(SANITIZED)
	cp -r bench tests setup.py pyproject.toml README.md $(SANITIZED) && rm -f $(SANITIZED)/bench/native/*.so
	cd $(SANITIZED) && CFLAGS="$(SANITIZERS)" LDFLAGS="$(SANITIZERS)" $(abspath $(BIN))/python setup.py --quiet build_ext --inplace
	cd $(SANITIZED) && LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libstdc++.so)" ASAN_OPTIONS=detect_leaks=0 \
	  PYTHONPATH=. $(abspath $(BIN))/python -m pytest -p no:cacheprovider tests/splat tests/probe/test_readout.py tests/probe/test_pixel_layers.py tests/geometry/test_align*.py

# What the demo needs, and what the tests need besides. A virtual environment that is there is kept, and what it holds.
setup: $(READY)

setup-tests: $(TESTED)

DEMO_EXTRAS := small
TEST_EXTRAS := dev,hf,sd,small,view
SOURCES := pyproject.toml setup.py constraints.txt $(wildcard bench/native/*.cpp bench/native/*.hpp)

define install
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name it: make PYTHON=python3.12")'
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@# Without --no-compile, a third of the time goes into bytecode of modules that nobody imports.
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[$(1)]'
	@# Open3D loads libusb, which its wheel does not bring.
	@ldconfig -p 2>/dev/null | grep -q $(SYSTEM_LIBRARY) || $(BIN)/python -c 'import open3d' 2>/dev/null \
	  || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -qq -y libusb-1.0-0 >/dev/null; } \
	  || { echo 'Open3D needs the system library libusb-1.0. On Debian or Ubuntu: sudo apt-get install libusb-1.0-0; then make again.'; exit 1; }
	@touch $@
endef

$(READY): $(SOURCES)
	$(call install,$(DEMO_EXTRAS))

$(TESTED): $(SOURCES)
	$(call install,$(TEST_EXTRAS))
	@touch $(READY)

clean:
	rm -rf $(VENV) build *.egg-info bench/native/*.so
