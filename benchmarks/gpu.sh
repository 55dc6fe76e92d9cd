#!/usr/bin/env bash
# Builds, tests and measures on a GPU, and writes one JSON.
#
#   benchmarks/gpu.sh [--json PATH] [--logs PATH] [--parts NAME,NAME] [--torch-ans FOLDER]
#                     [--seconds N] [--limit N] [--dry-run]
#
#   --json PATH         where to; parts of an earlier call that are not run again stay in it
#   --logs PATH         what the parts printed and left, as one .tar.gz
#   --parts NAMES       only these; default: all, in this order
#                       build tests peer coder export published latency identity memcheck
#                       racecheck tensorrt onnxruntime
#   --torch-ans FOLDER  holds the package torch_ans; without it the coder is compared with nothing
#   --seconds N         for the whole call (540); a part for which no time is left has not passed
#   --limit N           no part may take longer
#   --dry-run           prints the parts' commands and seconds, and runs nothing
#
# A part that fails or runs out of time is recorded and does not stop the others; the exit code is 0
# if all have passed. tensorrt and onnxruntime are recorded as absent where they cannot be imported,
# peer where no folder was named. The JSON is written anew, in one step, after each part, so that a
# call that is cut off leaves what it has done.
#
# On a machine that is lent for ten minutes at a time, and comes bare, all is done in three calls,
# what matters most first; the last part of each has what time is left:
#
#   --parts build,peer,coder --torch-ans FOLDER           --json a.json
#   --parts build,export,published,latency,identity       --json b.json
#   --parts build,tests,memcheck,racecheck                --json c.json
#
# and then, anywhere: python -m benchmarks.gpu_result RESULT.json --join a.json b.json c.json
# On a machine that is still the one of the call before, build is there and need not be named again.
#
# Needs no network. PYTHON is the Python to use (python3), with NumPy, CuPy, PyTorch, onnx, pytest and
# hypothesis, and to build with CMake, ninja, nanobind and scikit-build-core. FCMRT_WHEELS names a
# folder of wheels that are put in front of what is installed, the build's own tools among them: the
# build asks for scikit-build-core 1.1 and nanobind 3.1 or newer. With a wheel of CompressAI 1.2.8
# among them, the published part has CompressAI's own coder. CUDA_HOME is where nvcc and its headers
# are; if it is not set, /usr/local/cuda or where nvcc is.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2

python=${PYTHON:-python3}
work=build/gpu
json=$work/gpu.json
parts=build,tests,peer,coder,export,published,latency,identity
parts+=,memcheck,racecheck,tensorrt,onnxruntime
torch_ans=
logs=
seconds=540 # with what ends a part and writes the result, well within ten minutes
limit=
dry=

fail() {
  echo "benchmarks/gpu.sh: $1" >&2
  exit 2
}

while (($# > 0)); do
  case $1 in
    --dry-run) dry=yes && shift && continue ;;
    --json | --logs | --parts | --torch-ans | --seconds | --limit) (($# > 1)) || fail "$1 needs a value" ;;
    *) fail "$1 is not known; see the head of the file" ;;
  esac
  case $1 in
    --json) json=$2 ;;
    --logs) logs=$2 ;;
    --parts) parts=$2 ;;
    --torch-ans) torch_ans=$2 ;;
    --seconds) seconds=$2 ;;
    --limit) limit=$2 ;;
  esac
  shift 2
done

site=$PWD/$work/site
engine=$work/published.fcmrt
export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH}
export PYTHONUNBUFFERED=1
export CUPY_CACHE_DIR=${CUPY_CACHE_DIR:-$PWD/$work/cupy}
export TORCH_EXTENSIONS_DIR=${TORCH_EXTENSIONS_DIR:-$PWD/$work/torch}
export FCMRT_CACHE_DIR=${FCMRT_CACHE_DIR:-$PWD/$work/cache}

# PyTorch looks for headers beside the nvcc on the path, which may be a link, or call another one.
cuda_home() {
  local folder
  for folder in /usr/local/cuda "$(dirname "$(dirname "$(readlink -f "$(command -v nvcc)")")")"; do
    if [[ -x $folder/bin/nvcc && -f $folder/include/cuda_runtime.h ]]; then
      echo "$folder"
      return
    fi
  done
}
if [[ -z ${CUDA_HOME:-} ]]; then
  home=$(cuda_home)
  if [[ -n $home ]]; then export CUDA_HOME=$home; fi
fi

# What a part may take, in seconds. Those of each of the three calls fit into it, but for the last
# part, which ends by the time that is left; all together are more than a call has.
declare -A budget=(
  [build]=120 [tests]=200 [peer]=240 [coder]=240 [export]=90 [published]=70 [latency]=90
  [identity]=300
  [memcheck]=100 [racecheck]=100 [tensorrt]=90 [onnxruntime]=60
)

# A few launches of each kind; CuPy's pool would hide what goes beyond an allocation.
read -r -d '' sanitized <<'PYTHON'
import sys
import cupy, pytest
cupy.cuda.set_allocator(None)
names = "buffers_serve_the_next_batch or packets_fail_alone or packets_that_cannot_be or prices"
chosen = ["-q", "-m", "cuda", "-k", names, "tests/kernels/cuda/test_batches.py"]
sys.exit(pytest.main([*chosen, *sys.argv[1:]]))
PYTHON

# Each part's command, in `command`; `absent` says why there is none.
describe() {
  local tested tool
  absent=
  case $1 in
    build)
      # shellcheck disable=SC2016  # the inner shell expands it
      command=(bash -c 'set -e
        rm -rf "$2" && mkdir -p "$2"
        if [ -n "${FCMRT_WHEELS:-}" ]; then
          "$1" -m pip install -q --no-index --no-deps --target "$2" "$FCMRT_WHEELS"/*.whl
        fi
        "$1" -m pip install -q --no-index --no-build-isolation --no-deps --upgrade --target "$2" .
        "$1" -P -c "import fcmrt.kernels as k; print(k.available())"' build "$python" "$site")
      ;;
    tests)
      # Files that name the mark, and folders whose tests get their GPU by a fixture.
      mapfile -t tested < <(grep -rlE 'mark\.cuda|NEEDS_GPU' tests --include='test_*.py' \
        --include=conftest.py | sed 's|/conftest\.py$||' | sort -u)
      command=(env FCMRT_REQUIRE_CUDA=1 "$python" -P -m pytest -q -m cuda -p no:cacheprovider
        --junitxml "$work/tests.xml" "${tested[@]}")
      if "$python" -c 'import xdist' 2>/dev/null; then command+=(-n 4); fi
      ;;
    peer)
      # Left by a call that was cut off; whoever compiles next would wait for it.
      if [[ -z $dry ]]; then rm -f "$TORCH_EXTENSIONS_DIR"/*/lock; fi
      command=("$python" -m benchmarks.gpu_torch_ans "$torch_ans")
      [[ -n $torch_ans ]] || absent='no folder with torch_ans was named (--torch-ans)'
      ;;
    coder)
      command=("$python" -m benchmarks.coder --device cuda --seconds "$(($2 * 2 / 3))"
        --json "$work/coder.json")
      # What could not be compiled in its own time would take the coder's.
      if [[ -n $torch_ans && $peer == passed ]]; then command+=(--torch-ans "$torch_ans"); fi
      ;;
    export) command=("$python" -m benchmarks.published_codec "$engine") ;;
    published)
      command=("$python" -m benchmarks.latency --device cuda --runner torch --batch 1
        --published "$engine" --json "$work/published.json")
      ;;
    latency)
      command=("$python" -m benchmarks.latency --device cuda --runner torch
        --json "$work/latency.json")
      ;;
    identity)
      # It ends by itself, with what it has compared by then.
      command=("$python" -m benchmarks.gpu_identity --packets 10000 --seconds "$(($2 * 5 / 6))"
        --json "$work/identity.json")
      ;;
    memcheck | racecheck)
      # To memcheck an event that is not over is an error of the API; what is one fails a test.
      if [[ $1 == memcheck ]]; then tool=("$1" --report-api-errors no); else tool=("$1"); fi
      command=(env FCMRT_REQUIRE_CUDA=1 compute-sanitizer --tool "${tool[@]}" --error-exitcode 9
        "$python" -P -c "$sanitized" -p no:cacheprovider --junitxml "$work/$1.xml")
      ;;
    tensorrt)
      command=("$python" -m benchmarks.latency --device cuda --runner tensorrt --quick
        --json "$work/tensorrt.json")
      "$python" -c 'import tensorrt' 2>/dev/null || absent='tensorrt cannot be imported'
      ;;
    onnxruntime)
      command=("$python" -m benchmarks.latency --device cuda --runner onnxruntime --quick
        --json "$work/onnxruntime.json")
      "$python" -c 'import onnxruntime as o, sys
sys.exit("CUDAExecutionProvider" not in o.get_available_providers())' 2>/dev/null ||
        absent='onnxruntime has no CUDA here'
      ;;
    *) fail "there is no part $1" ;;
  esac
}

least() { echo $(($1 < $2 ? $1 : $2)); }

# Runs one part, and notes its outcome, seconds and exit code in its .part file.
run() {
  local name=$1 allowed left code begun took outcome
  left=$((seconds - (SECONDS - started)))
  allowed=$(least "$left" "${budget[$name]}")
  if [[ -n $limit ]]; then allowed=$(least "$allowed" "$limit"); fi
  describe "$name" "$allowed"
  if [[ -n $dry ]]; then
    echo "$name (${budget[$name]} s): ${absent:-${command[*]}}"
    return 0
  fi
  rm -f "$work/$name".{part,log,json,xml}
  begun=$SECONDS code=0
  if [[ -n $absent ]]; then
    outcome=absent
    echo "$absent" >"$work/$name.log"
  elif ((allowed < 1)); then
    outcome='no time left'
    echo 'not begun' >"$work/$name.log"
  else
    timeout --kill-after=10 "$allowed" "${command[@]}" >"$work/$name.log" 2>&1
    code=$?
    case $code in
      0) outcome=passed ;;
      124 | 137) outcome='timed out' ;;
      *) outcome=failed ;;
    esac
  fi
  took=$((SECONDS - begun))
  {
    printf '%s\n%s\n%s\n' "$outcome" "$code" "$took"
    printf '%q ' "${command[@]}"
  } >"$work/$name.part"
  if [[ $name == peer ]]; then peer=$outcome; fi
  echo "$name: $outcome, $took s"
  if [[ $outcome != passed ]]; then tail -n 5 "$work/$name.log" | sed 's/^/    /'; fi
  "$python" -m benchmarks.gpu_result "$json" --folder "$work" --parts "$name"
  status=$?
  if [[ -n $logs ]]; then
    find "$work" -maxdepth 1 -type f -regex '.*\.\(part\|log\|json\|xml\)' -printf '%f\n' |
      tar -czf "$logs.new" -C "$work" -T - && mv "$logs.new" "$logs"
  fi
}

mkdir -p "$work" "$(dirname "$json")" "$(dirname "${logs:-.}")"
started=$SECONDS
status=0
peer=
IFS=, read -r -a chosen <<<"$parts"
for name in "${chosen[@]}"; do
  [[ -n ${budget[$name]:-} ]] || fail "there is no part $name"
done
# Compiled in an earlier call.
if [[ -f $work/peer.part && ",$parts," != *,peer,* ]]; then read -r peer <"$work/peer.part"; fi
for name in "${chosen[@]}"; do run "$name"; done
exit $status
