# What the batch scripts share: start the program over the allocation, and come back after a stop. Sourced, after
# site.sh. The program itself handles SIGUSR1 (sent by Slurm to every rank, see --signal in the scripts): it checkpoints
# and leaves with 75.

submitted_words=("$@")  # of the script that sources this

[ -z "$TASKGALAXY_MODULES" ] || module load $TASKGALAXY_MODULES
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-1}}
# Newer Slurms tell a job when it ends; to an older one the question is put, so that the program knows the time left.
if [ -z "${SLURM_JOB_END_TIME:-}" ]; then
  SLURM_JOB_END_TIME=$(date -d "$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%e)" +%s 2>/dev/null) &&
    export SLURM_JOB_END_TIME || unset SLURM_JOB_END_TIME
fi

# Pictures are read several times (listed, embedded, shown to models, trained on): from a node's own disk that costs the
# site's file system one reading. What is there already, after a requeue to the same node, is left alone.
if [ -n "$TASKGALAXY_STAGE" ]; then
  srun --mpi=none --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 \
    bash -c 'mkdir -p "$0" && flock "$0" cp --recursive --update --target-directory="$0" "$@"' \
    "$TASKGALAXY_SCRATCH" $TASKGALAXY_STAGE
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

# Runs a command and returns its exit code. It gets no signal from --signal without "B:"; with "B:USR1" this shell
# forwards it.
forwarding() {
  "$@" &
  local child=$! code
  trap 'kill -USR1 $child 2>/dev/null' USR1
  # wait returns early when the trap runs; wait again until the command is really gone.
  while :; do
    wait $child && code=0 || code=$?
    kill -0 $child 2>/dev/null || break
  done
  return $code
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
      srun --mpi=pmix -K1 --cpu-bind=cores ${TASKGALAXY_SRUN_OPTIONS:-} $TASKGALAXY_CONTAINER "$TASKGALAXY" "$@"
      ;;
    mpirun) forwarding mpirun --bind-to core ${TASKGALAXY_MPIRUN_OPTIONS:-} $TASKGALAXY_CONTAINER "$TASKGALAXY" "$@" ;;
    *) echo "TASKGALAXY_LAUNCH=$TASKGALAXY_LAUNCH: choose srun or mpirun" >&2; return 2 ;;
  esac
}

# How often a rank or node of this job was lost, kept in the job's comment because it must outlive a requeue.
crashes() { scontrol --oneliner show job "$SLURM_JOB_ID" | sed -n 's/.*taskgalaxy_crashes:\([0-9]*\).*/\1/p'; }

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
    # Options of the first sbatch line are not known any more: size, time and log are this job's.
    TASKGALAXY_LIVES=$((lives + 1)) sbatch --export=ALL --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_NTASKS" \
      --time="$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%l)" --partition="$SLURM_JOB_PARTITION" \
      --output="$(scontrol --oneliner show job "$SLURM_JOB_ID" | sed -n 's/.* StdOut=\([^ ]*\).*/\1/p')" \
      --no-requeue "$0" "${submitted_words[@]}"
  fi
}
