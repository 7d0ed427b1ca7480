#!/usr/bin/env bash
# Run every test, or those named: bash tests/run.sh [pytest options]. Installs what the tests need first.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
bash "$root/install.sh" --dev --quiet
cd -- "$root"
unset PYTHONPATH
export PYTHONNOUSERSITE=1 PYTHONHASHSEED=0

# Two files at a time: much of a test of the cluster is waiting.
exec .venv/bin/python -m pytest -rs -n 2 --dist loadfile "$@"
