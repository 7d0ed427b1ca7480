# shellcheck shell=bash disable=SC2154  # the variables are set in dev-cluster.sh
# Part of dev-cluster.sh: the configuration files of one cluster, all below $dir.
# Reads: dir, nodes, gpus, cpus, mem_mb, accounting, cgroup, max_array_size, settings[], port_*.
set -euo pipefail

# Paths stand unquoted: dev-cluster.sh takes only a folder with a plain name.
slurm_conf_values() {
  local host="$1"
  cat <<EOF
ClusterName=devcluster
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port_slurmctld
SlurmUser=root
SlurmdUser=root
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
CredType=cred/munge
# cred_expire also sets how long a requeued job waits (120 s unless told)
AuthInfo=socket=$dir/run/munge.socket,cred_expire=5
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmdPidFile=$dir/run/slurmd.%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.%n.log
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
SlurmdTimeout=10
# a busy machine is no broken one
KillWait=15
MessageTimeout=60
BatchStartTimeout=120
JobRequeue=1
MaxArraySize=$max_array_size
ProctrackType=proctrack/linuxproc
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=$((mem_mb / cpus))
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
# nodes claim more than the machine has
SlurmdParameters=config_overrides
EOF
  if ((cgroup)); then
    echo "TaskPlugin=task/cgroup"
  else
    echo "TaskPlugin=task/none"
    echo "JobAcctGatherParams=OverMemoryKill"
  fi
  if ((gpus)); then echo "GresTypes=gpu"; fi
  if ((accounting)); then
    echo "AccountingStorageType=accounting_storage/slurmdbd"
    echo "AccountingStorageHost=127.0.0.1"
    echo "AccountingStoragePort=$port_slurmdbd"
    # for the slurmdbd link this "password" is the munge socket
    echo "AccountingStoragePass=$dir/run/munge.socket"
    if ((gpus)); then echo "AccountingStorageTRES=gres/gpu"; fi
  else
    echo "AccountingStorageType=accounting_storage/none"
  fi
}

slurm_conf_layout() {
  local host="$1" gres=""
  if ((gpus)); then gres=" Gres=gpu:$gpus"; fi
  cat <<EOF
NodeName=n[1-$nodes] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$port_slurmd-$((port_slurmd + nodes - 1))] CPUs=$cpus RealMemory=$mem_mb$gres
PartitionName=main Nodes=ALL Default=YES MaxTime=1-00:00:00 DefaultTime=1:00:00 PriorityTier=1 PreemptMode=OFF
PartitionName=high Nodes=ALL MaxTime=1-00:00:00 DefaultTime=1:00:00 PriorityTier=10 PreemptMode=OFF
PartitionName=low Nodes=ALL MaxTime=1-00:00:00 DefaultTime=1:00:00 PriorityTier=1 PreemptMode=REQUEUE
PartitionName=short Nodes=ALL MaxTime=2 DefaultTime=2 PriorityTier=1 PreemptMode=OFF
EOF
}

# A --set KEY=VALUE replaces the line of that key (any case), or is added: Slurm complains of keys given twice.
apply_settings() {
  local line key setting
  declare -A chosen=()
  for setting in "${settings[@]}"; do
    key="${setting%%=*}"
    chosen["${key,,}"]="$setting"
  done
  while IFS= read -r line; do
    key="${line%%=*}"
    if [[ -z "${chosen["${key,,}"]:-}" ]]; then printf '%s\n' "$line"; fi
  done
  for key in "${!chosen[@]}"; do printf '%s\n' "${chosen[$key]}"; done
}

write_slurm_conf() {
  local host
  host="$(uname -n)"
  host="${host%%.*}"
  {
    slurm_conf_values "$host" | apply_settings
    slurm_conf_layout "$host"
  } >"$dir/etc/slurm.conf"
}

# Slurm sets CUDA_VISIBLE_DEVICES only for a character device whose name ends in the index;
# a link to /dev/null is one, and needs no right to make devices.
write_gres_conf() {
  local i
  for ((i = 0; i < gpus; i++)); do ln -s /dev/null "$dir/dev/nvidia$i"; done
  echo "NodeName=n[1-$nodes] Name=gpu File=$dir/dev/nvidia[0-$((gpus - 1))] Flags=nvidia_gpu_env" >"$dir/etc/gres.conf"
}

write_slurmdbd_conf() {
  (umask 077 && cat >"$dir/etc/slurmdbd.conf") <<EOF
AuthType=auth/munge
AuthInfo=socket=$dir/run/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$port_slurmdbd
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct_db
LogFile=$dir/log/slurmdbd.log
PidFile=$dir/run/slurmdbd.pid
EOF
}

write_cgroup_conf() {
  cat >"$dir/etc/cgroup.conf" <<EOF
CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
ConstrainRAMSpace=yes
EOF
}

write_configuration() {
  local i
  mkdir -p "$dir"/{etc,run,log,state,spool,dev}
  for ((i = 1; i <= nodes; i++)); do mkdir "$dir/spool/n$i"; done
  (umask 077 && head -c 1024 /dev/urandom >"$dir/etc/munge.key")
  write_slurm_conf
  if ((gpus)); then write_gres_conf; fi
  if ((accounting)); then write_slurmdbd_conf; fi
  if ((cgroup)); then write_cgroup_conf; fi
}
