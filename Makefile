# emreel: `make demo` and `make test` do all the set-up by themselves. `make help` lists the rest.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TOOLS := $(VENV)/.tools
export MPLBACKEND := Agg

.PHONY: help demo test check format docs-check bench memory faults live slurm scaling dashboard score tracks methods phases in-time robustness plane-groups gallery audit clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "emreel needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(TOOLS): $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dev
	@touch $@

demo: $(READY)  ## synthetic movie -> result and picture in demo/
	$(BIN)/emreel demo -o demo

test: $(TOOLS)  ## every test
	$(BIN)/python -m pytest -q

check: $(TOOLS)  ## format, lint, types, import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_imports.py

format: $(TOOLS)  ## put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs-check: $(TOOLS)  ## doctests, notebooks executed, the documentation built into build/site
	$(BIN)/python -m pytest -q --doctest-modules src/emreel
	rm -rf build/docs build/site && mkdir -p build && cp -r docs build/docs && mkdir build/docs/more
	cp -r notebooks build/docs/notebooks
	cp CHANGELOG.md build/docs/more/changelog.md && cp CONTRIBUTING.md build/docs/more/contributing.md
	sed -i 's|\.\./CONTRIBUTING\.md|more/contributing.md|' build/docs/*.md
	env -u MPLBACKEND $(BIN)/python -m pytest -q --nbmake --overwrite build/docs/notebooks
	$(BIN)/sphinx-build -q -W --keep-going -b html build/docs build/site

bench: $(READY)  ## speed and memory against named peers -> benchmarks/latest.json
	$(BIN)/python benchmarks/run.py

memory: $(READY)  ## memory and scale: long movies, large frames
	$(BIN)/python -m benchmarks.memory

faults: $(TOOLS)  ## the table of faults: tries and failures a row (FULL=1: all counts)
	$(BIN)/python -m benchmarks.faults

live: $(READY)  ## latency and sustained rate of watching, against camera rates
	$(BIN)/python -m benchmarks.live

slurm: $(TOOLS)  ## a run through a real SLURM on this machine (root, slurm-wlm, munge) -> deploy/slurm/run.log
	deploy/slurm/check.sh

scaling: $(READY)  ## what grows with frames and workers -> benchmarks/scaling.json
	$(BIN)/python -m benchmarks.scaling

dashboard: $(TOOLS)  ## from a moved slider to the painted frame, in a headless Chromium
	$(BIN)/python -m benchmarks.dashboard

score: $(READY)  ## accuracy on the movies with truth (EMREEL_DATA)
	$(BIN)/python -m benchmarks.score

tracks: $(READY)  ## fronts, regions and twins against truth, given and generated movies
	$(BIN)/python -m benchmarks.tracks

methods: $(READY)  ## the same for every published method, one table (takes an hour)
	$(BIN)/python -m benchmarks.score --methods -o score/methods

phases: $(READY)  ## is the number of phases found? generated movies, and recordings of one phase
	$(BIN)/python -m benchmarks.phases

in-time: $(READY)  ## how still labels keep, how sure they are, whether a new phase is unknown; generated movies
	$(BIN)/python -m benchmarks.in_time

robustness: $(READY)  ## accuracy against dose, pixel size and drift -> docs/robustness.png
	$(BIN)/python -m benchmarks.robustness

plane-groups: $(READY)  ## which descriptor tells which plane groups apart
	$(BIN)/python -m benchmarks.plane_groups

gallery: $(READY)  ## real micrographs, segmented -> gallery/
	$(BIN)/python -m benchmarks.gallery

audit: $(READY)  ## pinned versions against the advisory database (needs the internet)
	$(PYTHON) -m venv build/audit && build/audit/bin/python -m pip install --quiet pip-audit
	build/audit/bin/pip-audit --strict --requirement constraints.txt --no-deps --disable-pip

clean:  ## remove what make made
	rm -rf $(VENV) demo gallery score build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
