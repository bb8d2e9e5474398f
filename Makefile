# CatFish: `make run` starts the app, `make test` runs every test. Both set themselves up the first time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8501
# Of `make lab`: where it listens, and under which names it is reached (with commas between them).
ADDRESS ?= 127.0.0.1
HOSTS ?=
comma := ,
# Of `make test`: how many files of tests run at a time. Browsers come after them, one by one: they keep people's time.
WORKERS ?= 2

.PHONY: run lab test test-all faults lint types check audit bench bench-scale bench-sessions clean help

help:  ## what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

run: $(VENV)/.installed  ## start the app on http://127.0.0.1:8501 (PORT=… for another)
	@$(BIN)/python -m catfish_core check --quiet --port $(PORT)
	@echo "CatFish is starting on http://127.0.0.1:$(PORT) – Ctrl-C ends it, trainings go on."
	@$(BIN)/python -m streamlit run app.py --server.address 127.0.0.1 --server.port $(PORT)

lab: export CATFISH_LAB = 1
lab: $(VENV)/.installed  ## start it for several people who sign in (PORT=…, ADDRESS=…, HOSTS=lab.example.org; docs/lab.md)
	@$(BIN)/python -m catfish_core check --quiet --port $(PORT) --address $(ADDRESS)
	@echo "CatFish is starting for a lab on http://$(firstword $(subst $(comma), ,$(HOSTS)) $(ADDRESS)):$(PORT) – Ctrl-C ends it, trainings go on."
	@$(BIN)/python -m streamlit run app.py --server.address $(ADDRESS) --server.port $(PORT) \
		--server.allowedHosts "localhost,127.0.0.1,$(ADDRESS)$(addprefix $(comma),$(HOSTS))"

test: $(VENV)/.installed-dev  ## the whole test suite but the slow lane
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow and not browser" -n $(WORKERS) --dist loadfile
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow and browser"

test-all: $(VENV)/.installed-dev  ## the slow lane too: minutes of training on the real photos
	$(BIN)/python -m pytest

faults: $(VENV)/.installed-dev  ## interrupt trainings 200 times in every way there is (15 minutes; JSON=1, ARGS="--seed 7")
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults $(if $(JSON),--json) $(ARGS)

lint: $(VENV)/.installed-dev  ## formatting and lint
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .

types: $(VENV)/.installed-dev  ## static types
	$(BIN)/python -m mypy

check: lint types test  ## all that must pass before a commit

audit: $(VENV)/.installed-dev  ## known security holes in what is installed (asks pypi.org)
	@if $(BIN)/python -c 'import json; from urllib.request import urlopen; \
		json.load(urlopen("https://pypi.org/pypi/pip/23.0/json", timeout=10))["vulnerabilities"]' 2>/dev/null; \
	then $(BIN)/python -m pip_audit --local; \
	else echo "Skipped: the list of known security holes is at pypi.org, which cannot be reached from here."; fi

bench: $(VENV)/.installed  ## how fast the engine is, beside the course's loop and the bare limit (minutes; ARGS="--quick")
	$(BIN)/python -m benchmarks $(ARGS)

bench-scale: $(VENV)/.installed  ## what 1,000, 10,000 and 100,000 photos cost (minutes; ARGS="--sizes 1000 10000")
	$(BIN)/python -m benchmarks.scale $(ARGS)

bench-sessions: $(VENV)/.installed  ## 20 browsers on a live run: how late they are told, what the server does (12 minutes; ARGS="--minutes 2")
	$(BIN)/python -m benchmarks.sessions $(ARGS)

clean:  ## remove the virtual environment and all caches (never the workspace)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "CatFish needs Python 3.10 or newer; try make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "No virtual environment could be made; on Debian: apt install python3-venv"; exit 1; }

$(VENV)/.installed: requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -r requirements-dev.txt
	@touch $@
