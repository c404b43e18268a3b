# Every verb sets itself up: `make test` on a fresh clone needs nothing but Python 3.11 and make.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP_ARGS ?=
FRAMES ?= 32
PYTEST_ARGS ?=
BENCH_ARGS ?=
CHAOS_ARGS ?= --seed 1 --seed 2 --seconds 75

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Side by side: end-to-end tests mostly wait for processes, the others compute.
NEAR := $(wildcard tests/unit tests/contract tests/golden)
FAR := $(wildcard tests/e2e)

.PHONY: setup demo test check bench bench-gpu browser chaos test-gpu clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@begin=$$(date +%s); \
	if ! test -x $(BIN)/pip; then \
	  echo "Making $(VENV) with $(PYTHON)"; \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "Python 3.11 or newer is needed; say where it is: make PYTHON=/path/to/python3.11" >&2; exit 1; }; \
	  $(PYTHON) -m venv --clear $(VENV) \
	    || { rm -rf $(VENV); echo "The venv module does not work; on Debian: apt install python3-venv" >&2; exit 1; }; \
	fi; \
	echo "Installing (minutes the first time: torch is large)"; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[gpu,local,dev]' \
	  && touch $@ && echo "Installed in $$(( $$(date +%s) - begin )) s"

demo: setup
	$(BIN)/python -m demo --frames $(FRAMES)

# 5 is pytest's word for "no test was chosen", as with PYTEST_ARGS="-k name": fine on one side, not on both.
test: setup
	@log=$$(mktemp); trap 'rm -f $$log' EXIT; trap 'kill $$! 2>/dev/null; exit 130' INT TERM; \
	echo "End-to-end tests run beside the others; what they print comes last."; \
	$(BIN)/python -m pytest $(FAR) -p no:cacheprovider $(PYTEST_ARGS) >$$log 2>&1 & \
	far_pid=$$!; $(BIN)/python -m pytest $(NEAR) $(PYTEST_ARGS); near=$$?; \
	wait $$far_pid; far=$$?; cat $$log; \
	case $$near$$far in 00|05|50) ;; *) exit 1;; esac

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python -m tests.bench $(BENCH_ARGS)

# The engine: full-size models on a GPU; without one, tiny ones on the CPU.
bench-gpu: setup
	$(BIN)/python -m tests.bench.engine $(BENCH_ARGS)

# The dashboard, driven by Chromium (on Debian: apt install chromium).
browser: setup
	@$(call run_folder,tests/browser)

# About five minutes: two farms, hurt for a minute and a quarter each. CHAOS_ARGS="--seed 7 --seconds 600" for another.
chaos: setup
	$(BIN)/python -m tests.chaos.run $(CHAOS_ARGS)

test-gpu: setup
	@$(call run_folder,tests/gpu)

# A folder whose tests are not part of `make test`: they are long, or need what not every machine has.
define run_folder
if ls $(1)/test_*.py >/dev/null 2>&1; then $(BIN)/python -m pytest $(1) $(PYTEST_ARGS); \
else echo "$(1) has no tests yet."; fi
endef

# Not .farm: that is a farm's data.
clean:
	rm -rf $(VENV) out/demo build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
