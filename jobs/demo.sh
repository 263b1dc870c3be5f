#!/usr/bin/env bash
# The demo: real pictures -> instruction dataset -> fine-tuned model -> report, in one command. Sets everything up
# first.
#   jobs/demo.sh [RANKS]      default 2; under 10 minutes the first time on 2 cores, 2 once built
# The pictures are Debian's tuxpaint-stamps-default; the models that are "asked" are played by `taskgalaxy simulate`,
# which knows the pictures' folders and captions and is wrong on purpose now and then. Killed? The same command goes on.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
ranks=${1:-2}

jobs/setup.sh build
taskgalaxy=build/release/src/app/taskgalaxy
export OMPI_ALLOW_RUN_AS_ROOT=${OMPI_ALLOW_RUN_AS_ROOT:-1}
export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=${OMPI_ALLOW_RUN_AS_ROOT_CONFIRM:-1}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

scratch=$(mktemp -d)
simulator=
finish() {
  [ -z "$simulator" ] || kill "$simulator" 2>/dev/null || true
  rm -rf "$scratch"
}
trap finish EXIT

"$taskgalaxy" simulate jobs/demo.cfg --set simulator.port_file="$scratch/port" >"$scratch/simulator.log" 2>&1 &
simulator=$!
for _ in $(seq 100); do
  [ -s "$scratch/port" ] && break
  kill -0 "$simulator" 2>/dev/null || { cat "$scratch/simulator.log" >&2; exit 1; }
  sleep 0.2
done
[ -s "$scratch/port" ] || { echo "the simulator did not start:" >&2; cat "$scratch/simulator.log" >&2; exit 1; }
TASKGALAXY_SIMULATOR=http://127.0.0.1:$(cat "$scratch/port")/v1
export TASKGALAXY_SIMULATOR

mpirun --oversubscribe -n "$ranks" "$taskgalaxy" run jobs/demo.cfg "${@:2}"
