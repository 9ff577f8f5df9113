# `make` alone lists the verbs. Everything they make stays in this folder, environments in .venv.
#   PYTHON=/path  use this interpreter only
#   ARGS='...'    more arguments for pytest, the benchmarks, the echo server and the verbs that try things out

.NOTPARALLEL:
.PHONY: help run-echo test mutants fuzz soak lint format conformance bench bench-quick abuse-compare clean

export PYTHON

help: ## list these verbs
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

run-echo: export PYTHONPATH = .
run-echo: ## run the echo example, nothing installed; PORT=... chooses its port, Ctrl-C ends it
	@exec $(or $(PYTHON),python3) .ci/foreground.py $(or $(PYTHON),python3) examples/echo_server.py $(ARGS)

test: ## run the whole suite on every Python found of 3.11, 3.12 and 3.13
	@.ci/test $(ARGS)

mutants: ## delete statements one at a time: does some test notice? ARGS=--help says more
	@.ci/environment mutants default -e '.[test]' 'coverage >= 7.17'
	.venv/mutants/bin/python -m tests.mutants $(ARGS)

fuzz: ## feed framings, machine and a connection with what a fuzzer thinks up; ARGS='--seconds 600'
	@.ci/environment fuzz default -r tests/fuzz/requirements.txt
	@.venv/fuzz/bin/python -m tests.fuzz $(ARGS)

lint: ## ruff's checks and format, mypy --strict
	@.ci/environment lint default -e '.[lint,test]'
	.venv/lint/bin/ruff check .
	.venv/lint/bin/ruff format --check .
	.venv/lint/bin/mypy .ci/foreground.py $(wildcard reactor examples tests/typed*)

format: ## let ruff mend what it can
	@.ci/environment lint default -e '.[lint,test]'
	.venv/lint/bin/ruff check --fix-only .
	.venv/lint/bin/ruff format .

soak: export PYTHONPATH = .
soak: ## a minute of all abuse at once; ARGS='--seconds 3600 --server threading', ARGS=--help says more
	@exec $(or $(PYTHON),python3) .ci/foreground.py $(or $(PYTHON),python3) -m tests.soak $(ARGS)

conformance: ## run CPython's own suites and released programs with our modules; ARGS=--standard for theirs
	@.ci/conformance $(ARGS)

bench: ## run the benchmarks: a quarter of an hour
	@.ci/environment bench default -e .
	@.venv/bench/bin/python benchmarks/peers.py
	.venv/bench/bin/python benchmarks/run.py $(ARGS)

bench-quick: ## a short run of them: two minutes
	@.ci/environment bench default -e .
	@.venv/bench/bin/python benchmarks/peers.py
	.venv/bench/bin/python benchmarks/run.py --quick $(ARGS)

abuse-compare: ## abuse other servers as well as ours: who survives what?
	@.ci/environment abuse default -e . -r tests/abuse/requirements.txt
	.venv/abuse/bin/python -m tests.abuse $(ARGS)

clean: ## remove all that these verbs have made
	rm -rf .venv .fuzz .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
