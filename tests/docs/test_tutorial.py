"""The tutorial's commands, executed as they stand, in a project of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_tutorials_commands_run(project_folder, tmp_path):
    blocks = BLOCK.findall((project_folder / "docs" / "tutorial.md").read_text(encoding="utf-8"))
    assert len(blocks) == 6
    project = tmp_path / "my project"
    shutil.copytree(project_folder / "configs", project / "configs")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    script = "set -euo pipefail\n" + "\n".join(blocks)
    done = subprocess.run(["bash", "-c", script], cwd=project, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    made = {path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()}
    assert "results/ejc_results/version_7/eval_metrics.csv" in made
    assert any(name.endswith("ml_FID_map_all.tif") for name in made)
