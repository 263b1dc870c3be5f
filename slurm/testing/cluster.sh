#!/usr/bin/env bash
# A true Slurm on one machine, for tests and for trying the scripts before a queue is waited for: one slurmctld and several slurmd
# with node names and ports of their own. Needs root and Debian's slurm-wlm and munge.
#   slurm/testing/cluster.sh start FOLDER [NODES [CPUS]]   prints what to export; default 2 nodes of 2 CPUs
#   slurm/testing/cluster.sh stop FOLDER
set -euo pipefail
verb=${1:-}
folder=$(mkdir -p "${2:?folder}" && cd "$2" && pwd)
nodes=${3:-2}
cpus=${4:-2}
conf=$folder/slurm.conf

need() {
  [ "$(id -u)" -eq 0 ] || { echo "a local Slurm needs root" >&2; exit 77; }
  if ! command -v slurmctld >/dev/null || ! command -v slurmd >/dev/null || ! command -v munged >/dev/null; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null 2>&1 || { echo "slurm-wlm and munge cannot be installed" >&2; exit 77; }
  fi
}

start_munge() {
  munge -n 2>/dev/null | unmunge >/dev/null 2>&1 && return
  local d
  for d in /run/munge /var/log/munge /var/lib/munge /etc/munge; do
    mkdir -p "$d"
    chown munge: "$d"
    chmod 0755 "$d"
  done
  chmod 0700 /etc/munge /var/log/munge
  [ -s /etc/munge/munge.key ] || { dd if=/dev/urandom of=/etc/munge/munge.key bs=1024 count=1 2>/dev/null; chown munge: /etc/munge/munge.key; chmod 0400 /etc/munge/munge.key; }
  su -s /bin/sh munge -c "munged --force"
  munge -n | unmunge >/dev/null
}

free_port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }

write_conf() {
  local host n memory
  host=$(hostname -s)
  memory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 1024 / 2))
  cat >"$conf" <<END
ClusterName=local
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmUser=root
AuthType=auth/munge
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
SlurmdTimeout=10
MaxArraySize=1001
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd-%n.log
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
  for n in $(seq "$nodes"); do
    echo "NodeName=n$n NodeHostname=$host NodeAddr=127.0.0.1 Port=$(free_port) CPUs=$cpus RealMemory=$memory State=UNKNOWN" >>"$conf"
    mkdir -p "$folder/spool/n$n"
  done
  mkdir -p "$folder/state"
}

case $verb in
  start)
    need
    start_munge
    write_conf
    export SLURM_CONF=$conf
    slurmctld -f "$conf"
    for n in $(seq "$nodes"); do slurmd -f "$conf" -N "n$n"; done
    for _ in $(seq 60); do
      [ "$(sinfo -h -t idle -o %D 2>/dev/null)" = "$nodes" ] && { echo "export SLURM_CONF=$conf"; exit 0; }
      sleep 0.5
    done
    sinfo >&2 || true
    tail -n 5 "$folder"/*.log >&2
    "$0" stop "$folder"
    exit 1
    ;;
  stop)
    for pid_file in "$folder"/slurmd-*.pid "$folder"/slurmctld.pid; do
      [ -s "$pid_file" ] && kill "$(cat "$pid_file")" 2>/dev/null || true
    done
    for _ in $(seq 50); do
      alive=0
      for pid_file in "$folder"/slurmd-*.pid "$folder"/slurmctld.pid; do
        [ -s "$pid_file" ] && kill -0 "$(cat "$pid_file")" 2>/dev/null && alive=1
      done
      [ $alive = 0 ] && exit 0
      sleep 0.2
    done
    ;;
  *)
    sed -n '2,5s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
