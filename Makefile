# The two commands: `make demo` and `make test`. Each brings its own virtual environment.

PYTHON ?= python3
DEMO := .venv-demo
TEST := .venv-test
NUMPY1 := .venv-numpy1
LINT := .venv-lint
PIP := -m pip install --quiet --disable-pip-version-check

SOURCES := $(shell git ls-files 2>/dev/null | grep -E '^(fcmrt|kernels|export)/|^CMakeLists|^pyproject')

.PHONY: demo test tests lint numpy1 clean

demo: $(DEMO)/installed  ## features of a photo -> packet -> features -> detections
	$(DEMO)/bin/fcmrt demo --out demo.png

test: lint tests numpy1  ## everything CI runs

tests: $(TEST)/installed
	OMP_NUM_THREADS=1 FCMRT_REQUIRE_NVCC=1 $(TEST)/bin/pytest -n auto

numpy1: $(NUMPY1)/installed
	OMP_NUM_THREADS=1 $(NUMPY1)/bin/pytest -n auto --ignore tests/export --ignore tests/benchmarks

lint: $(LINT)/installed
	$(LINT)/bin/ruff check .
	$(LINT)/bin/ruff format --check .
	rm -rf build/tree && mkdir -p build/tree/fcmrt
	ln -s $(CURDIR)/fcmrt/* build/tree/fcmrt/
	ln -s $(CURDIR)/kernels build/tree/fcmrt/kernels
	ln -s $(CURDIR)/export build/tree/fcmrt/export
	ln -s $(CURDIR)/benchmarks build/tree/benchmarks
	cd build/tree && $(CURDIR)/$(LINT)/bin/mypy --config-file $(CURDIR)/pyproject.toml
	cd build/tree && PYTHONPATH=. $(CURDIR)/$(LINT)/bin/lint-imports --config $(CURDIR)/pyproject.toml

$(DEMO)/installed: $(SOURCES)
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/python $(PIP) '.[cpu,demo]'
	touch $@

# What CompressAI asks for besides (an older NumPy, what point clouds and data sets need) its picture
# models do without; benchmarks/compressai_alone.py tells how it is imported then.
$(TEST)/installed: $(SOURCES) tests/constraints.txt
	$(PYTHON) -m venv $(TEST)
	$(TEST)/bin/python $(PIP) -c tests/constraints.txt '.[cpu,export,demo,bench,nvrtc,tensorrt-rtx,test]'
	$(TEST)/bin/python $(PIP) --no-deps compressai==1.2.8
	touch $@

$(NUMPY1)/installed: $(SOURCES) tests/constraints-numpy1.txt
	$(PYTHON) -m venv $(NUMPY1)
	$(NUMPY1)/bin/python $(PIP) -c tests/constraints-numpy1.txt '.[cpu,demo,test]'
	touch $@

$(LINT)/installed: pyproject.toml
	$(PYTHON) -m venv $(LINT)
	$(LINT)/bin/python $(PIP) ruff==0.17.6 mypy==2.4.1 'import-linter>=2.5' 'numpy>=2'
	touch $@

clean:
	rm -rf build $(DEMO) $(TEST) $(NUMPY1) $(LINT)
