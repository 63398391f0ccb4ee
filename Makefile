# One command for each task. It needs only make; everything else is installed when it is needed:
#
#   make demo         runs the whole path on real images, explained step by step (under a minute)
#   make up           runs everything on http://127.0.0.1:8000 until Ctrl-C
#   make test         runs all tests; make e2e: only those that speak HTTP to a running gateway, and
#                     with KONG_BIN those of Kong's own behavior
#   make fuzz         fuzzes the parsers, guided by coverage and at random (15 minutes)
#   make soak         tests the storage invariant with 200 SIGKILLs under load and more (20 minutes)
#   make check        checks style and types
#   make bench        measures what everything costs, in tables (under ten minutes)
#   make wheel        builds the package into dist/
#   make console      installs what the console needs from npm, for the wheel and the images
#   make images       builds, runs and checks the images (as root); KONG names Kong's own image
#   make screenshots  takes the docs' pictures of the console again
#   make constraints  pins the newest versions of everything that is installed
#   make clean        deletes everything that was made here (data under var/ too)
#
# GATEWAY_PORT, KONG_BIN and LLM_UPSTREAM_URL are explained in README.md.

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PLAYS := $(VENV)/.plays
READY := $(VENV)/.ready
FROM_NPM := sidecar/jan_media/console/static/vendor
# The JavaScript clients that tests/e2e/clients tries.
CLIENTS := tests/e2e/clients/node_modules/.installed

# The programs that the tests run besides Python: COMMAND=PACKAGE.
TOOLS := node=nodejs npm=npm jq=jq curl=curl \
  chromium-headless-shell=chromium-headless-shell \
  postgres=postgresql ceph-mon=ceph-mon ceph-osd=ceph-osd radosgw=radosgw ceph=ceph-common \
  sqlite3=sqlite3 rclone=rclone tesseract=tesseract-ocr wrk=wrk systemd-analyze=systemd \
  promtool=prometheus

PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --root-user-action=ignore

.PHONY: setup demo up test say fuzz soak e2e check bench wheel console images screenshots constraints clean

# Installs Debian packages for the commands that are missing. $(1) is a list of COMMAND=PACKAGE.
# Debian keeps PostgreSQL's programs and Ceph's helpers outside PATH.
define need
	@missing=; for pair in $(1); do \
	  PATH="$$PATH:/usr/sbin:/sbin:$$(echo /usr/lib/postgresql/*/bin | tr ' ' ':')" \
	    command -v "$${pair%%=*}" >/dev/null || missing="$$missing $${pair#*=}"; \
	done; \
	if [ -n "$$missing" ]; then ./.ci/install$$missing; fi
endef

setup: $(READY) console

# What demo and up need: no tests, no linters.
$(PLAYS): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || ./.ci/install python3-venv
	@test -x $(BIN)/python || { echo "Making $(VENV) …"; $(PYTHON) -m venv $(VENV); }
	@echo "Installing the gateway and its demo into $(VENV): 230 MB, about half a minute …"
	@$(PIP) -e '.[demo]' -c constraints.txt
	@touch $@

# Without compiling: Python compiles a module when it is first used, and the tests use few modules of
# most clients.
$(READY): $(PLAYS)
	@echo "Installing what tests and benches need into $(VENV): 700 MB, about a minute …"
	@$(PIP) --no-compile -e '.[dev]' -c constraints.txt
	@touch $@

$(CLIENTS): tests/e2e/clients/package.json
	$(call need,node=nodejs npm=npm)
	@echo "Installing JavaScript clients into $(dir $@): 90 MB …"
	@cd $(<D) && npm install --no-package-lock --no-audit --no-fund --loglevel=error
	@touch $@

demo: $(PLAYS)
	@$(BIN)/python -m demo.story

up: $(PLAYS)
	@exec $(BIN)/python -m demo.stack

# Four files at a time: while some wait for their services, the others use the two cores. The tests start
# many processes, so Python's compiled files are kept, even if the environment says not to.
test: export PYTHONDONTWRITEBYTECODE :=
test: say $(READY) $(CLIENTS) check
	$(call need,$(TOOLS))
	@echo "Running all tests, four files at a time, the long end-to-end ones first …"
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

say:
	@echo "make test: Python packages into $(VENV) (1 GB) and JavaScript clients, Debian packages"
	@echo "that are missing ($(foreach tool,$(TOOLS),$(lastword $(subst =, ,$(tool))))), then all tests:"
	@echo "three minutes of installing at first, and nine minutes of testing on two cores."

# Coverage-guided fuzzing of each reader in tests/fuzz/readers for FUZZ_SECONDS. Then every property test
# of all folders, with FUZZ_FACTOR times as many examples as in make test, new ones in each run, and at
# most 15 minutes per test.
FUZZ_SECONDS ?= 30
FUZZ_FACTOR ?= 8
fuzz: $(READY)
	@$(BIN)/python -c 'import atheris' 2>/dev/null || \
	  $(PIP) --only-binary atheris -e '.[fuzz]' -c constraints.txt || true
	$(BIN)/python -m tests.fuzz.guided --seconds $(FUZZ_SECONDS)
	FUZZ_FACTOR=$(FUZZ_FACTOR) $(BIN)/python -m pytest -m fuzz --ignore=tests/invariant

e2e: $(READY) $(CLIENTS)
	$(call need,$(TOOLS))
	$(BIN)/python -m pytest tests/e2e $(if $(KONG_BIN),tests/kong)

# make test runs the same suites with few kills and orders: see tests/invariant/amounts.py.
soak: $(READY)
	$(call need,$(TOOLS))
	INVARIANT_RANDOM=yes INVARIANT_KILLS=100 INVARIANT_ORDERS=60 INVARIANT_OPERATIONS=150 \
	  $(BIN)/python -m pytest -s tests/invariant
	MIGRATE_KILLS=30 $(BIN)/python -m pytest tests/contract/test_migrate.py --timeout 600

check: $(READY) console
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	node_modules/.bin/tsc

bench: $(READY)
	$(call need,$(filter wrk% postgres% ceph% radosgw%,$(TOOLS)))
	$(BIN)/python -m bench

# The console's library for OpenID Connect, and the type checker. The library is not part of this
# repository: the wheel and the images take it from the folder into which this copies it.
console: $(FROM_NPM)/oauth4webapi.js
$(FROM_NPM)/oauth4webapi.js: package.json
	$(call need,npm=npm)
	@echo "Installing what the console needs from npm: a few seconds …"
	@npm install --silent --no-package-lock --no-audit --no-fund --ignore-scripts
	@mkdir -p $(FROM_NPM)
	@cp node_modules/oauth4webapi/LICENSE.md $(FROM_NPM)/oauth4webapi.txt
	@cp node_modules/oauth4webapi/build/index.js $@

# From a fresh build folder: an old one would bring deleted files back.
wheel: $(PLAYS) console
	@rm -rf build dist
	@$(BIN)/python -m pip wheel -q --disable-pip-version-check --no-deps -w dist .
	@rm -rf build
	@ls dist/*.whl

images: $(PLAYS) console
	$(call need,buildah=buildah debootstrap=debootstrap)
	@$(BIN)/python -m deploy.images

screenshots: $(READY)
	$(call need,$(filter chromium%,$(TOOLS)))
	@$(BIN)/python -m tests.console.screenshots docs

# The newest versions that fit pyproject.toml, from a fresh environment.
constraints:
	@rm -rf var/constraints && $(PYTHON) -m venv var/constraints
	@var/constraints/bin/python -m pip install -qq --disable-pip-version-check '.[dev,fuzz]'
	@{ echo "# Every version that the tests ran with, for pip's -c. Made from a fresh environment by: make constraints"; \
	  var/constraints/bin/python -m pip freeze | grep -v '^jan-media-gateway'; } > constraints.txt
	@rm -rf var/constraints

clean:
	rm -rf $(VENV) node_modules $(FROM_NPM) $(dir $(CLIENTS)) var build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
