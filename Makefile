# Everything a new machine needs is Python 3.11 or later and make.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: setup run test check format golden bench lock clean

setup: $(STAMP)

# The stamp is written last, so that a set-up that was broken off is done again.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("paybatch needs Python 3.11 or later" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing what paybatch needs into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

run: setup
	@$(BIN)/paybatch demo
	@$(BIN)/paybatch run examples/payments.csv --again

test: setup
	$(BIN)/pytest -n 2 --dist loadscope

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint --disable-progress-bar src/paybatch/store

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

golden: setup
	$(BIN)/pytest tests/golden --rewrite

bench: setup
	$(BIN)/python -m bench

# Hashes, no addresses: any index that has these files will do.
lock:
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --extra dev --generate-hashes --no-emit-index-url --no-header \
		--no-annotate --universal --python-version 3.11 pyproject.toml -o requirements.lock

clean:
	rm -rf .venv
