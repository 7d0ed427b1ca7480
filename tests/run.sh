#!/usr/bin/env bash
# Run every test, or those named: bash tests/run.sh [--fast] [pytest options]. Installs what the tests need first.
# --fast: only the folders and files of tests/fast.txt, without their slow tests; within two minutes on two cores.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
bash "$root/install.sh" --dev --quiet
cd -- "$root"
unset PYTHONPATH
export PYTHONNOUSERSITE=1 PYTHONHASHSEED=0

chosen=()
if [ "${1:-}" = --fast ]; then
  shift
  mapfile -t chosen <tests/fast.txt
  chosen+=(-m fast)
fi

# Three files at a time: much of a test of the cluster is waiting. In the order of tests/conftest.py: long ones first.
exec .venv/bin/python -m pytest -rs -n 3 --dist loadfile --no-loadscope-reorder ${chosen[@]+"${chosen[@]}"} "$@"
