# Bootstraps .venv from requirements.lock with the standard library's venv and pip, then calls the poe tasks.
.DEFAULT_GOAL := help
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
            $$p -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN    := .venv/bin
READY  := .venv/.ready

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Weighbridge needs Python 3.11 or newer with venv; set PYTHON=..." >&2; exit 1; }
	@test -x $(BIN)/python || { echo "Creating .venv and installing the locked packages (once, about a minute) ..." >&2; $(PYTHON) -m venv .venv; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: help demo test test-js check lock fmt bench bench-tokens bench-holds prove mutate run
help: ## what you can do here
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "make %-13s %s\n", $$1, $$2}'
demo: $(READY) ## run the main job once: real SDKs of three clouds through the gateway, no server needed
	@$(BIN)/poe -q demo
run: $(READY) ## serve with config/weighbridge.toml
	@$(BIN)/poe -q run
test: $(READY) ## every test but timings and nightly runs
	@$(BIN)/poe -q test
test-js: $(READY) ## the JavaScript SDKs through the gateway; needs Node 20 or newer with npm
	@npm ci --prefix tests/sdk/javascript --ignore-scripts --no-audit --no-fund
	@$(BIN)/python -m pytest -q tests/sdk/test_javascript.py
check: $(READY) ## style, architecture, types, then make test: what CI runs
	@$(BIN)/poe -q static
	@$(MAKE) --no-print-directory test
fmt: $(READY) ## rewrite the code to the house format
	@$(BIN)/poe -q fmt
bench: $(READY) ## CPU, latency and memory against nginx and against the gateway unmetered, as paired ratios
	@$(BIN)/poe -q bench
bench-tokens: $(READY) ## accuracy of tiktoken's counts against recorded provider usage
	@$(BIN)/poe -q bench-tokens
bench-holds: $(READY) ## admissions a second, flushed rows a second, month reports, per engine
	@$(BIN)/poe -q bench-holds
prove: $(READY) ## kill -9, power cuts, databases away, races on budgets: 0 lost, 0 doubled, 0 overspent (minutes)
	@$(BIN)/poe -q prove
mutate: $(READY) ## mutation gate of the money rooms (tens of minutes)
	@$(BIN)/poe -q mutate
lock: $(READY) ## resolve again and rewrite requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
	  --custom-compile-command 'make lock' --quiet --output-file requirements.lock
