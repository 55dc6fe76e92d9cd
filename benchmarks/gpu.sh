#!/usr/bin/env bash
# Builds, tests and measures on a GPU, and writes one JSON.
#
#   benchmarks/gpu.sh [--json PATH] [--logs PATH] [--parts NAME,NAME] [--torch-ans FOLDER]
#                     [--seconds N] [--limit N] [--dry-run]
#
#   --json PATH         where to; parts of an earlier call that are not run again stay in it
#   --logs PATH         what the parts printed and left, as one .tar.gz
#   --parts NAMES       only these; default: all, in this order
#                       build peer export tests memcheck racecheck coder published latency
#                       identity tensorrt onnxruntime
#   --torch-ans FOLDER  holds the package torch_ans; without it the coder is compared with nothing
#   --seconds N         for the whole call (540); a part for which no time is left has not passed
#   --limit N           no part may take longer
#   --dry-run           prints the parts' commands and seconds, and runs nothing
#
# One call runs it all and ends within ten minutes. Parts that are not timed (peer to racecheck) run at the
# same time where they are named one after another; each of the others has the machine for itself.
# coder and identity take the time that is left: on a machine that is still there, a second call with
# --parts coder,identity takes them further, and its parts replace those of the first.
#
# A part that fails or runs out of time is recorded and does not stop the others; the exit code is 0
# if all have passed. tensorrt and onnxruntime are recorded as absent where they cannot be imported,
# peer where no folder was named. The JSON is written anew, in one step, after each part, so that a
# call that is cut off leaves what it has done. On a machine that comes bare each time, build has to
# be among the parts of each call; python -m benchmarks.gpu_result RESULT --join FILE ... joins what
# several calls wrote.
#
# Needs no network. PYTHON is the Python to use (python3), with NumPy, CuPy, PyTorch, ONNX Runtime
# (that for the CPU suffices), onnx, onnxscript, tqdm, Pillow, pytest and hypothesis, and to build with
# CMake, ninja, nanobind and scikit-build-core. FCMRT_WHEELS names a folder of wheels that are put in
# front of what is installed, the build's own tools among them: the build asks for scikit-build-core
# 1.1 and nanobind 3.1 or newer. With a wheel of CompressAI 1.2.8 among them, the published part has
# CompressAI's own coder; with those of pytest-xdist and execnet the tests share out among eight
# processes. CUDA_HOME is where nvcc and its headers are; if it is not set, /usr/local/cuda or where
# nvcc is.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2

python=${PYTHON:-python3}
work=build/gpu
json=$work/gpu.json
parts=build,peer,export,tests,memcheck,racecheck
parts+=,coder,published,latency,identity,tensorrt,onnxruntime
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

# What a part needs and what it may take, in seconds.
declare -A need=(
  [build]=120 [peer]=0 [export]=0 [tests]=0 [memcheck]=0 [racecheck]=0
  [coder]=70 [published]=60 [latency]=80 [identity]=50 [tensorrt]=0 [onnxruntime]=0
)
declare -A most=(
  [build]=120 [peer]=240 [export]=120 [tests]=240 [memcheck]=240 [racecheck]=240
  [coder]=240 [published]=90 [latency]=120 [identity]=300 [tensorrt]=90 [onnxruntime]=60
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

# Why a part has nothing to run here, in `absent`; empty, if it has.
declare -A absences=()
ask_absence() {
  if [[ -z ${absences[$1]+asked} ]]; then
    absences[$1]=
    case $1 in
      peer) [[ -n $torch_ans ]] || absences[peer]='no folder with torch_ans was named (--torch-ans)' ;;
      tensorrt)
        "$python" -c 'import tensorrt' 2>/dev/null || absences[tensorrt]='tensorrt cannot be imported'
        ;;
      onnxruntime)
        "$python" -c 'import onnxruntime as o, sys
sys.exit("CUDAExecutionProvider" not in o.get_available_providers())' 2>/dev/null ||
          absences[onnxruntime]='onnxruntime has no CUDA here'
        ;;
    esac
  fi
  absent=${absences[$1]}
}

# A part's command, in `command`, for so many seconds.
describe() {
  local tested tool peer
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
    peer)
      # Left by a call that was cut off; whoever compiles next would wait for it.
      if [[ -z $dry ]]; then rm -f "$TORCH_EXTENSIONS_DIR"/*/lock; fi
      command=("$python" -m benchmarks.gpu_torch_ans "$torch_ans")
      ;;
    export) command=("$python" -m benchmarks.published_codec "$engine") ;;
    tests)
      # Files that name the mark, and folders whose tests get their GPU by a fixture.
      mapfile -t tested < <(grep -rlE 'mark\.cuda|NEEDS_GPU' tests --include='test_*.py' \
        --include=conftest.py | sed 's|/conftest\.py$||' | sort -u)
      command=(env FCMRT_REQUIRE_CUDA=1 "$python" -P -m pytest -q -m cuda -p no:cacheprovider
        --junitxml "$work/tests.xml" "${tested[@]}")
      if "$python" -c 'import xdist' 2>/dev/null; then command+=(-n 8); fi
      ;;
    memcheck | racecheck)
      # To memcheck an event that is not over is an error of the API; what is one fails a test.
      if [[ $1 == memcheck ]]; then tool=("$1" --report-api-errors no); else tool=("$1"); fi
      command=(env FCMRT_REQUIRE_CUDA=1 compute-sanitizer --tool "${tool[@]}" --error-exitcode 9
        "$python" -P -c "$sanitized" -p no:cacheprovider --junitxml "$work/$1.xml")
      ;;
    coder)
      command=("$python" -m benchmarks.coder --device cuda --seconds "$(($2 * 2 / 3))"
        --json "$work/coder.json")
      # What could not be compiled in its own time would take the coder's.
      if [[ -f $work/peer.part ]]; then read -r peer <"$work/peer.part"; fi
      if [[ -n $torch_ans && ${peer:-} == passed ]]; then command+=(--torch-ans "$torch_ans"); fi
      ;;
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
    tensorrt)
      command=("$python" -m benchmarks.latency --device cuda --runner tensorrt --quick
        --json "$work/tensorrt.json")
      ;;
    onnxruntime)
      command=("$python" -m benchmarks.latency --device cuda --runner onnxruntime --quick
        --json "$work/onnxruntime.json")
      ;;
  esac
}

least() { echo $(($1 < $2 ? $1 : $2)); }

timed() { [[ ' peer export tests memcheck racecheck ' != *" $1 "* ]]; }

# The seconds of the part named first, in `allowed`; behind it those that come later. What timed parts
# need is kept for them, and what is left beyond that they share.
allow() {
  local spare=$((seconds - (SECONDS - started))) wanted=0 name
  for name in "$@"; do
    ask_absence "$name"
    if [[ -z $absent ]] && timed "$name"; then
      spare=$((spare - need[$name]))
      wanted=$((wanted + most[$name] - need[$name]))
    fi
  done
  allowed=$spare
  if timed "$1"; then
    if ((spare > 0 && wanted > 0)); then
      allowed=$((need[$1] + spare * (most[$1] - need[$1]) / wanted))
    else
      allowed=$(least "${need[$1]}" $((seconds - (SECONDS - started))))
    fi
  fi
  allowed=$(least "$allowed" "${most[$1]}")
  if [[ -n $limit ]]; then allowed=$(least "$allowed" "$limit"); fi
}

# Runs one part, for so many seconds, and notes its outcome, seconds and exit code in its .part file.
run() {
  local name=$1 allowed=$2 command=() begun=$SECONDS code=0 outcome
  ask_absence "$name"
  describe "$name" "$allowed"
  rm -f "$work/$name".{part,log,json,xml}
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
  {
    printf '%s\n%s\n%s\n' "$outcome" "$code" "$((SECONDS - begun))"
    printf '%q ' "${command[@]}"
  } >"$work/$name.part"
  exec 9>"$work/lock" && flock 9 # parts that run at the same time are recorded one by one
  echo "$name: $outcome, $((SECONDS - begun)) s"
  if [[ $outcome != passed ]]; then tail -n 5 "$work/$name.log" | sed 's/^/    /'; fi
  "$python" -m benchmarks.gpu_result "$json" --folder "$work" --parts "$name"
  if [[ -n $logs ]]; then
    find "$work" -maxdepth 1 -type f -regex '.*\.\(part\|log\|json\|xml\)' -printf '%f\n' |
      tar -czf "$logs.new" -C "$work" -T - && mv "$logs.new" "$logs"
  fi
  exec 9>&-
}

mkdir -p "$work" "$(dirname "$json")" "$(dirname "${logs:-.}")"
started=$SECONDS
IFS=, read -r -a chosen <<<"$parts"
for name in "${chosen[@]}"; do
  [[ -n ${most[$name]:-} ]] || fail "there is no part $name"
done
for index in "${!chosen[@]}"; do
  name=${chosen[index]}
  if [[ -n $dry ]]; then
    ask_absence "$name"
    describe "$name" "${most[$name]}"
    echo "$name (${need[$name]} to ${most[$name]} s): ${absent:-${command[*]}}"
    continue
  fi
  if timed "$name"; then wait; fi
  allow "${chosen[@]:index}"
  if timed "$name"; then
    run "$name" "$allowed"
  else
    run "$name" "$allowed" &
  fi
done
wait
if [[ -z $dry ]]; then exec "$python" -m benchmarks.gpu_result "$json" --join "$json"; fi
