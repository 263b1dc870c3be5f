#!/usr/bin/env bash
# Checks the house, sets everything up, builds, and runs every test: unit tests (parity with the Python references
# through committed fixtures), MPI tests on 1, 2, 3 and 5 ranks, fault tests that kill the program or run it under a
# local Slurm, and the demo end to end. About 20 minutes on 2 cores from a fresh clone.
#   tests/run.sh            all of it, release build
#   tests/run.sh asan       the unit tests under address and undefined-behaviour sanitizers (or: tsan, debug)
#   tests/run.sh release -R unit    further words go to ctest
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
preset=${1:-release}
shift || true

python3 tests/house.py
jobs/setup.sh peers
jobs/setup.sh build "$preset"

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1
# libtorch and Open MPI keep some memory for the life of the process: leaks are looked for in our own code only.
export LSAN_OPTIONS="suppressions=$root/tests/leaks.supp" UBSAN_OPTIONS=print_stacktrace=1
[ "$preset" = release ] || set -- -L unit "$@"
said=$(mktemp)
trap 'rm -f "$said"' EXIT
code=0
ctest --test-dir "build/$preset" --output-on-failure --no-tests=error -j 2 "$@" | tee "$said" || code=$?
python3 tests/skipped.py "build/$preset/Testing/Temporary/LastTest.log" <"$said"
echo "tests/run.sh $preset: $((SECONDS / 60)) min $((SECONDS % 60)) s, build included"
exit $code
