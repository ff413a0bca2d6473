# The environment is .venv; a target's stamp in it says that the target's packages are installed.
# PYTHON=python3.11 chooses the Python of a new one, otherwise the first fit one found is taken.

VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
# Modules are compiled when first imported: most of those installed never are.
INSTALL := $(PIP) install --no-compile --constraint constraints.txt
STAMPS := $(VENV)/stamps

INTERFACES := $(wildcard $(addprefix opendr_facerot_interfaces/, \
    CMakeLists.txt package.xml pyproject.toml cmake/* msg/* srv/* action/*))

PHOTO := test/data/astronaut.png
OUT := demo_out

# A sourced ROS 2 would shadow the packages of .venv. The last one is left by the ROS 2 wheels of a
# Python that runs make.
ifdef AMENT_PREFIX_PATH
unexport AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH PYTHONPATH
endif
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE

.DELETE_ON_ERROR:
.PHONY: help venv demo test lint clean

help:
	@echo 'make demo    run a ROS 2 graph on a photo; PHOTO=me.jpg YAW="-60 -30 0 30 60" PITCH="0" OUT=folder'
	@echo 'make test    ruff, mypy and the quick tests; SLOW=1 for all tests'
	@echo 'make lint    ruff and mypy'
	@echo 'make venv    only make the environment $(VENV); PYTHON=python3.11'
	@echo 'make clean   remove the environment and everything built'

venv: $(STAMPS)/package

demo: venv
	FASTRTPS_DEFAULT_PROFILES_FILE='$(CURDIR)/config/fastdds_profile.xml' \
	ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST \
	$(VENV)/bin/python -m opendr_facerot.ros.demo --photo '$(PHOTO)' \
	    $(if $(YAW),--yaw-deg $(YAW)) $(if $(PITCH),--pitch-deg $(PITCH)) -o '$(OUT)'

# Threads of small matrices, on cores that several processes share, mostly wait for one another.
test: lint
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
	$(VENV)/bin/python -m pytest $(if $(SLOW),,-m 'not slow')

lint: $(STAMPS)/test
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m mypy

clean:
	rm -rf $(VENV) build install log dist *.egg-info demo_out \
	    .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMPS)/python: tools/find_python.sh
	@python=$$(tools/find_python.sh $(PYTHON)) && set -x && "$$python" -m venv --clear $(VENV)
	$(INSTALL) pip
	@mkdir -p $(@D) && touch $@

$(STAMPS)/build: $(STAMPS)/python constraints.txt requirements-build.txt
	$(INSTALL) --requirement requirements-build.txt
	@touch $@

$(STAMPS)/interfaces: $(STAMPS)/build $(INTERFACES)
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" \
	$(INSTALL) --no-build-isolation --no-deps --force-reinstall ./opendr_facerot_interfaces
	@touch $@

# Editable, so that the environment need not be touched when a source file changes.
$(STAMPS)/package: $(STAMPS)/interfaces setup.py pyproject.toml
	$(INSTALL) --no-build-isolation --editable '.[ros]'
	@touch $@

$(STAMPS)/test: $(STAMPS)/package
	$(INSTALL) --no-build-isolation --editable '.[test]'
	@touch $@
