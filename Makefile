# demo, test, test-kernels, fuzz, check, docs, bench, clean: the only commands to remember. They need Python 3.11 or later and its venv
# module.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: demo test test-kernels fuzz check docs bench clean

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip

# The base package, as a user gets it: no torch
demo: $(BIN)/pip
	$(BIN)/pip install --quiet .
	$(BIN)/python bench/demo.py tests/photos/astronaut.webp demo

$(VENV)/test-ready: pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet -e '.[test]'
	touch $@

test: $(VENV)/test-ready
	$(BIN)/python -m pytest -q -n auto --dist worksteal

# The tests of fits once more, with the instructions of an older processor and in one thread: tests/kernels.py
test-kernels: $(VENV)/test-ready
	$(BIN)/python -m tests.kernels

# Mutated files, and files of features drawn at random, at every entry point, from a new seed each time: make fuzz SECONDS=3600. What is
# found is kept in hostile/
SECONDS_OF_FUZZING = $(or $(SECONDS),600)
fuzz: $(VENV)/test-ready
	$(BIN)/python -m tests.fuzz hostile --only mutations written --seconds $(SECONDS_OF_FUZZING) --first $$(date +%s)000 --dry-run

check: $(VENV)/test-ready
	$(BIN)/pip install --quiet '.[check]'
	$(BIN)/pip install --quiet -e . --no-deps
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	rm -rf dist && $(BIN)/python -m hatchling build && $(BIN)/twine check --strict dist/*
	$(MAKE) docs
	$(BIN)/python tests/licences.py
	$(BIN)/python tests/audit.py

# The site, in docs/_build: open index.html, nothing is loaded from elsewhere
docs: $(VENV)/test-ready
	$(BIN)/pip install --quiet '.[docs]'
	$(BIN)/pip install --quiet -e . --no-deps
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build

# Every published table but those of fitted networks, which take hours; needs the image sets (--data), see bench/README.md
bench: $(VENV)/test-ready
	for table in dsn-3 dsn-4 dsn-5 dsn-9 ppcn-1; do $(BIN)/python -m bench table $$table || exit 1; done
	for study in quality twins memory 'memory --huge 10000' batch speed restored never-worse sets; do $(BIN)/python -m bench $$study || exit 1; done
	$(BIN)/python -m tests.fuzz interrupted

clean:
	rm -rf $(VENV) demo dist build docs/_build
