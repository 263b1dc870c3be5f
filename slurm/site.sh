# What a site changes, once: every script here reads this file. Values in the environment win over it.
# The clone, or PREFIX/share/taskgalaxy of an installation.
: "${TASKGALAXY_ROOT:=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}"
: "${TASKGALAXY:=$TASKGALAXY_ROOT/build/release/src/app/taskgalaxy}"        # the program
# Words before it, for example "apptainer exec --nv $HOME/taskgalaxy.sif" (and TASKGALAXY=taskgalaxy).
: "${TASKGALAXY_CONTAINER:=}"
: "${TASKGALAXY_LAUNCH:=srun}"                 # srun (with --mpi=pmix) or mpirun
: "${TASKGALAXY_MAX_REQUEUES:=50}"             # a job that was requeued so often is looked at by a person
: "${TASKGALAXY_MAX_CRASHES:=3}"               # a job that so often lost a rank or a node is not brought back again
: "${TASKGALAXY_MODULES:=}"                    # for example "openmpi/4.1 hdf5/1.10-parallel"
# Folders or files copied to each node's own disk first, for example "/data/shards"; name them in the job file as
# tar:${TASKGALAXY_SCRATCH}/shards/*.tar; the same path in every life.
: "${TASKGALAXY_STAGE:=}"
: "${TASKGALAXY_SCRATCH:=/tmp/taskgalaxy-$(id -un)}"
export TASKGALAXY_SCRATCH
# For sbatch itself (account, partition) the usual variables serve: export SBATCH_ACCOUNT=... SBATCH_PARTITION=...
# before submitting.
# Compute nodes without internet: export https_proxy=http://proxy.site:3128 no_proxy=.site; CA bundle: api.ca_bundle in
# the job file.
