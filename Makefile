# Two commands on a fresh machine: `make demo` and `make test`. Nothing but Python 3.11+ is needed:
# without Node.js the install takes it from PyPI to build the report's pages.
PYTHON ?= python3
BIN := .venv/bin
unexport PYTHONDONTWRITEBYTECODE  # commands start in two thirds of the time when they are compiled once

.PHONY: demo test test-all check pages screenshots format bench fuzz clean

demo: .venv/.installed
	$(BIN)/tiler 'exporter=[csv,images,overview]' mask.remove_pen=true report=html out=outputs/demo

test: .venv/.test  # for each change: all but the slow tests
	$(BIN)/python -m pytest -n auto --dist worksteal -m 'not slow and not slurm' --hypothesis-profile=quick

test-all: .venv/.test  # all but the tests on a Slurm cluster
	$(BIN)/python -m pytest -n auto --dist worksteal

check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python pages/build.py check

pages:  # build the report's pages after a change in pages/
	$(PYTHON) pages/build.py

screenshots: .venv/.test  # the report's pictures of the documentation
	TILER_SCREENSHOTS=docs/images $(BIN)/python -m pytest tests/test_report_docs.py

format: .venv/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.installed
	$(BIN)/python benchmarks/run.py

SECONDS ?= 600
fuzz: .venv/.test  # damaged files at random, as long as one likes: make fuzz SECONDS=3600
	$(BIN)/python tests/fuzzing.py --seconds $(SECONDS)

clean:
	rm -rf .venv outputs multirun build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis pages/node_modules tiler/report/assets

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.installed: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/.test: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch .venv/.installed $@

.venv/.dev: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[test,dev]'
	touch .venv/.installed .venv/.test $@
