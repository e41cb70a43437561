# `make demo` and `make test` are all a newcomer needs; both build .venv first.
PYTHON ?= python3
BIN := .venv/bin
SOAKS := crash disk damage rounds season clocks ladder rivals load growth mutation flood answers output environment files
# What holds ledger, guard and reconcile to every branch and every mutation; the modules are named in pyproject.toml.
STRICT := tests/tournament/test_rounds.py tests/record/test_database.py tests/record/test_ledger.py tests/record/test_ledger_memory.py \
	tests/integration/test_delivery.py tests/integration/test_live_fetch.py

.PHONY: demo test quick lint unit coverage bench soak container release-check docs format clean

demo: .venv/ready
	$(BIN)/bot demo

test: lint unit

# Style, types, contracts and the fast tests: a minute on two quiet cores.
quick: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --ignore tests/integration -m "not slow" -q

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

unit: .venv/ready
	$(BIN)/python -m pytest -n 2 --dist loadfile

coverage: .venv/ready
	$(BIN)/coverage run -m pytest -n 0 $(STRICT)
	$(BIN)/coverage report

# Every bench runs, whatever the others say; at least one missed goal is an error in the end.
bench: .venv/ready
	missed=; for name in start_up live_path scoring ingest open loader history lightgbm_train gpu_epoch cpu_epoch; do $(BIN)/python bench/$$name.py || missed="$$missed $$name"; done; [ -z "$$missed" ] || { echo "missed:$$missed"; exit 1; }

soak: .venv/ready
	SOAK_COUNTS=$$(mktemp); export SOAK_COUNTS; for name in $(SOAKS) kinds; do $(BIN)/python -W ignore -m tests.soak.$$name || exit 1; done

container:
	tests/container.sh

docs: .venv/ready
	$(BIN)/python tests/test_docs.py

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# torch is pinned exactly and installed with the rest, so the resolver never looks for another build.
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[train,sandbox,dev]'
	touch $@

# Only what runs the bot is audited and written down (CycloneDX); the tools have an environment of their own.
release-check:
	$(PYTHON) -m venv .release/bot
	$(PYTHON) -m venv .release/tools
	.release/bot/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt .
	.release/bot/bin/pip uninstall --yes --quiet numerai-bot
	.release/tools/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt '.[release]'
	.release/tools/bin/cyclonedx-py environment --output-file .release/sbom.json .release/bot
	.release/tools/bin/pip-audit --progress-spinner off --strict --path "$$(echo .release/bot/lib/python3*/site-packages)"

clean:
	rm -rf .release .venv
