#!/usr/bin/env bash
# All that a card has to answer, on a machine that is lent for minutes: build, GPU tests, checks,
# measurements, the chain; what time remains is for peers, compute-sanitizer and tuning.
#
#   bash bench/gpu_session.sh OUT SECONDS [FAISS_DIR]
#
# OUT       folder for logs, gpu.json (python bench/gpu.py --resume goes on with it) and chain.json
# SECONDS   when to be done, from now
# FAISS_DIR where `import faiss` finds a build with GPU code, if any; it is only for the peers
#
# Needs torch, CuPy and NVRTC, and for the build pybind11 and scikit-build-core. Without a network
# lay wheels in a folder WHEELS; they are installed into a folder of their own.
set -u
cd "$(dirname "$0")/.."
out=$1 end=$2 faiss=${3:-}
mkdir -p "$out"
left() { echo $((end - SECONDS)); }
say() { echo "=== $SECONDS s: $*"; }
export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1
commit=${COMMIT:-$(git rev-parse HEAD 2> /dev/null || echo unknown)}

if [ -n "${WHEELS:-}" ]; then
  site=$(mktemp -d)
  python3 -m pip install -q --no-index --no-deps --no-compile --target "$site" "$WHEELS"/*.whl ||
    say "wheels: not all installed"
  export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH}
fi
python3 -m pip install -q --no-deps --no-build-isolation -e . || { say "the build failed"; exit 1; }
say "built"

steps() { # SECONDS STEP...: no longer than what is left
  local most=$1 names=() budget
  shift
  for name in "$@"; do names+=(--only "$name"); done
  budget=$(left)
  ((budget > most)) && budget=$most
  ((budget > 5)) || { say "no time for $*"; return; }
  timeout $((budget + 20)) python3 bench/gpu.py "${resume[@]}" "${names[@]}" --budget "$budget" \
    --commit "$commit" > "$out/$1.txt" 2>&1
  say "$*: status $?"
  grep -h "wrong\|failed\|not run" "$out/$1.txt" | grep " s  " | cut -c1-200 | head -20
  resume=(--resume "$out/gpu.json")
}
resume=(--out "$out/gpu.json")
[ -f "$out/gpu.json" ] && resume=(--resume "$out/gpu.json")

# The tests beside the checks: both ask whether, not how fast.
workers=$(python3 -c "import xdist" 2> /dev/null && echo "-n 4")
timeout "$(left)" python3 -m pytest -q -p no:cacheprovider -W default -m gpu $workers tests/hamming \
  tests/cuda/test_gpu.py > "$out/pytest.txt" 2>&1 &
tests=$!
steps 150 kernels correctness values
wait $tests
say "pytest -m gpu: status $?"
tail -n 15 "$out/pytest.txt"
steps 240 facts small_batches batches worst_cases guarantees launches
if (($(left) > 40)); then
  timeout 45 python3 bench/latency.py --device cuda --seconds 4 --out "$out/chain.json" \
    > "$out/chain.txt" 2>&1
  say "chain: status $?"
  tail -n 12 "$out/chain.txt"
fi
[ -n "$faiss" ] && export PYTHONPATH=$faiss:${PYTHONPATH:-}
steps "$(left)" peers sanitizers tuning
python3 bench/gpu.py --show "$out/gpu.json" | tail -n 60
