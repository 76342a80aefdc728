# make demo    the whole job on the shipped shot: a contact sheet in demo_output/ (no torch needed)
# make test    the tests
# make check   format, lint, types, architecture, tests: what a change must pass
# make docs    the documentation as a site, in site/: nothing is fetched when it is built or read
# make bench   speed, as ratios measured in one run, and their page in bench/speed.md (WHAT="blend swap")
# make sbom    what is installed with vfxswap, as CycloneDX in sbom.cdx.json and as docs/dependencies.md
# make audit   the pinned dependencies against the advisories that PyPI publishes (needs its JSON interface)
# make clean   forget the environment and every cache
#
# Each sets up .venv by itself, pinned by constraints.txt. PYTHON=python3.12 chooses the interpreter.

SHELL := /bin/bash
VENV := .venv
AUDIT := .venv-audit
BIN := $(VENV)/bin
WHAT ?= blend swap
PYTEST_ARGS ?= -n auto --dist worksteal

# The first interpreter that really runs, is in range and can make environments. Names that only exist are not enough:
# version managers leave launchers on the path that fail.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
	>/dev/null 2>&1 && echo "$$python" && break; done)

.DEFAULT_GOAL := help
.PHONY: help demo test check lint docs bench sbom audit clean

help:
	@sed -n 's/^# make/make/p' Makefile

demo: $(VENV)/.base
	$(BIN)/vfxswap demo --output demo_output

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# The tests come last, so that their summary is the last line.
check: lint
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "site/index.html; with search: $(BIN)/python -m http.server --directory site"

bench: $(VENV)/.dev
	@mkdir -p bench
	@set -e; for what in $(WHAT); do $(BIN)/vfxswap bench $$what --json bench/$$what.json; done
	@$(BIN)/python tools/speed_page.py bench --output bench/speed.md && echo bench/speed.md

# The environment described holds what a user gets, and not even pip.
sbom: $(AUDIT)/.tools
	$(PYTHON) -m venv --clear --without-pip $(AUDIT)/shipped
	$(AUDIT)/bin/python -m pip --python $(AUDIT)/shipped/bin/python install --quiet -c constraints.txt \
		"$$(grep '^torch==' constraints.txt)" '.[train,c2pa,otio,farm,review]'
	$(AUDIT)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --of JSON \
		-o $(AUDIT)/sbom.json $(AUDIT)/shipped/bin/python
	$(AUDIT)/bin/python tools/sbom.py $(AUDIT)/sbom.json $(AUDIT)/shipped/lib/python3.*/site-packages

audit: $(AUDIT)/.tools
	$(AUDIT)/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip

clean:
	rm -rf $(VENV) $(AUDIT) build dist site bench demo_output .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/.pip:
	@[ -n "$(PYTHON)" ] || { echo "vfxswap needs Python 3.11, 3.12 or 3.13; name one with PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.base: $(VENV)/.pip pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	@touch $@

# torch first and by its exact version: then nothing that follows can ask for another build of it.
$(VENV)/.dev: $(VENV)/.pip pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[train]' --group dev --group docs
	@touch $@ $(VENV)/.base $(VENV)/.docs

$(AUDIT)/.tools: pyproject.toml
	$(PYTHON) -m venv --clear $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(AUDIT)/bin/python -m pip install --quiet --group audit
	@touch $@

$(VENV)/.docs: $(VENV)/.base
	$(BIN)/python -m pip install --quiet -c constraints.txt --group docs
	@touch $@
