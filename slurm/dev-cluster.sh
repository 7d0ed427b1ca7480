#!/usr/bin/env bash
# A real Slurm cluster on one machine, in one folder, for tests and for trying the toolkit.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
PATH="$PATH:/usr/sbin:/sbin"
# shellcheck source=dev-cluster/config.sh
source "$here/dev-cluster/config.sh"
# shellcheck source=dev-cluster/daemons.sh
source "$here/dev-cluster/daemons.sh"

marker="cratermill-dev-cluster"

usage() {
  cat <<'EOF'
usage: slurm/dev-cluster.sh COMMAND [--dir D] [options]

  up        start a cluster: munge, slurmctld, N slurmd with fake GPUs, and accounting (slurmdbd, MariaDB)
              --nodes N (2)  --gpus N (2, per node)  --cpus N (4, per node)  --mem-mb N (4000, per node)
              --no-accounting        sacct is disabled, as on some sites
              --max-array-size N     (1001)
              --cgroup               memory limits by cgroup v1 (jobs end as OUT_OF_MEMORY); else by polling
              --set KEY=VALUE        any other global line of slurm.conf; may be repeated
  env       print what to eval:      eval "$(slurm/dev-cluster.sh env)"; sinfo
  status    the daemons and the nodes; exit 0 when all run, else 1
  fail NODE [--keep-steps] [--declare]
            lose a node: kill -9 its slurmd and its job steps (--keep-steps: only slurmd);
            Slurm notices after about 30 s, or at once with --declare
  restore NODE   start its slurmd again
  down      stop what `up` started and remove the folder
  check     say what is missing to run `up` (exit 2), or nothing (exit 0)

Partitions: main (default), high (preempts jobs of low), low (requeued), short (at most 2 minutes).
The folder (--dir) is by default cratermill-dev-cluster in the temporary folder; one cluster per folder.
EOF
}

die() {
  printf 'dev-cluster: %s\n' "$1" >&2
  if [[ -n "${2:-}" ]]; then printf '  next: %s\n' "$2" >&2; fi
  exit 2
}

number() {
  local option="$1" value="$2" least="$3" most="$4"
  if ! [[ "$value" =~ ^(0|[1-9][0-9]{0,6})$ ]] || ((value < least || value > most)); then
    die "$option $value is not a whole number from $least to $most"
  fi
}

default_dir() {
  local base="${TMPDIR:-/tmp}"
  if [[ "$base" =~ [^A-Za-z0-9._/-] || ${#base} -gt 50 ]]; then base=/tmp; fi
  printf '%s/%s' "${base%/}" "$marker"
}

parse_arguments() {
  dir="" nodes=2 gpus=2 cpus=4 mem_mb=4000 accounting=1 cgroup=0 max_array_size=1001
  settings=() words=() keep_steps=0 declare_down=0
  while (($#)); do
    case "$1" in
      --nodes | --gpus | --cpus | --mem-mb | --max-array-size | --dir | --set)
        if (($# < 2)); then die "$1 needs a value"; fi
        ;;&
      --nodes) number "$1" "$2" 1 64; nodes="$2"; shift ;;
      --gpus) number "$1" "$2" 0 64; gpus="$2"; shift ;;
      --cpus) number "$1" "$2" 1 1024; cpus="$2"; shift ;;
      --mem-mb) number "$1" "$2" 100 9999999; mem_mb="$2"; shift ;;
      --max-array-size) number "$1" "$2" 2 4000001; max_array_size="$2"; shift ;;
      --dir) dir="$2"; shift ;;
      --set)
        if ! [[ "$2" =~ ^[A-Za-z]+=[^$'\n']+$ ]]; then die "--set $2 is not KEY=VALUE"; fi
        settings+=("$2")
        shift
        ;;
      --no-accounting) accounting=0 ;;
      --cgroup) cgroup=1 ;;
      --keep-steps) keep_steps=1 ;;
      --declare) declare_down=1 ;;
      -h | --help) usage; exit 0 ;;
      -*) die "unknown option $1" "slurm/dev-cluster.sh --help" ;;
      *) words+=("$1") ;;
    esac
    shift
  done
}

# gres.conf cannot hold a path with spaces, and a socket's path is limited to 107 bytes.
choose_dir() {
  if [[ -z "$dir" ]]; then dir="$(default_dir)"; fi
  dir="$(realpath -m -- "$dir")"
  if [[ "$dir" =~ [^A-Za-z0-9._/-] || ${#dir} -gt 80 ]]; then
    die "Slurm cannot work in the folder '$dir' (letters, digits and ._-/ only, at most 80 of them)" \
      "give --dir a plain, short path, or leave it out"
  fi
}

# Prints "command package" for each command that is not there.
missing_commands() {
  local pair
  local -a wanted=(slurmctld:slurm-wlm slurmd:slurm-wlm sbatch:slurm-wlm munged:munge ps:procps flock:util-linux)
  if ((accounting)); then
    wanted+=(slurmdbd:slurmdbd mariadbd:mariadb-server mariadb-install-db:mariadb-server mariadb-admin:mariadb-client)
  fi
  for pair in "${wanted[@]}"; do
    command -v "${pair%%:*}" >/dev/null || echo "${pair/:/ }"
  done
}

check() {
  local missing packages
  missing="$(missing_commands)"
  if [[ -n "$missing" ]]; then
    packages="$(cut -d ' ' -f 2 <<<"$missing" | sort -u | tr '\n' ' ')"
    missing="$(cut -d ' ' -f 1 <<<"$missing" | paste -s -d ' ')"
    die "not installed: $missing" \
      "as root, on Debian or Ubuntu: apt-get update && apt-get install -y --no-install-recommends ${packages% }"
  fi
  if ((EUID != 0)); then
    die "a cluster needs root: slurmd starts jobs as their users" "sudo slurm/dev-cluster.sh …, or a container where you are root"
  fi
  if ((cgroup)) && ! [[ -w /sys/fs/cgroup/memory/memory.limit_in_bytes ]]; then
    die "--cgroup needs a writable cgroup v1 memory controller in /sys/fs/cgroup/memory" "leave --cgroup out"
  fi
  if ((cgroup)) && cgroups_in_use; then
    die "jobs of another slurmd are in /sys/fs/cgroup/memory/slurm_n*" "stop that cluster first, or leave --cgroup out"
  fi
}

is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A run of free ports below the range that the system gives to outgoing connections.
choose_ports() {
  local base port try
  for ((try = 0; try < 50; try++)); do
    base=$((10000 + RANDOM % 220 * 100))
    for ((port = base; port < base + nodes + 2; port++)); do is_free "$port" || continue 2; done
    port_slurmctld=$base port_slurmdbd=$((base + 1)) port_slurmd=$((base + 2))
    return 0
  done
  die "no free ports found between 10000 and 32000"
}

# Takes a new or empty folder, or what a cluster that no longer runs left there.
claim_dir() {
  local name
  if [[ -e "$dir/$marker" ]]; then
    for name in $(daemon_names); do
      if pid_of "$name" >/dev/null; then
        die "a cluster is already up in $dir" "slurm/dev-cluster.sh down --dir $dir, or another --dir"
      fi
    done
    remove_dir
  elif [[ -e "$dir" && (! -d "$dir" || -n "$(ls -A -- "$dir")") ]]; then
    die "$dir exists and is no cluster of this script" "give another --dir"
  fi
  mkdir -p -- "$dir"
  chmod 755 -- "$dir"
  : >"$dir/$marker"
}

# Removes what `up` made, and the folder only if nothing else is in it.
remove_dir() {
  rm -rf -- "${dir:?}"/{etc,run,log,state,spool,dev,mysql} "${dir:?}/$marker"
  rmdir --ignore-fail-on-non-empty -- "$dir"
}

abandon() {
  trap - EXIT
  echo "dev-cluster: the cluster did not start; what its logs say:" >&2
  grep -hiE 'error|fatal' "$dir"/log/*.log 2>/dev/null | grep -v pmix | tail -n 20 >&2 || true
  stop_everything
  remove_dir
  exit 1
}

up() {
  local started=$SECONDS
  check
  # one `up` at a time, so that two never choose the same ports; the lock is this script itself
  exec 9<"${BASH_SOURCE[0]}"
  flock 9
  claim_dir
  trap abandon EXIT
  trap 'exit 130' INT TERM
  choose_ports
  write_configuration
  export SLURM_CONF="$dir/etc/slurm.conf"
  start_munged
  if ((accounting)); then start_database; fi
  start_slurm
  trap - EXIT INT TERM
  exec 9<&-
  echo "cluster up in $dir ($nodes nodes, $((SECONDS - started)) s); next: eval \"\$(slurm/dev-cluster.sh env --dir $dir)\""
}

require_cluster() {
  if ! [[ -e "$dir/$marker" ]]; then die "no cluster in $dir" "slurm/dev-cluster.sh up --dir $dir"; fi
  export SLURM_CONF="$dir/etc/slurm.conf"
}

down() {
  if ! [[ -e "$dir/$marker" ]]; then
    echo "no cluster in $dir"
    return 0
  fi
  stop_everything
  remove_dir
  echo "cluster in $dir stopped"
}

status() {
  local name pid result=0
  require_cluster
  for name in $(daemon_names); do
    if pid="$(pid_of "$name")"; then
      printf '%-12s running, pid %s\n' "$name" "$pid"
    else
      printf '%-12s not running\n' "$name"
      result=1
    fi
  done
  # without its controller sinfo would wait for a long time
  if pid_of slurmctld >/dev/null; then sinfo || result=1; fi
  return "$result"
}

require_node() {
  require_cluster
  if ((${#words[@]} != 2)) || ! [[ "${words[1]}" =~ ^n[0-9]+$ && -d "$dir/spool/${words[1]}" ]]; then
    die "name one of its nodes: $(cd "$dir/spool" && echo *)"
  fi
}

fail() {
  local pid
  require_node
  pid="$(pid_of "slurmd.${words[1]}")" || die "${words[1]} is already lost"
  kill -9 "$pid"
  if ! ((keep_steps)); then kill_steps "${words[1]}"; fi
  if ((declare_down)); then scontrol update "nodename=${words[1]}" state=down reason="node failure"; fi
}

# ReturnToService=2 brings the node back when its slurmd registers, whatever took it down.
restore() {
  require_node
  if pid_of "slurmd.${words[1]}" >/dev/null; then
    echo "${words[1]} is not lost"
    return 0
  fi
  launch "slurmd.${words[1]}" slurmd -N "${words[1]}"
  wait_until 60 "the return of ${words[1]}" node_is_back "${words[1]}"
}

node_is_back() { [[ "$(sinfo -h -N -p main -n "$1" -o %T)" =~ ^(idle|mixed|allocated|completing)$ ]]; }

main() {
  parse_arguments "$@"
  choose_dir
  case "${words[0]:-}" in
    fail | restore) "${words[0]}" ;;
    up | down | status | check)
      if ((${#words[@]} > 1)); then die "unexpected word '${words[1]}'" "slurm/dev-cluster.sh --help"; fi
      "${words[0]}"
      ;;
    env)
      require_cluster
      printf 'export SLURM_CONF=%q\n' "$SLURM_CONF"
      ;;
    "") usage >&2; exit 2 ;;
    *) die "unknown command ${words[0]}" "slurm/dev-cluster.sh --help" ;;
  esac
}

main "$@"
