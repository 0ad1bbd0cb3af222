# Two commands: make serve, make test. Everything goes into .venv and the user's cache.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: serve test eval bench growth check kills fuzz soak secrets audit constraints clean

serve: $(VENV)/.installed  ## chat page on http://127.0.0.1:8000
	@$(BIN)/kotae serve

test: $(VENV)/.installed-test  ## everything: types, style, unit tests, the real model, a real browser
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/pytest

eval: $(VENV)/.installed-test  ## retrieval on the gold questions against the committed baseline
	@$(BIN)/kotae eval --baseline eval/baseline --report report

bench: $(VENV)/.installed  ## beside LangChain, LlamaIndex, txtai, haiku.rag → docs/benchmarks.md; QUICK=1 is short
	@$(BIN)/python -m benchmarks.run $(if $(QUICK),--quick)

secrets: ## no key, token or password stands in what git keeps
	@$(PYTHON) .ci/check_secrets.py

audit: secrets ## known weaknesses of the packages; says so and passes where it cannot look
	@test -x $(VENV)-audit/bin/pip-audit || { $(PYTHON) -m venv $(VENV)-audit && $(VENV)-audit/bin/pip install --quiet pip-audit; }
	@$(PYTHON) .ci/audit.py $(VENV)-audit/bin/pip-audit

growth: $(VENV)/.installed-test  ## index size, memory and latency at 1 k, 10 k and 100 k generated chunks
	@$(BIN)/python -m benchmarks.growth

# One thread: what is forked must not have any more, and tiny arrays gain nothing by them.
kills: export OMP_NUM_THREADS := 1
kills: export OPENBLAS_NUM_THREADS := 1
kills: N ?= 200
kills: $(VENV)/.installed-test  ## N indexers killed at random instants (OPTIONS=--real: with the real model)
	@$(BIN)/python -m tests.kills --kills $(N) $(OPTIONS)

fuzz: N ?= 2000
fuzz: $(VENV)/.installed-test  ## N changed notes for the reader, N runs of the model of an index
	@KOTAE_TEST_EXAMPLES=$(N) $(BIN)/pytest -q tests/test_note_fuzz.py tests/test_index_states.py

soak: FOR ?= 300
soak: $(VENV)/.installed-test  ## five minutes of load while the notes change; memory, descriptors, threads
	@$(BIN)/python -m tests.soak --seconds $(FOR) $(OPTIONS)

constraints: ## regenerate constraints.txt: the exact versions that were tested
	rm -rf $(VENV)-constraints && $(PYTHON) -m venv $(VENV)-constraints
	$(VENV)-constraints/bin/pip install --quiet --upgrade pip
	$(VENV)-constraints/bin/pip install --quiet '.[test]'
	$(VENV)-constraints/bin/pip freeze --exclude kotae | sed 's/+cpu$$//' > constraints.txt
	rm -rf $(VENV)-constraints

clean: ## remove what make has made here
	rm -rf $(VENV) $(VENV)-constraints $(VENV)-audit .bench report build *.egg-info

$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "環境を用意しています(初回は数分かかります) / setting up (the first time takes minutes)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 以降が必要です / Python 3.11 or later is needed: make PYTHON=python3.11 serve"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "パッケージを入れています / installing packages"
	@$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "テスト用のパッケージを入れています / installing test packages"
	@$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@
