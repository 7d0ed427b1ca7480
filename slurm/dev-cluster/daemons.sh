# shellcheck shell=bash disable=SC2154  # the variables are set in dev-cluster.sh
# Part of dev-cluster.sh: start, find and stop the processes of the cluster in $dir, and nothing else.
set -euo pipefail

# launch LOG [--fork] COMMAND…: with a clean environment, no terminal, and without the lock of `up` (descriptor 9).
# --fork is for what does not go to the background by itself.
launch() {
  local log="$dir/log/$1.log"
  shift
  env -i PATH="$PATH" LANG=C SLURM_CONF="$dir/etc/slurm.conf" MYSQL_UNIX_PORT="$dir/run/mysql.socket" \
    setsid "$@" </dev/null >>"$log" 2>&1 9>&-
}

# wait_until SECONDS WHAT COMMAND…: tries every 0.1 s.
wait_until() {
  local tries=$(($1 * 10)) what="$2"
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ((--tries <= 0)); then
      echo "dev-cluster: $what did not happen in time" >&2
      return 1
    fi
    sleep 0.1
  done
}

# A process is ours when it holds a file below $dir open; a pid file alone may name a recycled pid.
is_ours() {
  local pid="$1" link target
  [[ "$pid" =~ ^[0-9]+$ ]] || return 1
  for link in /proc/"$pid"/fd/*; do
    target="$(readlink "$link" 2>/dev/null)" || continue
    if [[ "$target" == "$dir/log/"* || "$target" == "$dir/run/"* ]]; then return 0; fi
  done
  return 1
}

is_gone() { ! is_ours "$1"; }

# Prints the pid of a daemon (name of its pid file), or fails.
pid_of() {
  local pid=""
  if [[ -r "$dir/run/$1.pid" ]]; then read -r pid <"$dir/run/$1.pid" || true; fi
  is_ours "$pid" || return 1
  echo "$pid"
}

# Names of the daemons, in the order in which they are stopped.
daemon_names() {
  local conf
  for conf in "$dir"/spool/*/; do
    conf="${conf%/}"
    echo "slurmd.${conf##*/}"
  done
  echo slurmctld
  if [[ -e "$dir/etc/slurmdbd.conf" ]]; then printf '%s\n' slurmdbd mariadbd; fi
  echo munged
}

# slurmstepd (one per job step) writes no pid file; it holds the log of its node's slurmd open.
step_pids() {
  local node="$1" proc name link
  for proc in /proc/[0-9]*; do
    read -r name 2>/dev/null <"$proc/comm" || continue
    [[ "$name" == slurmstepd ]] || continue
    for link in "$proc"/fd/*; do
      if [[ "$(readlink "$link" 2>/dev/null)" == "$dir/log/slurmd.$node.log" ]]; then
        echo "${proc#/proc/}"
        break
      fi
    done
  done
}

# Prints PID and all its descendants.
process_tree() {
  ps -e -o pid=,ppid= | awk -v root="$1" '
    { parent[$1] = $2 }
    END {
      for (pid in parent) {
        for (p = pid; p in parent && p != root; p = parent[p]) { }
        if (p == root) print pid
      }
    }'
}

# The root first: it must not live to tell anybody how the others ended.
kill_tree() {
  local -a tree
  mapfile -t tree < <(process_tree "$1")
  kill -9 "$1" "${tree[@]}" 2>/dev/null || true
}

kill_steps() {
  local pid
  for pid in $(step_pids "$1"); do kill_tree "$pid"; done
}

start_munged() {
  # --force: a shared parent folder (group-writable) is a warning here, not a refusal
  launch munged munged --force --socket="$dir/run/munge.socket" --key-file="$dir/etc/munge.key" --num-threads=4 \
    --pid-file="$dir/run/munged.pid" --log-file="$dir/log/munged.log" --seed-file="$dir/run/munged.seed"
}

start_database() {
  # thrown away at `down`, so nothing waits for the disk: that is most of the start on a busy machine
  local -a common=(--no-defaults --user=root --datadir="$dir/mysql" --debug-no-sync --innodb-log-file-size=8M)
  # only a socket in the folder, only for root: no port, no password, no user to create
  launch mariadb-install-db mariadb-install-db "${common[@]}" --skip-test-db --skip-name-resolve \
    --auth-root-authentication-method=socket --auth-root-socket-user=root
  launch mariadbd --fork mariadbd "${common[@]}" --skip-networking --socket="$dir/run/mysql.socket" \
    --pid-file="$dir/run/mariadbd.pid" --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900
  wait_until 60 "the start of MariaDB" mariadb-admin --no-defaults --socket="$dir/run/mysql.socket" ping
  launch slurmdbd slurmdbd
  wait_until 60 "the start of slurmdbd" sacctmgr --noheader show cluster
}

all_nodes_idle() { [[ "$(sinfo -h -N -p main -o %T | sort | uniq -c)" =~ ^\ *$nodes\ idle$ ]]; }

start_slurm() {
  local i
  launch slurmctld slurmctld -c
  for ((i = 1; i <= nodes; i++)); do launch "slurmd.n$i" slurmd -N "n$i"; done
  wait_until 60 "the start of all $nodes nodes" all_nodes_idle
}

# TERM, and KILL after 10 s; only after the pid file's process proved to be ours.
stop_daemon() {
  local pid
  pid="$(pid_of "$1")" || return 0
  kill "$pid" 2>/dev/null || return 0
  wait_until 10 "the end of $1" is_gone "$pid" || kill -9 "$pid" 2>/dev/null || true
}

# What no pid file names: job steps, and a daemon that was just starting when `up` was interrupted.
kill_stragglers() {
  local proc name
  for proc in /proc/[0-9]*; do
    read -r name 2>/dev/null <"$proc/comm" || continue
    case "$name" in
      munged | mariadbd | slurmdbd | slurmctld | slurmd | slurmstepd)
        if is_ours "${proc#/proc/}"; then kill_tree "${proc#/proc/}"; fi
        ;;
    esac
  done
}

stop_everything() {
  local name node
  for name in $(daemon_names); do stop_daemon "$name"; done
  kill_stragglers
  for node in "$dir"/spool/*/; do remove_cgroup "$(basename "$node")"; done
}

# Empty groups are what a cluster left that was killed; slurmd goes on with them.
cgroups_in_use() {
  local members
  for members in /sys/fs/cgroup/memory/slurm_n[0-9]*; do
    if [[ -d "$members" ]] && [[ -n "$(find "$members" -name cgroup.procs -exec cat {} +)" ]]; then return 0; fi
  done
  return 1
}

# The groups that slurmd made for a node in --cgroup mode; empty ones only can be removed.
remove_cgroup() {
  local root="/sys/fs/cgroup/memory/slurm_$1"
  [[ -e "$dir/etc/cgroup.conf" && -d "$root" ]] || return 0
  wait_until 3 "the end of the jobs' processes" find "$root" -depth -type d -exec rmdir {} + || true
}
