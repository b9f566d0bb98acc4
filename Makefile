# Each target is one line. The first run makes .venv from python3 alone; later ones only when a lock has changed.
PYTHON ?= python3
RUN := .venv/bin/python
TESTS := $(RUN) -m pytest -n 2 --junitxml=build/tests.xml
CODE := core integrations tests scripts demo $(wildcard benchmarks)
PROJECTS := pyproject.toml core/pyproject.toml integrations/langchain/pyproject.toml integrations/llama-index/pyproject.toml

.PHONY: help demo test check bench docs proof neo4j versions format lock clean

help: ## say what there is
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' Makefile

demo: .venv/.ready ## watch an agent remember, across processes and frameworks
	$(RUN) demo/run.py

test: .venv/.ready neo4j ## run every test, the long proofs in their short form
	$(TESTS)

proof: .venv/.ready neo4j ## run every test, the proofs in their full length
	$(TESTS) --proof

neo4j: .venv/.ready ## fetch the Neo4j that the tests start (NEO4J_URI: take that one; without Maven and Java 17: none)
	@$(RUN) -m scripts.neo4j_jars

versions: .venv/.ready ## run the doors' tests with the lowest and the newest frameworks (SETS="llama-index-0.13.6" for some)
	$(RUN) -m scripts.versions $(SETS)

check: .venv/.ready ## lint, formatting, types and the floors of the house
	$(RUN) scripts/check.py $(CODE)

bench: .venv/.ready ## measure, in ratios to the raw thing
	$(RUN) -m benchmarks

docs: .venv/.ready ## build the documentation into build/site
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict --quiet --site-dir build/site

format: .venv/.ready ## put the code into its form
	$(RUN) scripts/check.py --fix $(CODE)

lock: .venv/.ready ## write requirements/*.txt anew (UPGRADE=--upgrade lets pins move)
	$(RUN) scripts/lock.py $(UPGRADE)

clean: ## remove what was built or cached, the environment included
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/.ready: requirements/uv.txt requirements/dev.txt scripts/bootstrap.py $(PROJECTS)
	$(PYTHON) scripts/bootstrap.py
