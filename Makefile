# `make demo` and `make test` are all a newcomer needs; both build .venv first.
PYTHON ?= python3
BIN := .venv/bin
SOAKS := crash disk damage rounds season clocks ladder rivals load growth mutation flood answers output environment files storm programs
# What holds ledger, guard and reconcile to every branch and every mutation; the modules are named in pyproject.toml.
STRICT := tests/tournament/test_rounds.py tests/record/test_database.py tests/record/test_ledger.py tests/record/test_ledger_memory.py \
	tests/integration/test_delivery.py tests/integration/test_live_fetch.py

# Tests and demo start many processes. Where the environment forbids bytecode, each of them would compile the same modules.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test quick lint unit coverage bench soak container hashes wheels release-check docs format clean

demo: .venv/demo
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
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

coverage: .venv/ready
	$(BIN)/coverage run -m pytest -n 0 $(STRICT)
	$(BIN)/coverage report

# Every bench runs, whatever the others say; at least one missed goal is an error in the end.
bench: .venv/ready
	missed=; for name in start_up live_path scoring ingest open loader history lightgbm_train linear store gpu_epoch cpu_epoch; do $(BIN)/python bench/$$name.py || missed="$$missed $$name"; done; [ -z "$$missed" ] || { echo "missed:$$missed"; exit 1; }

soak: .venv/ready
	SOAK_COUNTS=$$(mktemp); export SOAK_COUNTS; for name in $(SOAKS) kinds; do $(BIN)/python -W ignore -m tests.soak.$$name || exit 1; done

container:
	tests/container.sh

# The reference from the code, and the site from it, in .release/site; it needs no network. The README's steps and pictures:
# `python -m docs.generator.first_steps` and `python -m docs.generator.screenshots`, a minute or two each.
docs: .venv/ready
	$(BIN)/python -m docs.generator
	$(BIN)/zensical build --strict

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Only wheels are installed, each checked against its hash, but torch and the CUDA parts that its build may need: which build
# is right depends on the machine and on where pip looks, so its files are not the same everywhere. uv installs in parallel;
# where it cannot be had, or does not reach the index that pip is set to, pip installs the same files. Bytecode is written
# when a module is first imported. The code itself needs no other download.
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --no-compile
CHECKED := --no-deps --require-hashes --only-binary :all:
install = $(BIN)/uv pip install --quiet --python $(BIN)/python $(CHECKED) $(1) \
	|| { echo "uv did not install; pip does"; $(BIN)/python $(PIP_INSTALL) $(CHECKED) $(1); }

# What syncs, trains, submits and plays the tournament; no test tools.
.venv/demo: pyproject.toml constraints.txt requirements/train.txt requirements/build.txt requirements/installer.txt
	$(PYTHON) -m venv .venv
	-$(BIN)/python $(PIP_INSTALL) $(CHECKED) --requirement requirements/installer.txt
	$(call install,--requirement requirements/train.txt --requirement requirements/build.txt)
	$(BIN)/python $(PIP_INSTALL) --constraint constraints.txt torch
	$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	touch $@

.venv/ready: .venv/demo requirements/dev.txt
	$(call install,--requirement requirements/dev.txt)
	touch $@

# Writes the hashes of every file of every pinned version, for all platforms, as the package index lists them; run it after a
# change of constraints.txt or of the dependencies in pyproject.toml.
TORCH_PARTS := torch triton cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cublas nvidia-cuda-cupti nvidia-cuda-nvrtc \
	nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand nvidia-cusolver nvidia-cusparse \
	nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx
COMPILE = .release/uv/bin/uv pip compile --quiet --generate-hashes --no-annotate --custom-compile-command "make hashes"
UNIVERSAL := --universal --python-version 3.11 --constraint constraints.txt $(TORCH_PARTS:%=--no-emit-package %)
# What submits: the dependencies without those that only training and the sandbox need, and the extras that are named.
LEAN := import sys, tomllib; about = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	extras = about["optional-dependencies"]; \
	lean = {*about["dependencies"]} - {*extras["train"], *extras["sandbox"]}; \
	print(*sorted(lean), *(line for name in sys.argv[1:] for line in extras[name]), sep="\n")
hashes:
	$(PYTHON) -m venv .release/uv
	.release/uv/bin/python $(PIP_INSTALL) $(CHECKED) --requirement requirements/installer.txt
	$(BIN)/python -c '$(LEAN)' | $(COMPILE) $(UNIVERSAL) - --output-file requirements/run.txt
	$(COMPILE) $(UNIVERSAL) pyproject.toml --extra train --extra remote --output-file requirements/train.txt
	$(COMPILE) $(UNIVERSAL) pyproject.toml --extra train --extra remote --extra dev --output-file requirements/dev.txt
	$(BIN)/python -c '$(LEAN)' release | $(COMPILE) $(UNIVERSAL) - --output-file requirements/release.txt
	printf 'hatchling\neditables\n' | $(COMPILE) $(UNIVERSAL) - --output-file requirements/build.txt
	printf 'uv\n' | $(COMPILE) $(UNIVERSAL) - --output-file requirements/installer.txt
	for version in 3.11 3.12 3.13; do \
		$(BIN)/python -c "from bot.hosted._environment import IMAGES; print(*map('=='.join, IMAGES['$$version'].items()), sep='\n')" \
		| $(COMPILE) --no-deps --only-binary :all: --python-version $$version - --output-file bot/hosted/numerai-$$version.txt || exit 1; done

# Whether everything that the images install has a wheel for amd64 and arm64.
wheels: .venv/ready
	UV=$(BIN)/uv deploy/check-wheels

# Only what runs the bot is audited and written down (CycloneDX); the tools have an environment of their own.
release-check:
	$(PYTHON) -m venv .release/bot
	$(PYTHON) -m venv .release/tools
	.release/bot/bin/python $(PIP_INSTALL) --no-deps --require-hashes --requirement requirements/run.txt
	.release/tools/bin/python $(PIP_INSTALL) --no-deps --require-hashes --requirement requirements/release.txt
	.release/tools/bin/cyclonedx-py environment --output-file .release/sbom.json .release/bot
	.release/tools/bin/pip-audit --progress-spinner off --strict --path "$$(echo .release/bot/lib/python3*/site-packages)"

clean:
	rm -rf .cache .release .venv
