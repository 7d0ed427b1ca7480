"""What of submitit's private parts we stand on, and a frozen plan run by users' own submitit."""

import contextlib
import functools
import inspect
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import submitit
from submitit.core import plugins, submission, utils
from submitit.slurm import slurm as submitit_slurm

from cratermill.batch import __main__ as node
from cratermill.batch import provenance
from cratermill.batch.by_submitit import SETUP, CellExecutor
from cratermill.batch.jobscript import Job
from cratermill.batch.plan import freeze
from cratermill.batch.profile import Profile, Resources

from . import fake


def test_contract_with_submitit():
    """Whoever raises the bound on submitit's version reads here what must still hold."""
    assert {"_submit_command", "_make_submission_file_text", "_submitit_command_str", "_num_tasks"} <= set(dir(submitit.SlurmExecutor))
    wanted = {"job_name", "time", "mem", "nodes", "ntasks_per_node", "cpus_per_task", "wckey", "setup", "use_srun", "additional_parameters"}
    assert wanted | {"stderr_to_stdout"} <= set(submitit_slurm._get_default_parameters())
    text = submitit_slurm._make_sbatch_string(command="run it", folder="/f", setup=["a", "b"], use_srun=False, stderr_to_stdout=True)
    assert text.count(SETUP) == 1 and text.endswith("\n# command\nexport SUBMITIT_EXECUTOR=slurm\nrun it\n")
    assert isinstance(plugins.get_job_environments(), dict) and "slurm" in plugins.get_job_environments()
    source = inspect.getsource(submission.process_job)
    order = ["JobEnvironment()", "paths.submitted_pickle", "_handle_signals", "delayed.result()", "paths.result_pickle", "except Exception"]
    assert sorted(order, key=source.index) == order, "a SystemExit of the work leaves no result"
    assert {"submitted_pickle", "result_pickle", "_format_id"} <= set(dir(utils.JobPaths))
    assert node.ArrayEnvironment._handle_signals is not submitit_slurm.SlurmJobEnvironment._handle_signals


def test_on_the_node_the_array_s_pickle_is_found_and_stopped_work_has_no_result(root):
    folder = root / "100%j/slurm"
    folder.mkdir(parents=True)
    job = Job("n.train.7", 7, str(folder), 1, Resources(), sys.executable)
    runner = CellExecutor(job, Profile(name="x"))
    script = Path(folder / "sbatch")
    script.write_text("#!/bin/sh\necho warning: 3 nodes are down\necho '12;devcluster'\necho thank you\n")
    script.chmod(0o755)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}"}
    made = {}
    for code in (0, 75):
        with utils.environment_variables(**environment):
            assert runner.submit_array(utils.CommandFunction(["true"]) if code == 0 else functools.partial(sys.exit, 75)) == 12
        words = {"CRATERMILL_SUBMISSION": "7", "SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": "13", "SLURM_ARRAY_JOB_ID": "12"}
        command = [sys.executable, "-m", "cratermill.batch", str(folder)]
        here = {**os.environ, **words, "SLURM_ARRAY_TASK_ID": "0", "PYTHONPATH": str(fake.HERE.parents[2])}
        made[code] = subprocess.run(command, env=here, check=False).returncode, (folder / "7.result.pkl").exists()
        (folder / "7.result.pkl").unlink(missing_ok=True)
    assert made == {0: (0, True), 75: (75, False)}
    assert sorted(path.name for path in folder.iterdir()) == ["7.pkl", "7.sh", "sbatch"]


def test_ten_lines_of_a_user_s_own(root, project_folder, monkeypatch):
    """docs/submitit.md as it stands, with submitit's executors that need no cluster."""
    page = (project_folder / "docs/submitit.md").read_text()
    lines = page.split("```python\n")[1].split("```")[0].replace("OneCell(str(plan.path))", f"OneCell(str(plan.path), {fake.WORK!r})")
    monkeypatch.chdir(root)
    for name in ("debug", "local"):
        freeze(fake.plan_of(root, [{"n": name}, {"n": name, "k": 1, "needs": [0], "product": f"log/products/{name}"}], name=name))
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(lines.replace('cluster="local"', f'cluster="{name}"').replace('"latest"', f'"{name}"'), {})
        assert said.getvalue().count("['done']") == 2
        shutil.rmtree(root / "log/products")


def test_the_copy_of_the_code_works_wherever_it_lies(root, project_folder):
    """What networks there are, which bodies, what the code is: all that reads files of the package does so from the copy, too."""
    copy = provenance.keep_code(root)
    code = (
        "import cratermill; from cratermill.batch import provenance; from cratermill.geo.bodies import get_body\n"
        "from cratermill.networks.listing import listing\n"
        "print(cratermill.__file__); print(provenance.code_hash()); print(get_body('mars').name, len(listing('smp')['names']) > 5)\n"
        "from importlib.resources import files; print(len(files('cratermill.report').joinpath('viewer.js').read_text()) > 99)\n"
    )
    here = {**os.environ, "PYTHONPATH": str(copy), "CRATERMILL_CONFIGS": str(project_folder / "configs")}
    said = subprocess.run([sys.executable, "-c", code], env=here, cwd=root, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    lines = said.stdout.splitlines()
    assert (
        lines[0] == f"{copy}/cratermill/__init__.pyc"
        and lines[1] == provenance.code_hash()
        and lines[2].lower() == "mars true"
        and lines[3] == "True"
    )


def test_nothing_that_jobs_run_reads_the_file_beside_it_by_its_path(project_folder):
    """In the copy there are no such paths; importlib.resources finds what lies in it."""
    package = project_folder / "code" / "cratermill"
    found = [path.relative_to(package).as_posix() for path in package.rglob("*.py") if "__file__).with_name(" in path.read_text()]
    assert found == ["ejmap_import/checkpoints.py"], "that one is for login nodes"
