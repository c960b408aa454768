# Two commands: `make app` and `make test`. Both set everything up on a fresh machine.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8501
JOBS ?= 2

.PHONY: app test demo screenshots tree setup lint format browser clean

app: setup  ## serve the app on the loopback address
	$(BIN)/python -m pages.server.serve --server.port $(PORT)

setup: $(VENV)/.installed  ## create .venv and install the pinned requirements

test: setup $(VENV)/.installed-dev browser lint  ## run every test
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not alone"
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m alone

demo: setup  ## run the experiments of docs/results.md and print their tables
	$(BIN)/python -m engine demo
	$(BIN)/python -m engine demo --looking

screenshots: setup $(VENV)/.installed-dev browser  ## draw the pictures of every page into assets/screenshots
	$(BIN)/python assets/make_screenshots.py

tree:  ## write docs/tree.md from the first line of every file
	$(PYTHON) docs/make_tree.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The stamps make a second call instant and free of the network.
$(VENV)/.installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Forgetscope needs Python 3.11 or newer; name one with: make PYTHON=python3.12 app"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "The environment could not be made; on Debian and Ubuntu: sudo apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -r requirements-dev.txt
	@touch $@

# Browser tests skip without Chromium; where it may be installed, it is.
browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null \
	      || echo "Chromium could not be installed; browser tests will skip"; \
	  else echo "No Chromium: browser tests will skip. To run them: sudo apt-get install chromium"; fi

clean:  ## remove the environment and caches; results in .store stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
