# What an administrator and a developer run. Every target makes what it needs; a second run is fast.
#
#   make demo      one real call over SIP and RTP, and the e-mail that comes of it
#   make test      the whole test suite (with real peers, where their programs are installed)
#   make check     ruff, mypy and the fast tests
#   make interop   only the tests against SIPp, Kamailio, baresip and pyVoIP
#   make pbx       calls through an Asterisk or FreeSWITCH: ASTERISK=/usr/sbin/asterisk FREESWITCH=…
#   make bench     CPU, memory and time per call, beside the floor in C and a pyVoIP voicemail
#   make clean     removes everything that the other targets made

SHELL := /bin/sh
.SHELLFLAGS := -eu -c
.ONESHELL:
.DEFAULT_GOAL := help
.PHONY: help demo test check lint interop pbx bench clean

VENV ?= .venv
# Three tests a core at once: calls last as long as they last, and most tests wait for one. No more
# than have ports of their own (tests/support/ports.py).
CORES := $(shell nproc 2>/dev/null || echo 1)
JOBS ?= $(shell echo $$(( $(CORES) < 8 ? 3 * $(CORES) : 24 )))
RUN := $(VENV)/bin/python
# What the tests import is to be compiled once, not by each process of each run.
COMPILED := PYTHONDONTWRITEBYTECODE=
PYTEST := $(COMPILED) $(RUN) -m pytest -n $(JOBS) --dist worksteal
# The interpreter for a new .venv; empty takes the newest of these that is there.
PYTHON ?=
PYTHONS := $(if $(PYTHON),$(PYTHON),python3.13 python3.12 python3.11 python3)
PIP_OPTIONS := --quiet --disable-pip-version-check

help:
	@sed -n 's/^#   //p' Makefile

demo: $(VENV)/.installed
	@$(VENV)/bin/sipmail demo

test: $(VENV)/.compiled
	@$(PYTEST) $(ARGS)

lint: $(VENV)/.developed
	@$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

check: lint
	@$(PYTEST) -m "not e2e and not interop" $(ARGS)

interop: $(VENV)/.developed
	@$(PYTEST) -m interop $(ARGS)

pbx: $(VENV)/.developed
	@ASTERISK='$(ASTERISK)' FREESWITCH='$(FREESWITCH)' $(RUN) -m pytest -n 2 tests/pbx $(ARGS)

bench: $(VENV)/.developed
	@$(RUN) -m bench.run $(ARGS)

clean:
	@rm -rf $(VENV) demo build dist bench/out *.egg-info .mypy_cache .ruff_cache .pytest_cache
	rm -rf .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A Debian without python3-venv still makes an empty environment, and any pip can fill it.
$(VENV)/.made:
	@chosen=
	for python in $(PYTHONS); do
	    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
	    [ -n "$$chosen" ] || chosen=$$python
	    "$$python" -c 'import ensurepip, venv' 2>/dev/null || continue
	    echo "making $(VENV) with $$("$$python" --version)"
	    "$$python" -m venv --clear $(VENV)
	    touch $@
	    exit 0
	done
	if [ -z "$$chosen" ]; then
	    echo "sipmail needs Python 3.11 or newer; none of these is: $(PYTHONS)" >&2
	    echo "on Debian or Ubuntu, install it with: apt-get install python3 python3-venv" >&2
	    exit 1
	fi
	if ! "$$chosen" -m pip --python "$$chosen" --version >/dev/null 2>&1; then
	    echo "$$chosen has no venv and no pip; install them with: apt-get install python3-venv" >&2
	    exit 1
	fi
	echo "making $(VENV) with $$("$$chosen" --version), without a pip of its own"
	"$$chosen" -m venv --clear --without-pip $(VENV)
	echo "$$chosen" > $(VENV)/.pip
	touch $@

# $(call install,WHAT): with the environment's own pip, or with the one that .pip names.
define install
	if [ -f $(VENV)/.pip ]; then
	    "$$(cat $(VENV)/.pip)" -m pip --python $(RUN) install $(PIP_OPTIONS) --editable '$(1)'
	else
	    $(RUN) -m pip install $(PIP_OPTIONS) --editable '$(1)'
	fi
endef

$(VENV)/.installed: $(VENV)/.made pyproject.toml setup.py
	@echo "installing sipmail (the first time this takes a minute)"
	$(call install,.)
	touch $@

$(VENV)/.developed: $(VENV)/.made pyproject.toml setup.py
	@echo "installing sipmail with its development extras (the first time this takes a minute)"
	$(call install,.[dev])
	touch $(VENV)/.installed $@

# The processes of a run begin at once, and each would compile all tests: several seconds of CPU.
$(VENV)/.compiled: $(VENV)/.developed
	@echo "compiling the tests"
	printf '%s\n' tests/*/ |
	    $(COMPILED) xargs -P $(CORES) -n 6 $(RUN) -m pytest --collect-only -q >/dev/null || true
	touch $@
