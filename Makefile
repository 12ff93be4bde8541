PYTHON ?= python3
BIN = .venv/bin

.PHONY: quickstart test lint bench clean

# What is installed is remembered by the requirements it was installed from.
.venv/installed: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

quickstart: .venv/installed
	$(BIN)/python -m jaxlm.train --experiment quickstart --workdir runs/quickstart

test: .venv/installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: .venv/installed
	$(BIN)/python -m benchmarks.models
	$(BIN)/python -m benchmarks.streaming

clean:
	rm -rf .venv
