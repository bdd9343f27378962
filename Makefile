# Every command a person needs; `make` alone lists them. Containers: containers.mk.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
    $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
READY := $(VENV)/.installed
VAR ?= var

.DEFAULT_GOAL := help
.PHONY: help run user keys test check unit lint format types clean needs-python

help: ## this list
	@echo "WeApRous: a web tier behind a proxy, a peer tracker and a peer-to-peer chat."
	@echo
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: needs-python ## the whole stack as local processes; ARGS="--peers 5 --port-offset 100", --help for more
	@exec $(PYTHON) -m services --var-dir $(VAR) $(ARGS)

user: needs-python ## a login for `make run`: NAME=an PEERS=p1,p2 (asks for the password; again to change it)
	@test -n "$(NAME)" || { echo "user: NAME= is missing: make user NAME=an PEERS=p1,p2" >&2; exit 1; }
	@$(PYTHON) -m shared.runtime.users_file --users-file $(VAR)/users.json add "$(NAME)" \
	    $(if $(PEERS),--peers "$(PEERS)") $$([ -t 0 ] || echo --password-stdin)

keys: needs-python ## make the keys that are missing in var/keys (`make run` does it, too)
	@$(PYTHON) -m shared.runtime.keys --keys-dir $(VAR)/keys

include containers.mk
include conformance.mk
include bench.mk
include certs.mk

test: lint types $(READY) ## set up, then lint, types and every test that this machine can run; REQUIRE=docker,browser
	$(VENV)/bin/pytest -rs $(ARGS)

check: test ## the same

unit: $(READY) ## only the fast tests: no stack, no containers, no browser
	$(VENV)/bin/pytest -m "not stack and not docker and not browser" $(ARGS)

lint: $(READY) ## ruff: mistakes and formatting
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

format: $(READY) ## ruff: format, and mend what it can
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

types: $(READY) ## mypy --strict
	$(VENV)/bin/mypy

clean: ## remove the virtual environment and caches; messages, users and keys in var/ stay
	rm -rf $(VENV) .venv-autobahn .venv-fuzz .venv-bench .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A virtual environment with what lint, types and the tests need; made again when pyproject.toml changes.
$(READY): pyproject.toml | needs-python
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	    echo "test: can't make a virtual environment; on Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(PYTHON) -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb')) \
	    ['project']['optional-dependencies']['dev'], sep='\n')" > $(VENV)/requirements.txt
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $(VENV)/requirements.txt
	@touch $@

needs-python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; found none. PYTHON=/path/to/python3 names one." >&2; \
	    exit 1; }
