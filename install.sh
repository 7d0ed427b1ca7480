#!/usr/bin/env bash
# Build cratermill's environment in .venv below this folder. Run it again at any time: it does only what is missing.
set -euo pipefail

usage() {
  cat <<'EOF'
Usage: bash install.sh [--dev] [--python PYTHON] [--conda] [--quiet]

  --dev            also what the tests need
  --python PYTHON  the Python to build on: a command, a path or a version such as 3.12 (3.11 to 3.14)
  --conda          from environment.yml with micromamba, mamba or conda, whichever is there first
  --quiet          say nothing when there is nothing to do

Everything lands in .venv and .tools here; bash uninstall.sh removes it. Packages that you added to .venv by hand
are removed when the locked versions change.
EOF
}

called_from=$PWD
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
cd -- "$root"
unset PYTHONPATH # a cluster's modules may set it, and it would win over the environment's own packages

env_dir=.venv
tools_dir=.tools
stamp=$tools_dir/stamp # what was built, from what, where
log_file=$tools_dir/install.log
needed_mb=8000 # 6.5 GB of packages and some air
uv_wanted="uv>=0.9,<1"
dev=0 python_wanted="" kind=uv quiet=0

say() { printf '%s\n' "$*"; }
die() { # what was found, then what to do next
  printf 'install.sh: %s\n' "$1" >&2
  [ $# -lt 2 ] || printf 'Next: %s\n' "$2" >&2
  exit 1
}

parse_options() {
  while [ $# -gt 0 ]; do
    case "$1" in
      --dev) dev=1 ;;
      --conda) kind=conda ;;
      --quiet) quiet=1 ;;
      --python)
        [ $# -ge 2 ] || { usage >&2; exit 2; }
        case "$2" in
          /*) python_wanted=$2 ;;
          */*) python_wanted=$called_from/$2 ;;
          *) python_wanted=$2 ;;
        esac
        shift
        ;;
      -h | --help) usage; exit 0 ;;
      *) printf 'install.sh: unknown option %s\n\n' "$1" >&2; usage >&2; exit 2 ;;
    esac
    shift
  done
}

# --- what is there already -------------------------------------------------------------------------------------------

checksum() { cat -- "$@" | { sha256sum 2>/dev/null || shasum -a 256; } | cut -d ' ' -f 1; }

source_files() { # what the environment is made from
  if [ "$kind" = conda ]; then echo environment.yml; elif [ "$dev" = 1 ]; then echo requirements-dev.lock; else echo requirements.lock; fi
}

stamp_value() { sed -n "s/^$1=//p" "$stamp" 2>/dev/null || true; }

keep_earlier_choices() { # a later call without options keeps the tests' packages and conda
  [ -f "$stamp" ] || return 0
  [ "$(stamp_value dev)" != 1 ] || dev=1
  [ "$(stamp_value kind)" != conda ] || kind=conda
}

up_to_date() {
  [ "$(stamp_value state)" = "done" ] && [ "$(stamp_value folder)" = "$root" ] && [ "$(stamp_value kind)" = "$kind" ] &&
    [ "$(stamp_value bytecode)" = 1 ] &&
    [ "$(stamp_value made_from)" = "$(checksum "$(source_files)" pyproject.toml)" ] && python_as_wanted &&
    [ -x "$env_dir/bin/cratermill" ] && "$env_dir/bin/python" -c 'import cratermill' 2>/dev/null
}

python_as_wanted() { # without --python any Python will do
  [ -z "$python_wanted" ] || [ "$(stamp_value python)" = "$python_wanted" ]
}

write_stamp() { # building | done
  printf 'state=%s\nbytecode=1\nkind=%s\ndev=%s\nfolder=%s\npython=%s\nmade_from=%s\n' \
    "$1" "$kind" "$dev" "$root" "$python_wanted" "$(checksum "$(source_files)" pyproject.toml)" >"$stamp"
}

refuse_foreign_environment() {
  [ ! -e "$env_dir" ] || [ -f "$stamp" ] || [ -z "$(ls -A "$env_dir" 2>/dev/null)" ] ||
    die "$root/$env_dir is there, but install.sh did not make it" "move or delete it, then run install.sh again"
}

check_space() {
  [ "$(uname -s)" = Linux ] || needed_mb=3000 # no CUDA libraries elsewhere
  [ "$(stamp_value state)" != "done" ] || return 0
  local free_mb
  free_mb=$(df -Pk . | awk 'NR == 2 { print int($4 / 1024) }')
  [ "${free_mb:-$needed_mb}" -ge "$needed_mb" ] ||
    die "not enough disk space in $root: $free_mb MB free, about $needed_mb MB needed" "free some, or clone the project onto a larger disk"
}

# --- running things with a log and readable failures -----------------------------------------------------------------

logged() { # all messages into the log; on the screen all but the long list of packages
  local status=0
  "$@" 2>&1 | tee -a "$log_file" | awk '!/^ [-+~] / { print; fflush() }' || status=$?
  [ "$status" = 0 ] || explain_failure
}

explain_failure() {
  local given="'$root/$log_file' holds all messages"
  if grep -qiE 'no space left|os error 28|quota exceeded|os error 122' "$log_file"; then
    die "the disk is full (or your quota is used up). $given" "free about $needed_mb MB and run install.sh again: it goes on where it stopped"
  elif grep -qiE 'dns error|error sending request|failed to (fetch|connect)|could not connect|connection (refused|reset|error)|timed out|name resolution|network is unreachable|HTTP error|proxy' "$log_file"; then
    die "the package index can't be reached. $given" "check the network or proxy; on a cluster run install.sh on a login node"
  elif grep -qiE 'permission denied|os error 13|read-only file system' "$log_file"; then
    die "a folder can't be written. $given" "make $root and your package cache writable"
  fi
  die "a step failed; its last lines are above. $given" "mend the cause and run install.sh again, or try bash install.sh --conda"
}

# --- Python and uv ---------------------------------------------------------------------------------------------------

python_version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

fits() { case "$1" in 3.11 | 3.12 | 3.13 | 3.14) true ;; *) false ;; esac; }

find_python() { # prints the first Python that fits
  local candidate version seen=""
  for candidate in ${python_wanted:+"$python_wanted" "python$python_wanted"} \
    $([ -n "$python_wanted" ] || echo python3.11 python3.12 python3.13 python3.14 python3 python); do
    version=$(python_version "$candidate") || continue
    if fits "$version"; then
      command -v -- "$candidate"
      return 0
    fi
    seen="$seen $candidate is $version;"
  done
  local ways="install Python 3.11 or newer (e.g. apt-get install python3.11; on a cluster: module load python/3.11), name one with --python, or run bash install.sh --conda"
  [ -z "$python_wanted" ] || die "--python $python_wanted is not a Python 3.11 to 3.14.$seen" "$ways"
  die "no Python 3.11 to 3.14 found.$seen" "$ways"
}

find_uv() { # prints a uv that runs; brings its own where there is none
  local candidate
  for candidate in uv "$root/$tools_dir/uv/bin/uv"; do
    if "$candidate" --version >/dev/null 2>&1; then
      command -v -- "$candidate"
      return 0
    fi
  done
  bring_uv "$1" >&2
  echo "$root/$tools_dir/uv/bin/uv"
}

bring_uv() { # with venv where the Python has it, else with pip alone
  say "Fetching uv into $tools_dir/uv …"
  if "$1" -m venv "$tools_dir/uv" >>"$log_file" 2>&1; then
    logged "$tools_dir/uv/bin/python" -m pip install --quiet --disable-pip-version-check "$uv_wanted"
  elif "$1" -m pip --version >>"$log_file" 2>&1; then
    rm -rf -- "$tools_dir/uv"
    logged "$1" -m pip install --quiet --disable-pip-version-check --target "$tools_dir/uv" "$uv_wanted"
  else
    rm -rf -- "$tools_dir/uv"
    die "$1 has neither venv nor pip, so uv can't be fetched" "apt-get install python3-venv (or python3-pip), or install uv yourself, then run install.sh again"
  fi
}

# --- the two ways ----------------------------------------------------------------------------------------------------

install_with_uv() {
  local python uv
  python=$(find_python)
  uv=$(find_uv "$python")
  # An own uv keeps its cache here too: the same disk, so files are linked, not copied; it is removed at the end.
  case "$uv" in "$root"/*) export UV_CACHE_DIR="${UV_CACHE_DIR:-$root/$tools_dir/cache}" ;; esac
  if [ "$(stamp_value folder)" != "$root" ] || ! python_as_wanted || [ ! -x "$env_dir/bin/python" ]; then
    rm -rf -- "$env_dir"
  fi
  write_stamp building
  [ -x "$env_dir/bin/python" ] || logged "$uv" venv --quiet --python "$python" "$env_dir"
  logged "$uv" pip sync --require-hashes --compile-bytecode --python "$env_dir/bin/python" "$(source_files)"
  logged "$uv" pip install --quiet --python "$env_dir/bin/python" --no-deps --no-build-isolation --editable .
  rm -rf -- "$tools_dir/cache"
}

find_conda() {
  local candidate
  for candidate in micromamba mamba conda "${MAMBA_EXE:-}" "${CONDA_EXE:-}"; do
    if [ -n "$candidate" ] && "$candidate" --version >/dev/null 2>&1; then
      command -v -- "$candidate"
      return 0
    fi
  done
  die "neither micromamba, mamba nor conda found" "install one (on a cluster: module load conda or similar), or run bash install.sh without --conda"
}

install_with_conda() {
  local tool
  tool=$(find_conda)
  if [ "$(stamp_value kind)" != conda ] || [ "$(stamp_value folder)" != "$root" ]; then
    rm -rf -- "$env_dir"
  fi
  write_stamp building
  if [ -d "$env_dir/conda-meta" ]; then
    case "$(basename -- "$tool")" in
      micromamba) logged "$tool" install --yes --prefix "$root/$env_dir" --file environment.yml ;;
      *) logged "$tool" env update --prefix "$root/$env_dir" --file environment.yml --prune ;;
    esac
  else
    case "$(basename -- "$tool")" in
      micromamba) logged "$tool" create --yes --prefix "$root/$env_dir" --file environment.yml ;;
      *) logged "$tool" env create --prefix "$root/$env_dir" --file environment.yml ;;
    esac
  fi
  logged "$env_dir/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable .
  compile_packages
}

compile_packages() { # now, once, by all cores; else each of the first processes does it, or none where the folder is read-only then
  local folder
  folder=$("$env_dir/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  # Packages bring a few files of other Pythons, which can't be compiled and aren't imported.
  "$env_dir/bin/python" -m compileall -q -j 0 "$folder" >>"$log_file" 2>&1 || true
}

wait_for_other_installs() { # two jobs may start at once; flock is missing on macOS, where that is unlikely
  command -v flock >/dev/null 2>&1 || return 0
  exec 9>"$tools_dir/lock"
  flock 9
}

nothing_to_do() { # succeeds, and says so, when the environment is complete
  up_to_date || return 1
  [ "$quiet" = 1 ] || say "Nothing to do: $root/$env_dir is complete."
}

main() {
  parse_options "$@"
  [ "$kind" = uv ] || [ -z "$python_wanted" ] || { say "install.sh: --python does not go with --conda" >&2; exit 2; }
  keep_earlier_choices
  ! nothing_to_do || return 0
  refuse_foreign_environment
  check_space
  mkdir -p -- "$tools_dir" 2>/dev/null || die "$root can't be written" "clone the project into a folder of yours"
  wait_for_other_installs
  ! nothing_to_do || return 0
  : >"$log_file"
  say "Building $root/$env_dir from $(source_files) …"
  if [ "$kind" = conda ]; then install_with_conda; else install_with_uv; fi
  # Names of networks and keywords, so that the first check of a table needn't wait for the libraries to say them.
  (cd / && "$root/$env_dir/bin/python" -c 'from cratermill.tables.keywords import build; build()') >>"$log_file" 2>&1 || true
  write_stamp "done"
  say "Done. Next: bash slurm/launch_training.sh   (the demo), or: source .venv/bin/activate && cratermill --help"
}

main "$@"
