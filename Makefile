# Everything a new machine needs is Python 3.11 or later and make.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup run test check format golden docs bench chaos lock clean

setup:
	@$(PYTHON) install.py

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

docs: setup
	$(BIN)/python docs/make_lifecycle.py
	$(BIN)/python docs/make_machines.py
	$(BIN)/python docs/make_operations.py
	$(BIN)/python docs/make_triggers.py
	$(BIN)/python docs/make_tour.py

bench: setup
	$(BIN)/python -m bench

# Rows in, effects out, whatever breaks; CHAOS_SEED=n repeats a run, CHAOS_FORM=short is a small one.
chaos: setup
	@CHAOS_SEED=$(CHAOS_SEED) CHAOS_FORM=$(or $(CHAOS_FORM),long) $(BIN)/python -m bench.chaos

# Hashes, no addresses: any index that has these files will do.
lock:
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --extra dev --generate-hashes --no-emit-index-url --no-header \
		--no-annotate --universal --python-version 3.11 pyproject.toml -o requirements.lock

clean:
	rm -rf .venv
