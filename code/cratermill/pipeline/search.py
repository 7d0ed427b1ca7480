"""Which row next: Optuna proposes rows of a table of the search's own, the executors train them, validation alone judges."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ..batch.plan import Plan
from ..batch.state import CELL_FILE, is_done
from ..config import Config
from ..core.errors import InputError, WorkError
from ..core.files import atomic_path, read_json
from ..core.models import Strict
from ..families import get_family
from ..report.search_page import write_search_page
from ..tables.sweep import Choices, Range, text_of
from .index import SEARCH, refresh
from .load_config import load_config
from .planning import all_plan, prepared_or_refuse, wanted_rows

if TYPE_CHECKING:
    import optuna

RUNGS = 10
"""Rows of a trial have numbers of its own: ten times the trial's, plus the rung."""
Run = Callable[[Plan], int]


class Budget(Strict):
    cells: int | None = Field(None, ge=1, description="trainings at most")
    hours: float | None = Field(None, gt=0, description="of training, all cells together: GPU-hours where each has a GPU")


class SearchKeys(Strict):
    """``search`` of a run configuration."""

    family: str
    base: int = Field(alias="from", ge=0, description="the row that is varied")
    columns: dict[str, Choices] = Field(min_length=1, description="lists to choose from, or ranges, as in versions grid")
    trials: int = Field(20, ge=1, le=100_000)
    parallel: int = Field(4, ge=1, le=10_000, description="trials that are proposed and trained together")
    min_epochs: int | None = Field(None, ge=1, description="epochs of the first rung; without it every trial is trained to the end")
    eta: int = Field(3, ge=2, le=10, description="every rung has so many times the epochs, and keeps one trial in so many")
    budget: Budget = Budget()

    def rungs(self, max_epochs: int) -> list[int]:
        """Epochs of each rung, the last one the row's own."""
        found, epochs = list[int](), self.min_epochs or max_epochs
        while epochs < max_epochs and len(found) < RUNGS - 1:
            found.append(epochs)
            epochs *= self.eta
        return [*found, max_epochs]


@dataclass
class Search:
    """One search: its study on the disk, its table, the trainings that it asks for."""

    config: Config
    keys: SearchKeys
    run: Run
    say: Callable[[str], None] = print

    @cached_property
    def family(self) -> Any:
        if self.keys.family not in self.config.run.train:
            raise InputError(f"search.family {self.keys.family}", valid=", ".join(self.config.run.train) or "a family below train")
        return get_family(self.keys.family)

    @cached_property
    def folder(self) -> Path:
        return self.config.project.log / "searches" / self.config.run.name

    @cached_property
    def table(self) -> Path:
        return self.folder / f"{self.keys.family}_version_hparams.csv"

    @cached_property
    def base(self) -> dict[str, str]:
        """The cells of the row that is varied."""
        path = self.config.path(self.config.run.train[self.keys.family].table)
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.DictReader(file) if row["version"].strip() == str(self.keys.base)]
        if not rows:
            raise InputError(f"{path} has no version {self.keys.base} to vary", next_step="name one of its versions: search.from")
        unknown = next((name for name in self.keys.columns if name not in rows[0]), None)
        if unknown:
            raise InputError(f"search.columns: {path} has no column {unknown}", next_step="name one of its columns")
        return rows[0]

    @cached_property
    def row(self) -> Any:
        """The same, checked."""
        assert self.family and self.base  # what is wrong with them is said first
        run = self.config.run.train[self.keys.family]
        return wanted_rows(self.with_family(run.model_copy(update={"versions": [self.keys.base]})))[self.keys.family][0]

    @cached_property
    def rungs(self) -> list[int]:
        return self.keys.rungs(self.row.max_epochs)

    def with_family(self, run: Any) -> Config:
        update: dict[str, Any] = {"train": {self.keys.family: run}, "map": None, "maps": [], "search": None}
        return Config(self.config.run.model_copy(update=update), self.config.root, self.config.source)

    def own_config(self, versions: list[int]) -> Config:
        """The search's table, in a group of its own: its numbers meet nobody else's."""
        run = self.config.run.train[self.keys.family]
        table = self.config.project.relative(self.table)
        one = self.with_family(run.model_copy(update={"table": table, "versions": versions}))
        name = f"search-{self.config.run.name}"
        return Config(one.run.model_copy(update={"name": name, "group": name}), one.root, one.source)

    @cached_property
    def study(self) -> optuna.Study:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.folder.mkdir(parents=True, exist_ok=True)
        storage = JournalStorage(JournalFileBackend(str(self.folder / "study.journal")))
        down = self.row.val_metric in type(self.row).lower_is_better
        return optuna.create_study(
            study_name=self.config.run.name,
            storage=storage,
            load_if_exists=True,
            direction="minimize" if down else "maximize",
            sampler=optuna.samplers.TPESampler(seed=self.config.run.seed, constant_liar=True),
            pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=self.rungs[0], reduction_factor=self.keys.eta),
        )

    @property
    def used(self) -> dict[str, float]:
        """Trainings and their hours, those of earlier calls, too: the study remembers what each rung of each trial took."""
        spent = [took for one in self.study.get_trials(deepcopy=False) for took in one.user_attrs.values()]
        return {"cells": sum(cells for cells, _ in spent), "hours": sum(hours for _, hours in spent)}

    # --- the search ------------------------------------------------------------------------------------------------------

    def go(self) -> dict[str, Any]:
        """Propose and train until all trials are told, or the budget is spent; again: goes on where it was."""
        while self.within_budget() and (trials := self.next_trials()):
            for rung in range(len(self.rungs)):
                trials = self.climb(trials, rung)
                if not trials or not self.within_budget():
                    break
            self.write_page()
        return self.outcome()

    def next_trials(self) -> list[Any]:
        """Those that an earlier call left in the middle, else new ones."""
        import optuna

        left = [one for one in self.study.get_trials(deepcopy=False) if one.state == optuna.trial.TrialState.RUNNING]
        if left:
            return [optuna.trial.Trial(self.study, one._trial_id) for one in left]
        told = len(self.study.get_trials(deepcopy=False))
        return [self._asked() for _ in range(min(self.keys.parallel, self.keys.trials - told))]

    def _asked(self) -> Any:
        trial = self.study.ask()
        for name in self.keys.columns:
            self.value(trial, name)
        return trial

    def value(self, trial: Any, name: str) -> Any:
        """What the trial says of a column."""
        choices = self.keys.columns[name]
        if isinstance(choices, Range):
            if choices.integer:
                return trial.suggest_int(name, int(choices.low), int(choices.high), log=choices.log)
            return float(f"{trial.suggest_float(name, choices.low, choices.high, log=choices.log):.6g}")
        number = trial.suggest_categorical(name, [text_of(choice) for choice in choices])
        return number

    def climb(self, trials: list[Any], rung: int) -> list[Any]:
        """Train these trials' rows of one rung; returns those that go on."""
        import optuna

        epochs, last = self.rungs[rung], rung == len(self.rungs) - 1
        waiting = [one for one in trials if epochs not in self.study.get_trials(deepcopy=False)[one.number].intermediate_values]
        scores = self.train({trial.number * RUNGS + rung: trial for trial in waiting}, epochs) if waiting else {}
        for trial in waiting:
            score = scores.get(trial.number * RUNGS + rung)
            if score is None or not math.isfinite(score):
                self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                trial.report(score, epochs)
        alive = [one for one in trials if epochs in self.study.get_trials(deepcopy=False)[one.number].intermediate_values]
        going = []
        for trial in alive:
            score = self.study.get_trials(deepcopy=False)[trial.number].intermediate_values[epochs]
            if last:
                self.study.tell(trial, score)
            elif trial.should_prune():
                self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            else:
                going.append(trial)
        self.say(f"{len(alive)} trials at {epochs} epochs" + ("" if last else f", {len(going)} go on"))
        return going

    def train(self, trials: dict[int, Any], epochs: int) -> dict[int, float | None]:
        """Rows into the table, their cells trained; the validation score of each row, its mean over splits and iterations."""
        self.write_rows({number: self.cells_of(trial, number, epochs) for number, trial in trials.items()})
        config = self.own_config(sorted(trials))
        rows = wanted_rows(config)
        prepared_or_refuse(config, rows)
        plan = all_plan(config, rows, until="train")
        self.run(plan)
        found: dict[int, list[float]] = {number: [] for number in trials}
        hours = dict.fromkeys(trials, 0.0)
        for cell in plan.cells:
            if is_done(plan, cell):
                metrics, number = (read_json(plan.product(cell) / CELL_FILE) or {}).get("metrics") or {}, cell.params["version"]
                hours[number] += float(metrics.get("runtime", 0)) / 3600
                found[number].append(float(metrics.get(f"val_{self.row.val_metric}", math.nan)))
        for number, trial in trials.items():
            trial.set_user_attr(f"spent at {epochs} epochs", (len(found[number]), hours[number]))
        whole = len(plan.cells) / max(1, len(trials))
        return {number: sum(scores) / len(scores) if len(scores) == whole else None for number, scores in found.items()}

    def cells_of(self, trial: Any, number: int, epochs: int) -> dict[str, str]:
        changed = {name: text_of(self.value(trial, name)) for name in self.keys.columns}
        return self.base | changed | {"version": str(number), "max_epochs": str(epochs), "version_run": "True"}

    def write_rows(self, new: dict[int, dict[str, str]]) -> None:
        old = []
        if self.table.exists():
            with self.table.open(newline="", encoding="utf-8") as file:
                old = list(csv.DictReader(file))
        rows = {int(row["version"]): row for row in old} | new
        with atomic_path(self.table) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self.base), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows[number] for number in sorted(rows))

    def within_budget(self) -> bool:
        budget = self.keys.budget
        spent = [f"{budget.cells} cells" if budget.cells and self.used["cells"] >= budget.cells else ""]
        spent.append(f"{budget.hours} hours" if budget.hours and self.used["hours"] >= budget.hours else "")
        if any(spent):
            self.say(f"the budget of {' and '.join(filter(None, spent))} is spent; more: raise it and give the same command again")
        return not any(spent)

    # --- what came out ---------------------------------------------------------------------------------------------------

    def outcome(self) -> dict[str, Any]:
        """The best row by validation, where its table lies, how many trials ended how."""
        import optuna

        trials = self.study.get_trials(deepcopy=False)
        done = [one for one in trials if one.state == optuna.trial.TrialState.COMPLETE]
        counts = {state.name.lower(): sum(one.state == state for one in trials) for state in optuna.trial.TrialState}
        found: dict[str, Any] = {"trials": {name: number for name, number in counts.items() if number}, **self.used}
        found["table"] = self.config.project.relative(self.table)
        if done:
            best = self.study.best_trial
            found |= {"best": best.number * RUNGS + len(self.rungs) - 1, "score": best.value, "columns": best.params}
            found["page"] = self.config.project.relative(self.write_page())
        return found

    def importances(self) -> dict[str, float]:
        """Share of the scores' variance that each column explains, by Optuna's fANOVA; none of fewer than four full trials."""
        import optuna

        if sum(one.state == optuna.trial.TrialState.COMPLETE for one in self.study.get_trials(deepcopy=False)) < 4:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        return dict(optuna.importance.get_param_importances(self.study, evaluator=evaluator))

    def write_page(self) -> Path:
        """``search.html`` beside the search's versions."""
        import pandas as pd

        folder = self.own_config([]).project.family_results(self.family.short)
        metric = f"validation {self.row.val_metric}"
        rows = [
            {
                "trial": one.number,
                "version": one.number * RUNGS + max(0, len(one.intermediate_values) - 1),
                "state": one.state.name.lower(),
                metric: one.value or next(reversed(one.intermediate_values.values()), None),
            }
            | {"epochs": max(one.intermediate_values, default=0), **one.params}
            for one in self.study.get_trials(deepcopy=False)
        ]
        facts = {"Rows": self.config.project.relative(self.table), "Varied": f"version {self.keys.base} of {self.keys.family}"}
        done = [one for one in rows if one["state"] == "complete"]
        if done:
            best = self.study.best_trial.number
            found = next(one for one in done if one["trial"] == best)
            facts["Best"] = f"version {found['version']}, {metric} {found[metric]:.4g}: copy its row into a table of your own"
        page = write_search_page(folder / SEARCH, self.config.run.name, facts, metric, pd.DataFrame(rows), self.importances())
        refresh(folder)
        return page


def open_search(config_path: Path, run: Run, say: Callable[[str], None]) -> Search:
    config = load_config(config_path)
    if config.run.search is None:
        raise InputError(
            f"{config_path} searches for nothing",
            valid="search: {family: ejecta, from: 200, columns: {lr: [0.001, 0.0001]}}",
        )
    return Search(config, config.part(SearchKeys, config.run.search, "search"), run, say)


def describe(search: Search) -> str:
    """For ``--dry-run``: rungs and the most cells that this may take."""
    row = search.row  # says what is wrong with the keys
    run = search.config.run.train[search.keys.family]
    each = len(run.splits_of(row)) * (run.iterations or row.trainings_per_test)
    most, going = 0, search.keys.trials
    for _ in search.rungs:
        most, going = most + going * each, -(-going // search.keys.eta)
    budget, rungs = search.keys.budget, " → ".join(map(str, search.rungs))
    text = (
        f"{search.keys.trials} trials of {search.keys.family}, {search.keys.parallel} at a time, from version {search.keys.base}; "
        f"epochs {rungs}; {each} cells per row, about {most} in all"
    )
    if budget.cells and budget.cells < most:
        first = search.keys.parallel * each
        whole = "not even the first trials" if budget.cells < first else f"the first {budget.cells // each} rows or so"
        text += f"; the budget of {budget.cells} cells ends the search earlier, after {whole}"
    elif budget.cells:
        text += f", within the budget of {budget.cells}"
    return text + (f"; it ends once {budget.hours:g} hours have been trained" if budget.hours else "")


def require_done(found: dict[str, Any]) -> None:
    if "best" not in found:
        raise WorkError("no trial was trained to its end", next_step="raise the budget, or read the logs of the cells that failed")
