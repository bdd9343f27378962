# The conformance part of the Makefile, which includes this file: tools that hold the HTTP and WebSocket stack against the
# RFCs, other servers and hostile bytes. None of them is part of `make test`; what they found is, in tests/.

FUZZ_VENV := .venv-fuzz
FUZZ_READY := $(FUZZ_VENV)/.installed
FUZZ_SECONDS ?= 60
# atheris comes as a wheel for Linux on x86_64 and these versions; elsewhere pip builds it, which wants clang.
FUZZ_PYTHON ?= $(shell for p in $(PYTHON) python3.13 python3.12 python3.11; do \
    $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { echo $$p; break; }; done)

.PHONY: conformance conformance-matrix fuzz

conformance: $(READY) ## the Autobahn testsuite against our WebSocket, an hour; ARGS="server --cases 1.*,12.1.*"
	$(VENV)/bin/python -m conformance.autobahn --out $(VAR)/autobahn $(ARGS)

conformance-matrix: needs-python ## docs/http-conformance.md anew, beside nginx and HAProxy; ARGS=--ours without them
	$(PYTHON) -m conformance.matrix $(ARGS)

fuzz: $(FUZZ_READY) ## hostile bytes for every parser, guided by coverage; FUZZ_SECONDS=60 in all, ARGS="http_request"
	$(FUZZ_VENV)/bin/python -m fuzz --seconds $(FUZZ_SECONDS) --out $(VAR)/fuzz $(ARGS)

$(FUZZ_READY):
	@test -n "$(FUZZ_PYTHON)" || { echo "fuzz: atheris needs Python 3.11, 3.12 or 3.13; found none." \
	    "FUZZ_PYTHON=/path/to/python3 names one." >&2; exit 1; }
	@$(FUZZ_PYTHON) -m venv --clear $(FUZZ_VENV)
	@echo '*' > $(FUZZ_VENV)/.gitignore
	$(FUZZ_VENV)/bin/python -m pip install --quiet --disable-pip-version-check 'atheris>=2.3.0'
	@touch $@
