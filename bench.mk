# The measuring part of the Makefile, which includes this file. How to read what it prints: docs/benchmarks.md.

BENCH_VENV := .venv-bench
BENCH_READY := $(BENCH_VENV)/.installed
BENCH_PYTHON ?= $(shell for p in python3.13 $(wildcard $(HOME)/.pyenv/versions/3.13*/bin/python3.13) $(PYTHON) python3; do \
    $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

.PHONY: bench needs-bench-programs

bench: needs-bench-programs $(BENCH_READY) ## CPU time and memory beside nginx, HAProxy, granian, uvicorn; ARGS="--quick proxy"
	@$(BENCH_VENV)/bin/python -m bench $(ARGS)

needs-bench-programs:
	@test "$$(uname)" = Linux || { echo "bench: it reads the accounts of the Linux kernel; here is $$(uname)" >&2; exit 1; }
	@missing=$$(PATH="$$PATH:/usr/sbin:/usr/local/sbin"; \
	    for p in nginx haproxy wrk; do command -v $$p >/dev/null || printf ' %s' $$p; done); \
	    test -z "$$missing" || { echo "bench:$$missing missing; on Debian or Ubuntu: apt-get install$$missing" >&2; exit 1; }

# A virtual environment with the servers that are compared; made again when their versions change.
$(BENCH_READY): bench/requirements.txt
	@test -n "$(BENCH_PYTHON)" || { echo "bench: Python 3.11 or newer is needed; found none. BENCH_PYTHON=/path/to/python3" \
	    "names one." >&2; exit 1; }
	@$(BENCH_PYTHON) -m venv --clear $(BENCH_VENV) || { rm -rf $(BENCH_VENV); \
	    echo "bench: can't make a virtual environment; on Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo '*' > $(BENCH_VENV)/.gitignore
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r bench/requirements.txt
	@touch $@
