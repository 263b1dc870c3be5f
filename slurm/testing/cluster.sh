#!/usr/bin/env bash
# A true Slurm on one machine, for tests and for trying the scripts before a queue is waited for: one slurmctld and
# several slurmd with node names and ports of their own, and a munged with a key and socket of its own. Everything lives
# in FOLDER, nothing of the machine's own Slurm or munge is touched. Needs root and Debian's slurm-wlm and munge.
#   slurm/testing/cluster.sh start FOLDER [NODES [CPUS]]   prints what to export; default 2 nodes of 2 CPUs
#   slurm/testing/cluster.sh lose FOLDER NODE              kill -9 of a node: its slurmd and all that runs on it
#   slurm/testing/cluster.sh back FOLDER NODE              the node starts again
#   slurm/testing/cluster.sh stop FOLDER
# Exit code 77: Slurm is not here and cannot be installed or started; stderr says why.
set -euo pipefail
usage() { sed -n '5,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ $# -ge 2 ] || usage
verb=$1
folder=$(mkdir -p "$2" && cd "$2" && pwd)
conf=$folder/slurm.conf
export SLURM_CONF=$conf

refuse() { echo "$*" >&2; exit 77; }

need() {
  [ "$(id -u)" -eq 0 ] || refuse "a local Slurm needs root"
  command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v munged >/dev/null ||
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null 2>&1 ||
    refuse "slurm-wlm and munge cannot be installed"
}

# A socket of its own: a munge socket in the usual place, left behind by a dead daemon, makes every MPI launch of the
# machine slow.
start_munge() {
  dd if=/dev/urandom of="$folder/munge.key" bs=1024 count=1 2>/dev/null
  chmod 0400 "$folder/munge.key"
  munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
    --log-file="$folder/munged.log" --seed-file="$folder/munge.seed" 2>"$folder/munged.out" &&
    munge --socket="$folder/munge.socket" -n | unmunge --socket="$folder/munge.socket" >/dev/null ||
    refuse "munged does not start: $(tail -n 1 "$folder/munged.out")"
}

# One port number each for slurmctld and the nodes, all free at this moment.
free_ports() {
  python3 -c 'import socket, sys
held = [socket.socket() for _ in range(int(sys.argv[1]))]
for s in held: s.bind(("127.0.0.1", 0))
print(*[s.getsockname()[1] for s in held])' "$1"
}

write_conf() {
  local nodes=$1 cpus=$2 host memory ports n
  host=$(hostname -s)
  memory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 1024))
  read -ra ports <<<"$(free_ports $((nodes + 1)))"
  mkdir -p "$folder/state"
  cat >"$conf" <<END
ClusterName=local
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobRequeue=1
MinJobAge=300
KillWait=5
SlurmctldTimeout=10
SlurmdTimeout=5
MaxArraySize=1001
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
TmpFS=$folder/tmp/%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd-%n.log
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
  for n in $(seq "$nodes"); do
    printf '%s ' "NodeName=n$n NodeHostname=$host NodeAddr=127.0.0.1 Port=${ports[n]} CPUs=$cpus" >>"$conf"
    echo "RealMemory=$memory State=UNKNOWN" >>"$conf"
    # One /tmp a node: PMIx makes folders there by the name of the step alone.
    mkdir -p "$folder/spool/n$n" "$folder/tmp/n$n"
  done
}

start_node() { slurmd -f "$conf" -N "$1"; }

all_idle() {
  for _ in $(seq 60); do
    [ "$(sinfo -h -t idle -o %D 2>/dev/null)" = "$1" ] && return
    sleep 0.5
  done
  return 1
}

# The slurmstepd of this cluster, on one node or on all: known by the node's log, which each holds open.
steps_on() {
  local pid
  for pid in $(pgrep -x slurmstepd || true); do
    ! find "/proc/$pid/fd" -lname "$folder/slurmd-${1:-*}.log" 2>/dev/null | grep -q . || echo "$pid"
  done
}

kill_with_children() {
  local child
  for child in $(pgrep -P "$1" || true); do kill_with_children "$child"; done
  kill -KILL "$1" 2>/dev/null || true
}

kill_steps() { for step in $(steps_on "${1:-}"); do kill_with_children "$step"; done; }

# By the pid file, if that process still is the daemon.
daemon() {
  [ -s "$folder/$1.pid" ] && grep -qzF "$folder" "/proc/$(cat "$folder/$1.pid")/cmdline" 2>/dev/null &&
    cat "$folder/$1.pid"
}

# By pid from the start: a daemon removes its pid file long before it is gone. munged goes last, the others need it to
# say goodbye.
stop() {
  local name pids=() pid
  for name in "$folder"/slurmd-*.pid "$folder/slurmctld.pid"; do
    pids+=($(daemon "$(basename "$name" .pid)" || true))
  done
  if daemon slurmctld >/dev/null; then
    timeout 5 scancel --full --user="$(id -un)" 2>/dev/null || true
    for _ in $(seq 50); do [ -z "$(steps_on)" ] && break; sleep 0.1; done
  fi
  end "${pids[@]}"
  kill_steps
  end $(daemon munged || true)
  rm -f "$folder/munge.socket" "$folder/munge.socket.lock"
}

# TERM, and KILL to those that are still there after 10 s.
end() {
  local pid alive
  for pid in "$@"; do kill "$pid" 2>/dev/null || true; done
  for _ in $(seq 50); do
    alive=()
    for pid in "$@"; do
      grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null || [ ! -e "/proc/$pid" ] || alive+=("$pid")
    done
    [ ${#alive[@]} -gt 0 ] || return 0
    sleep 0.2
  done
  kill -KILL "${alive[@]}" 2>/dev/null || true
}

case $verb in
  start)
    need
    nodes=${3:-2}
    write_conf "$nodes" "${4:-2}"
    trap stop ERR
    start_munge || { stop; exit 77; }
    slurmctld -f "$conf"
    for n in $(seq "$nodes"); do start_node "n$n"; done
    if ! all_idle "$nodes"; then
      sinfo >&2 || true
      tail -n 5 "$folder"/*.log >&2
      stop
      refuse "the nodes did not come up within 30 s"
    fi
    echo "export SLURM_CONF=$conf"
    # Open MPI takes two nodes of one host name for one and would share memory between them under the same names.
    echo "export OMPI_MCA_btl=self,tcp"
    echo "export OMPI_MCA_btl_tcp_if_include=lo"
    echo "export OMPI_MCA_mpi_yield_when_idle=1"
    ;;
  lose)
    kill -KILL "$(daemon "slurmd-${3:?node}")"
    kill_steps "$3"
    ;;
  back) start_node "${3:?node}" ;;
  stop) stop ;;
  *) usage ;;
esac
