# lab · test · notebooks · bench     each sets up .venv first, if it is not there yet

PYTHON ?= $(firstword $(foreach p,python3.13 python3.12 python3.11 python3 python,$(shell command -v $(p) 2>/dev/null)))
PORT ?= 8888
RUN := .venv/bin/python
export HF_HUB_OFFLINE ?= 1

.PHONY: lab test notebooks bench

# BROWSER= (empty) starts the server alone; BROWSER=firefox picks a browser
lab: .venv/ready
	$(RUN) -m jupyter lab --port=$(PORT) $(if $(filter 0,$(shell id -u)),--allow-root) \
		$(if $(filter undefined,$(origin BROWSER)),,$(if $(BROWSER),--browser=$(BROWSER),--no-browser)) \
		chapters/01_linear_probes.ipynb

test: .venv/ready
	$(RUN) -m pytest $(ARGS)

notebooks: .venv/ready
	$(RUN) -m utils.course.build

bench: .venv/ready
	@for script in tests/bench/bench_*.py; do $(RUN) $$script || exit 1; done

.venv/ready: requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or \
		sys.exit(f"needs Python 3.11, 3.12 or 3.13, found {v[0]}.{v[1]}; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@
