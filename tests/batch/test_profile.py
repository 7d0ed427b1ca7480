import pytest

from cratermill.batch.profile import load_profile
from cratermill.core.errors import InputError

STAGES = ("train", "evaluate", "summarise", "map", "composite")


def write(root, text, name="mine"):
    folder = root / "configs" / "clusters"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yaml").write_text(text)


def test_shipped_profiles_are_valid(project_folder):
    example = load_profile("example", project_folder, STAGES)
    assert example.executor == "slurm" and example.resources("train").gpus == 1
    assert example.resources("evaluate").side_by_side == 2 and example.resources("summarise").gpus == 0
    assert load_profile("local", project_folder).executor == "local"


def test_stages_inherit_from_default(root):
    write(root, "default: {cpus: 3, mem_gb: 7}\nstages:\n  train: {gpus: 1}\n")
    profile = load_profile("mine", root, STAGES)
    assert profile.resources("train").model_dump() == {**profile.default.model_dump(), "gpus": 1}
    assert profile.resources("map").cpus == 3 and profile.name == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("partitions: gpu", "partitions: unknown key; nearest valid: partition"),
        ("stages: {train: {memory_gb: 3}}", "stages.train.memory_gb: unknown key; nearest valid: mem_gb"),
        ("stages: {trian: {cpus: 3}}", "stages.trian is no stage\nValid: train"),
        ("limits: {max_jobs: 3}", "limits.max_jobs: unknown key"),
        ("default: {cpus: 0}", "default.cpus = 0: .*greater than or equal to 1"),
        ('account: "a\\nb"', r"account = 'a\\nb': valid: one line"),
        ("container: {image: /x.sif, binds: [/a]}", "container.binds: unknown key; nearest valid: bind"),
        ("executor: local\ncontainer: {image: /x.sif}", "a container needs executor slurm"),
        ("container: {image: /x.sif, bind: [a]}", "container.bind.0 = 'a'"),
        ("flags: [reservation=x]", "flags.0 = 'reservation=x'"),
        ("[1, 2]", "holds no keys"),
        ("a: [", "is not valid YAML"),
        ("partition: a\npartition: b\n", "the key 'partition' stands in line 1 already"),
        ("executor: pbs", "executor = 'pbs'"),
    ],
)
def test_refused(root, text, message):
    write(root, text)
    with pytest.raises(InputError, match=message):
        load_profile("mine", root, STAGES)


def test_unknown_profile_names_those_there_are(root):
    write(root, "executor: slurm", "alpha")
    with pytest.raises(InputError, match="There is no profile 'alpa'\nValid: alpha"):
        load_profile("alpa", root)
    assert load_profile(str(root / "configs/clusters/alpha.yaml"), root).name == "alpha"
