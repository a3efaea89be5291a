# The project's commands. Each one sets up what it needs first; see scripts/setup.sh.
.DEFAULT_GOAL := help
SHELL := /bin/bash
RUN := . scripts/env.sh &&

.PHONY: help setup demo test lint bench docs lock install deb captures clean

help: ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing, build, and put the commands into .venv/bin
	@scripts/setup.sh

demo: setup ## replay captures/demo.pcap for one user onto lc0 and compare with tshark (as root)
	@$(RUN) .venv/bin/python -m demo

test: setup ## every test: lint, Rust, Python, and the real TAP, namespaces, tcpdump and tshark
	@$(RUN) .venv/bin/python scripts/run_tests.py

lint: setup ## formatting, types, stubs, import contracts (a part of the tests)
	@$(RUN) .venv/bin/python -m pytest -q tests/lint

bench: setup ## measure beside the peers, into benchmarks/results/ (as root)
	@$(RUN) .venv/bin/python -m benchmarks.run

docs: setup ## write docs/reference/ anew from the code
	@$(RUN) .venv/bin/python scripts/make_docs.py
	@$(RUN) .venv/bin/python scripts/make_k8s.py

lock: setup ## resolve the Python lock files anew
	@$(RUN) scripts/lock.sh

install: setup ## install below DESTDIR (programs, units, policy, configuration, man pages, completions)
	@scripts/install.sh

deb: setup ## build the Debian package into dist/
	@scripts/make_deb.sh

captures: ## make the captures of captures/ anew (the same bytes each time)
	@python3 -m captures.make

clean: ## remove what setup and the tests made
	rm -rf .setup .venv build dist dataplane/target .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	rm -f lippycatd/*.so
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
