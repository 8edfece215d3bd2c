# make demo | test | check | bench: each sets up what it needs. `make clean` removes it again.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.set-up
PACKAGES := python3-venv mosquitto mosquitto-clients influxdb victoria-metrics openssl prometheus prometheus-alertmanager shellcheck systemd

.PHONY: demo test check bench setup services clean

demo: $(SETUP)
	$(BIN)/meter-monitor demo $(DEMO)

test: $(SETUP) services
	MONITOR_REQUIRE_SERVICES=$${MONITOR_REQUIRE_SERVICES:-$(if $(CI),1,$(if $(filter 0,$(shell id -u)),1,0))} \
	  $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST)

check: $(SETUP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(SETUP)
	$(BIN)/meter-monitor bench $(BENCH)

setup: $(SETUP)

# The very versions that were tested; pyproject.toml says what may be newer.
$(SETUP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -q && apt-get install -y -q python3-venv; \
	  else echo "python3-venv is missing: run 'apt-get install python3-venv' as root" >&2; exit 1; fi; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check --use-pep517 -c constraints.txt -e '.[dev]'
	touch $@

# The servers that tests start and stop themselves.
services:
	@for program in mosquitto influxd victoria-metrics openssl prometheus prometheus-alertmanager shellcheck systemd-analyze; do \
	  PATH="$$PATH:/usr/sbin" command -v $$program > /dev/null || missing="$$missing $$program"; done; \
	if [ -z "$$missing" ]; then :; \
	elif [ "$$(id -u)" = 0 ]; then apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q $(PACKAGES); \
	else echo "not installed:$$missing; their tests are skipped. As root: apt-get install $(PACKAGES)" >&2; fi

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
