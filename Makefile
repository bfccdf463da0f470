# Everything a person runs. Nothing here needs more than Python 3.11+ and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# All state of the demo and of `make ui` lies under var/, which git ignores.
export DAGSTER_HOME := $(CURDIR)/var/dagster
export HARCHIVE_LANDING ?= $(CURDIR)/var/landing
export HARCHIVE_ANNOTATIONS ?= $(CURDIR)/var/annotations
export HARCHIVE_LAKE ?= $(CURDIR)/var/lake
KEY_FILE := var/demo/pseudonym.key
WITH_KEY := HARCHIVE_PSEUDONYM_KEY="$${HARCHIVE_PSEUDONYM_KEY:-$$(cat $(KEY_FILE))}"

.PHONY: setup demo test ui check aria text clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@# opencv-python links two system libraries that bare containers lack.
	@$(BIN)/python -c "import cv2" 2>/dev/null || (apt-get update -qq && apt-get install -y -qq libgl1 libglib2.0-0) || \
	  { echo "OpenCV cannot be loaded. Install libGL and glib (Debian: apt-get install libgl1 libglib2.0-0)."; exit 1; }
	@touch $@

var/dagster/dagster.yaml: dagster.yaml
	@mkdir -p $(@D)
	@cp $< $@

# A throw-away key: whoever holds it can link pseudonyms to workers. Production sets HARCHIVE_PSEUDONYM_KEY instead.
$(KEY_FILE):
	@mkdir -p $(@D)
	@umask 077 && $(PYTHON) -c "import secrets; print(secrets.token_hex(32))" > $@

demo: $(READY) var/dagster/dagster.yaml $(KEY_FILE)
	@echo "The pseudonym key in $(KEY_FILE) is a throw-away one, for this demo only."
	@$(WITH_KEY) $(BIN)/harchive demo uploads
	@$(WITH_KEY) $(BIN)/harchive demo run
	@$(WITH_KEY) $(BIN)/harchive demo report

test: $(READY)
	$(BIN)/python -m pytest

ui: $(READY) var/dagster/dagster.yaml $(KEY_FILE)
	$(WITH_KEY) $(BIN)/dagster dev --workspace workspace.yaml

check: $(READY) var/dagster/dagster.yaml
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	HARCHIVE_PSEUDONYM_KEY=only-for-validation $(BIN)/dagster definitions validate --workspace workspace.yaml

# Reading VRS needs the package alone, not the notebooks and the viewer that it names as dependencies.
aria: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps projectaria-tools

# Its wheel carries the text model; of its dependencies one would overwrite opencv-python, and none is needed here.
text: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps rapidocr

clean:
	rm -rf var $(VENV) dist
