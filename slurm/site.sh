# What a site changes, once: every script here reads this file. Values in the environment win over it.
: "${TASKGALAXY_ROOT:=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}"   # the clone, or PREFIX/share/taskgalaxy of an installation
: "${TASKGALAXY:=$TASKGALAXY_ROOT/build/release/src/app/taskgalaxy}"        # the program
: "${TASKGALAXY_LAUNCH:=srun}"                 # srun (with --mpi=pmix) or mpirun
: "${TASKGALAXY_MAX_REQUEUES:=50}"             # a job that was requeued so often is looked at by a person
: "${TASKGALAXY_MAX_CRASHES:=3}"               # a job that so often lost a rank or a node is not brought back again
: "${TASKGALAXY_MODULES:=}"                    # for example "openmpi/4.1 hdf5/1.10-parallel"
: "${TASKGALAXY_SCRATCH:=${SLURM_TMPDIR:-}}"   # node-local disk for staged pictures; empty: none
# For sbatch itself (account, partition) the usual variables serve: export SBATCH_ACCOUNT=... SBATCH_PARTITION=... before submitting.
# Compute nodes without internet: export https_proxy=http://proxy.site:3128 no_proxy=.site; CA bundle: api.ca_bundle in the job file.
