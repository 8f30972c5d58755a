# lab · test · notebooks · book · grade · bench     each sets up .venv first, if it is not there yet

# the first Python that runs and is 3.11, 3.12 or 3.13; make PYTHON=/path/to/python picks another
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python python3.13 python3.12 python3.11; do \
	$$p -c '$(SUPPORTED)' 2>/dev/null && { echo $$p; break; }; done)
PORT ?= 8888
RUN := .venv/bin/python
export HF_HUB_OFFLINE ?= 1

.PHONY: lab test notebooks book grade bench

# BROWSER= (empty) starts the server alone; BROWSER=firefox picks a browser
lab: .venv/ready
	$(RUN) -m jupyter lab --port=$(PORT) $(if $(filter 0,$(shell id -u)),--allow-root) \
		$(if $(filter undefined,$(origin BROWSER)),,$(if $(BROWSER),--browser=$(BROWSER),--no-browser)) \
		chapters/01_linear_probes.ipynb

test: .venv/ready
	$(RUN) -m pytest $(ARGS)

notebooks: .venv/ready
	$(RUN) -m utils.course.build

# the executed solutions as a web page: build/book/html/index.html
book: .venv/ready .venv-book/ready
	$(RUN) -m utils.course.book
	.venv-book/bin/sphinx-build -qW --keep-going -d build/book/doctrees build/book/pages build/book/html

# make grade SUBMISSIONS=folder ARGS="--out report --jobs 4"
grade: .venv/ready
	$(RUN) -m utils.grading run $(SUBMISSIONS) $(ARGS)

bench: .venv/ready
	$(RUN) -m tests.bench $(ARGS)

.venv/ready: requirements.txt
	@$(or $(PYTHON),false) -c '$(SUPPORTED)' || { \
		echo "needs Python 3.11, 3.12 or 3.13, found: $(or $(PYTHON),none); name one: make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

# apart from .venv: a reader of the course needs no Sphinx
.venv-book/ready: book/requirements.txt .venv/ready
	.venv/bin/python -m venv .venv-book
	.venv-book/bin/python -m pip install --quiet --disable-pip-version-check -r book/requirements.txt
	@touch $@
