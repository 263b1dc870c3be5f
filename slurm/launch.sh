# What the batch scripts share: start the program over the allocation, and come back after a stop. Sourced, after
# site.sh. The program itself handles SIGUSR1 (sent by Slurm to every rank, see --signal in the scripts): it checkpoints
# and leaves with 75.

submitted_words=("$@")  # of the script that sources this

[ -z "$TASKGALAXY_MODULES" ] || module load $TASKGALAXY_MODULES
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-1}}
export TASKGALAXY_ROOT
# When the job ends, as Slurm has it now: the variable may be an earlier life's, or older than scontrol update.
if ends=$(date -d "$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%e)" +%s 2>/dev/null); then
  export SLURM_JOB_END_TIME=$ends
fi

# Pictures are read several times (listed, embedded, shown to models, trained on): from a node's own disk that costs the
# site's file system one reading. What is there already, after a requeue to the same node, is left alone.
if [ -n "$TASKGALAXY_STAGE" ]; then
  srun --mpi=none --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 \
    "$TASKGALAXY_ROOT/slurm/stage.sh" "$TASKGALAXY_SCRATCH" $TASKGALAXY_STAGE
fi

# A model served beside the run (slurm/serve.sbatch) takes minutes to load; the file says that it answers.
if [ -n "${TASKGALAXY_WAIT_FOR:-}" ]; then
  for ((waited = 0; waited < ${TASKGALAXY_WAIT_S:-3600}; waited += 5)); do
    [ ! -s "$TASKGALAXY_WAIT_FOR" ] || break
    sleep 5
  done
  if [ ! -s "$TASKGALAXY_WAIT_FOR" ]; then
    echo "$TASKGALAXY_WAIT_FOR was not written within ${TASKGALAXY_WAIT_S:-3600} s;" \
      "look at the log of the job that serves the model, or raise TASKGALAXY_WAIT_S" >&2
    exit 4
  fi
fi

# Runs a command and returns its exit code. A USR1 to this shell (--signal=B:USR1, scancel --signal=USR1 --batch) is
# forwarded to it. One that is still there TASKGALAXY_LAST_CALL_S before the end of the job did not stop in time: it is
# killed, so that this script lives to bring the job back, and counts as stopped (75); what it did since its last part,
# answer or checkpoint is done again.
forwarding() {
  "$@" &
  local child=$! code called
  called=$(mktemp)
  trap 'kill -USR1 $child 2>/dev/null' USR1
  last_call $child "$called" &
  local timer=$!
  # wait returns early when the trap runs; wait again until the command is really gone.
  while :; do
    wait $child && code=0 || code=$?
    kill -0 $child 2>/dev/null || break
  done
  end_timer $timer
  [ ! -s "$called" ] || code=75
  rm -f "$called"
  return $code
}

last_call() {  # PID FILE
  local left=$((${SLURM_JOB_END_TIME:-0} - $(date +%s) - TASKGALAXY_LAST_CALL_S))
  [ $left -gt 0 ] || return 0
  sleep $left
  echo "the program did not stop in time: it is killed and goes on from what is on disk in its next life" >&2
  echo late >"$2"
  scancel --signal=KILL "$SLURM_JOB_ID"  # its steps, not this script
  kill -KILL "$1" 2>/dev/null
}

end_timer() {
  pkill -P "$1" 2>/dev/null || true
  kill "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

# Slurm (22.05 at least) leaves the PMIx socket of a step behind, and a requeued job, whose steps are numbered from 0
# again, cannot start its step on the same node: empty steps take the numbers of $1 steps of each earlier life.
pass_used_steps() {
  local step
  for step in $(seq $((${SLURM_RESTART_COUNT:-0} * $1))); do srun --mpi=none --nodes=1 --ntasks=1 true; done
}

# Starts WORDS... on every task of the job and returns the program's exit code.
launch() {
  case $TASKGALAXY_LAUNCH in
    # -K1: a rank that dies ends the step, so that nobody waits for it.
    srun)
      pass_used_steps 1
      forwarding srun --mpi=pmix -K1 --cpu-bind=cores ${TASKGALAXY_SRUN_OPTIONS:-} $TASKGALAXY_CONTAINER \
        "$TASKGALAXY" "$@"
      ;;
    mpirun) forwarding mpirun --bind-to core ${TASKGALAXY_MPIRUN_OPTIONS:-} $TASKGALAXY_CONTAINER "$TASKGALAXY" "$@" ;;
    *) echo "TASKGALAXY_LAUNCH=$TASKGALAXY_LAUNCH: choose srun or mpirun" >&2; return 2 ;;
  esac
}

# How often a rank or node of this job was lost, kept in the job's comment because it must outlive a requeue.
crashes() { scontrol show job "$SLURM_JOB_ID" | sed -n 's/.*taskgalaxy_crashes:\([0-9]*\).*/\1/p' | head -n 1; }

# A field of this job as Slurm has it; nothing where it has none.
job_field() {
  scontrol show job "$SLURM_JOB_ID" | sed -n "s|.* $1=\\([^ ]*\\).*|\\1|p" | head -n 1 |
    sed -e '/^(null)$/d' -e '/^N\/A$/d'
}
job_log() { scontrol show job "$SLURM_JOB_ID" | sed -n 's/^ *StdOut=//p' | head -n 1; }  # it may hold blanks

# Submits this job's script again, as large as this job and on the same account, and lets the jobs that wait for this
# one wait for the next. Options that no field shows (--signal among them) are those of the script.
submit_again() {
  local words=(--export=ALL --no-requeue --open-mode=append --job-name="$SLURM_JOB_NAME" --nodes="$SLURM_JOB_NUM_NODES"
    --ntasks="$SLURM_NTASKS" --partition="$SLURM_JOB_PARTITION" --output="$(job_log)"
    --time="$(job_field TimeLimit)" --comment="taskgalaxy_crashes:$(($(crashes) + 0))") option value
  local -A options=([account]=Account [qos]=QOS [reservation]=Reservation [constraint]=Features
    [cpus-per-task]=CPUs/Task [licenses]=Licenses)
  for option in "${!options[@]}"; do
    value=$(job_field "${options[$option]}")
    [ -z "$value" ] || words+=("--$option=$value")
  done
  [ -z "${SLURM_NTASKS_PER_NODE:-}" ] || words+=(--ntasks-per-node="$SLURM_NTASKS_PER_NODE")
  # gres:gpu:4, or gres/gpu=4 of later Slurms
  value=$(job_field TresPerNode | sed 's|gres[:/]||g') && [ -z "$value" ] || words+=(--gres="$value")
  value=$(job_field TresPerTask | sed 's|.*gres[:/]gpu[:=]||') && [ -z "$value" ] || words+=(--gpus-per-task="$value")
  value=$(job_field TresPerJob | sed 's|.*gres[:/]gpu[:=]||') && [ -z "$value" ] || words+=(--gpus="$value")
  value=$(job_field MinMemoryNode) && [ "${value:-0}" = 0 ] || words+=(--mem="$value")
  value=$(job_field MinMemoryCPU) && [ "${value:-0}" = 0 ] || words+=(--mem-per-cpu="$value")
  local next
  next=$(env -u SLURM_JOB_END_TIME TASKGALAXY_LIVES=$(($1 + 1)) sbatch --parsable "${words[@]}" "$0" \
    "${submitted_words[@]}") || return
  next=${next%%;*}
  echo "Submitted batch job $next, which goes on"
  squeue --noheader --user="$(id -un)" --format='%i %E' | while read -r job dependency; do
    [[ $dependency =~ :$SLURM_JOB_ID([^0-9]|$) ]] || continue
    dependency=$(sed -E -e 's/\([a-z]+\)//g' -e "s/:$SLURM_JOB_ID(\\b|\$)/:$next/g" <<<"$dependency")
    scontrol update JobId="$job" Dependency="$dependency"
  done
}

launch_and_return() { come_back launch "$@"; }

# A command, then: 75 means checkpointed and to be continued: requeue this job, or submit its script again where
# requeueing is not allowed. So does a rank or a node that was lost (a code above 128), though not for ever: a rank that
# dies of the same input every time is for a person. The program's own failures (1 to 5) are final.
come_back() {
  local code=0 lives=${SLURM_RESTART_COUNT:-0} lost
  lives=${TASKGALAXY_LIVES:-$lives}
  "$@" || code=$?
  if [ $code -gt 128 ]; then
    lost=$(($(crashes) + 1))
    if [ $lost -gt "$TASKGALAXY_MAX_CRASHES" ]; then
      echo "ranks or nodes were lost $lost times (exit code $code);" \
        "look at log/rank-*.log in the run directory before submitting again" >&2
      return $code
    fi
    echo "a rank or node was lost (exit code $code), time $lost of $TASKGALAXY_MAX_CRASHES;" \
      "going on from what is on disk" >&2
    scontrol update JobId="$SLURM_JOB_ID" Comment="taskgalaxy_crashes:$lost"
  elif [ $code -ne 75 ]; then
    return $code
  fi
  if [ "$lives" -ge "$TASKGALAXY_MAX_REQUEUES" ]; then
    echo "stopped $lives times;" \
      "raise TASKGALAXY_MAX_REQUEUES in slurm/site.sh if the run still makes progress (taskgalaxy status)" >&2
    return 1
  fi
  if scontrol requeue "$SLURM_JOB_ID"; then
    # Slurm ends this script when it requeues the job.
    sleep 120
  else
    submit_again "$lives"
  fi
}
