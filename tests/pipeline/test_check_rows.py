"""A row that can't be trained is found before its cells are queued."""

from cratermill.batch.cell import run_cell
from cratermill.batch.plan import freeze
from cratermill.families.connection.hparams import Hparams
from cratermill.pipeline.check_rows import check_rows
from cratermill.pipeline.launch import plan_training
from cratermill.pipeline.load_config import load_config


def test_rows_that_build_and_rows_that_do_not(project, monkeypatch):
    config = load_config(project)
    plan = plan_training(config)
    assert dict(check_rows(config, plan)) == {"connection version 3": None, "ejecta version 8": None}

    def refuse(*_):
        raise RuntimeError("sizes of tensors must match\nand more")

    monkeypatch.setattr(Hparams, "build_network", refuse)
    found = dict(check_rows(config, plan))
    assert found == {"connection version 3": "RuntimeError: sizes of tensors must match", "ejecta version 8": None}
    for path in (config.data.root / "ejc_data" / "stacks").rglob("*.npy"):
        path.unlink()
    assert dict(check_rows(config, plan))["ejecta version 8"].startswith("InputError: ")


def test_rows_that_are_trained_are_not_asked_again(project):
    config = load_config(project)
    plan = plan_training(config)
    freeze(plan)
    trained = [cell for cell in plan.cells if cell.stage == "train" and cell.params["family"] == "connection"]
    for cell in trained:
        assert run_cell(plan, cell.index, lambda *_: {}).state == "done"
    assert [name for name, _ in check_rows(config, plan)] == ["ejecta version 8"]
