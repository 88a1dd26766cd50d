# On a machine without a GPU this pins the CPU build; with one: make TORCH=torch
TORCH ?= torch==2.13.0
PYTHON ?= python3
BIN := .venv/bin
DEMO_EVALUATIONS ?= 80
# Processes that run tests, each a file at a time, so that what a file builds once is built once.
WORKERS ?= 2
DEMO := sqlite:///demo/shapes.db

.PHONY: demo test test-optional test-references test-diffusers test-lowest fuzz audit lint format docs docs-serve venv clean

venv: .venv/installed

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet "$(TORCH)"
	$(BIN)/pip install --quiet --editable ".[dev]"
	touch $@

demo: venv
	mkdir -p demo
	$(BIN)/ecad-automl search --model shapes --storage $(DEMO) --evaluations $(DEMO_EVALUATIONS)
	$(BIN)/ecad-automl front --storage $(DEMO)
	$(BIN)/ecad-automl export --storage $(DEMO) --front --out demo/schedules
	for speedup in 2 3 5; do \
	  $(BIN)/ecad-automl export --storage $(DEMO) --speedup $$speedup --out demo/chosen/$$speedup || exit; done
	$(BIN)/ecad-automl plot --storage $(DEMO) --out demo/plots
	$(BIN)/ecad-automl describe demo/chosen/2/*.json --png demo/plots/schedule-2x.png
	$(BIN)/ecad-automl generate demo/chosen/*/*.json --out demo/images
	$(BIN)/ecad-automl report --storage $(DEMO) --images 6 --out demo/report.html
	@echo
	@echo "Front:         demo/plots/shapes-front.png"
	@echo "Hypervolume:   demo/plots/shapes-hypervolume.png"
	@echo "Schedule:      demo/plots/schedule-2x.png"
	@echo "Side by side:  demo/images/side-by-side.png"
	@echo "Schedules:     demo/schedules/"
	@echo "Dashboard:     $(BIN)/ecad-automl dashboard --storage $(DEMO)"
	@echo "All of it:     demo/report.html, to open in a browser"

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One thread each: workers that share cores with each other's threads crawl.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile --durations=25

# Scores beside those of the packages that published them, which cannot be installed beside ours.
test-references: venv
	$(BIN)/python -m tests.references.prepare
	OMP_NUM_THREADS=1 $(BIN)/pytest tests/references/test_image_reward.py
	OMP_NUM_THREADS=1 PYTHONPATH=.references/torchvision $(BIN)/pytest tests/references/test_metrics_references.py
	OMP_NUM_THREADS=1 PYTHONPATH=.references/hpsv2 $(BIN)/pytest tests/references/test_hpsv2_reference.py

# A schedule beside packages that are no dependencies, which come into folders of their own. The ComfyUI node needs a
# clone of ComfyUI: make test-optional COMFYUI=path
COMFYUI ?=
test-optional: venv
	$(BIN)/python -m tests.references.install optional engines
	OMP_NUM_THREADS=1 PYTHONPATH=.references/optional $(BIN)/pytest -n $(WORKERS) --dist loadfile \
	  tests/runtime/combinations tests/latency/test_rivals.py -k "torchao or bitsandbytes or cache_dit"
	OMP_NUM_THREADS=1 PYTHONPATH=.references/optional:.references/engines $(if $(COMFYUI),COMFYUI=$(COMFYUI)) \
	  $(BIN)/pytest tests/engines

# diffusers' own pipeline tests, without and under a schedule that computes everything. The wheel has no tests, so it
# takes a checkout of the version that is installed: make test-diffusers DIFFUSERS_SOURCE=path; on the lowest versions with
# DIFFUSERS_PYTHON=.lowest/bin/python
DIFFUSERS_SOURCE ?=
DIFFUSERS_PYTHON ?= $(BIN)/python
test-diffusers: venv
ifeq ($(DIFFUSERS_SOURCE),)
	@echo "Skipped: the tests are in diffusers' sources alone; name a checkout: make $@ DIFFUSERS_SOURCE=path"
else
	$(BIN)/python -m tests.references.install diffusers
	OMP_NUM_THREADS=1 PYTHONPATH=.references/diffusers $(DIFFUSERS_PYTHON) -m benchmarks.system.diffusers_tests \
	  $(DIFFUSERS_SOURCE)
endif

# The tests on the lowest versions that pyproject.toml allows, in an environment of its own, once before each release; a
# run that was broken off goes on with the folders that are left. On Linux the torch of PyPI brings CUDA's libraries, 5 GB;
# docs/dependencies.md says what came out last.
LOWEST := .lowest/bin
LOWEST_PYTHON ?= python3.11
test-lowest: .lowest/installed
	$(LOWEST)/python -m benchmarks.system.lowest_versions

.lowest/installed: pyproject.toml scripts/lowest.py
	$(LOWEST_PYTHON) -m venv .lowest
	$(LOWEST)/python scripts/lowest.py > .lowest/requirements.txt
	$(LOWEST)/pip install --quiet --requirement .lowest/requirements.txt
	$(LOWEST)/pip install --quiet --no-deps --editable .
	touch $@

# Pages come from docs/; a broken link or anchor is an error.
docs: venv
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: venv
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

# Every parser for so many seconds, guided by coverage; the figures go to benchmarks/results/fuzz.md.
FUZZ_SECONDS ?= 20
fuzz: venv
	$(BIN)/pip install --quiet --editable ".[fuzz]"
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.system.fuzz --seconds $(FUZZ_SECONDS)

# What is installed as a CycloneDX document, sbom.json, and what is known of its vulnerabilities.
AUDIT := .audit/bin
audit: venv .audit/installed
	$(AUDIT)/cyclonedx-py environment --output-reproducible --output-file sbom.json $(BIN)/python
	$(AUDIT)/python scripts/audit.py $(BIN)/python

.audit/installed:
	$(PYTHON) -m venv .audit
	$(AUDIT)/pip install --quiet "pip-audit>=2.10" "cyclonedx-bom>=7.5"
	touch $@

clean:
	rm -rf .venv .audit .lowest sbom.json .references demo site
