# What the batch scripts share: start the program over the allocation, and come back after a stop. Sourced, after site.sh.
# The program itself handles SIGUSR1 (sent by Slurm to every rank, see --signal in the scripts): it checkpoints and leaves with 75.

[ -z "$TASKGALAXY_MODULES" ] || module load $TASKGALAXY_MODULES
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-1}}

# Starts WORDS... on every task of the job and returns the program's exit code.
launch() {
  case $TASKGALAXY_LAUNCH in
    # -K1: a rank that dies ends the step, so that nobody waits for it.
    srun) srun --mpi=pmix -K1 --cpu-bind=cores ${TASKGALAXY_SRUN_OPTIONS:-} "$TASKGALAXY" "$@" ;;
    mpirun)
      # mpirun is a child of this shell and gets no signal from --signal without "B:"; with "B:USR1" this shell forwards it.
      mpirun --bind-to core ${TASKGALAXY_MPIRUN_OPTIONS:-} "$TASKGALAXY" "$@" &
      local child=$! code
      trap 'kill -USR1 $child 2>/dev/null' USR1
      # wait returns early when the trap runs; wait again until mpirun is really gone.
      while :; do
        wait $child && code=0 || code=$?
        kill -0 $child 2>/dev/null || break
      done
      return $code
      ;;
    *) echo "TASKGALAXY_LAUNCH=$TASKGALAXY_LAUNCH: choose srun or mpirun" >&2; return 2 ;;
  esac
}

# launch, then: 75 means checkpointed and to be continued: requeue this job, or submit its script again where requeueing is not
# allowed. Any other failure is final.
launch_and_return() {
  local code=0 lives=${SLURM_RESTART_COUNT:-0}
  lives=${TASKGALAXY_LIVES:-$lives}
  launch "$@" || code=$?
  [ $code -eq 75 ] || return $code
  if [ "$lives" -ge "$TASKGALAXY_MAX_REQUEUES" ]; then
    echo "stopped $lives times; raise TASKGALAXY_MAX_REQUEUES in slurm/site.sh if the run still makes progress (taskgalaxy status)" >&2
    return 1
  fi
  if scontrol requeue "$SLURM_JOB_ID"; then
    # Slurm ends this script when it requeues the job.
    sleep 120
  else
    TASKGALAXY_LIVES=$((lives + 1)) sbatch --export=ALL "$0"
  fi
}
