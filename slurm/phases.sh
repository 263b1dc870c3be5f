#!/usr/bin/env bash
# Submits a run as three dependent jobs, each on the nodes it needs: looking (GPU nodes), asking (one small CPU
# allocation: API calls are limited by their endpoints, not by nodes), training (GPU nodes). Prints the job ids.
#   slurm/phases.sh jobs/my.cfg [more words for `taskgalaxy run`]
# Give each phase its resources in the environment, as words for sbatch:
#   LOOK="--nodes=4 --gpus-per-task=1" ASK="--ntasks=1 --partition=cpu --time=3-00:00:00" \
#     TRAIN="--nodes=8 --gpus-per-task=1" slurm/phases.sh jobs/my.cfg
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: slurm/phases.sh JOB [WORDS]" >&2; exit 2; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

submit() { sbatch --parsable --export=ALL "$@"; }
look=$(submit --job-name=tg-look ${LOOK:-} "$here/run.sbatch" "$@" --stages ingest,expand,embed,match)
ask=$(submit --job-name=tg-ask --dependency=afterok:"$look" ${ASK:---nodes=1 --ntasks-per-node=1} \
  "$here/run.sbatch" "$@" --stages refine,generate,screen,export)
train=$(submit --job-name=tg-train --dependency=afterok:"$ask" ${TRAIN:-} \
  "$here/run.sbatch" "$@" --stages train,evaluate,report)
echo "$look $ask $train"
