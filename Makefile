PYTHON ?= python3
BIN = .venv/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: quickstart test lint bench clean

# What is installed is remembered by the files that say what to install. The project itself is installed editable, so
# that .venv/bin/jaxlm runs the code as it stands.
.venv/installed: requirements.txt pyproject.toml setup.py
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) -r requirements.txt -e .
	touch $@

.venv/installed-dev: .venv/installed
	$(PIP) -e ".[dev]"
	touch $@

quickstart: .venv/installed
	$(BIN)/jaxlm train --experiment quickstart --workdir runs/quickstart

test: .venv/installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# mypy looks at the package as a wheel has it, data_pipelines and experiments inside jaxlm, by a folder of links.
lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf .venv/package && mkdir -p .venv/package/jaxlm
	cd .venv/package/jaxlm && ln -s ../../../jaxlm/* ../../../data_pipelines ../../../experiments .
	cd .venv/package && ../bin/mypy --config-file ../../pyproject.toml -p jaxlm

bench: .venv/installed
	$(BIN)/python -m benchmarks.models
	$(BIN)/python -m benchmarks.streaming

clean:
	rm -rf .venv build *.egg-info
