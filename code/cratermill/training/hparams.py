"""The columns that the tables of all trained families share, and the model of one row built on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from ..core.models import Strict
from .fields import Augmentation, Flag, Integer, Integers, Number
from .registry import WARMUP, LossName, OptimizerName, SchedulerName


class RowHparams(Strict):
    """The columns of every family. A family adds ``val_metric``, ``loss`` and its own.

    One row of a table: plain values only, so that it can lie in a plan as JSON and come back by ``from_plan``.

    Types and ranges are checked here, without importing torch. Whether a network, loss or keyword exists is checked by
    :mod:`.table`, when a table is read.
    """

    keyword_groups: ClassVar[dict[str, str]] = {"LR": "scheduler", "OPT": "optimizer"}
    """Prefix of keyword columns and the field that says which of them are used."""

    lower_is_better: ClassVar[frozenset[str]] = frozenset({"loss"})
    """Validation scores of which less is better."""

    not_trained_on: ClassVar[tuple[str, ...]] = ("version_run", "test_set", "trainings_per_test")
    """Columns that say what to run or how to judge it: changing them leaves a trained cell as it is."""

    came_later: ClassVar[tuple[str, ...]] = ()
    """Columns that rows have not had from the start: those that hold their default leave what was made without them as it is."""

    version: Integer = Field(ge=0, description="number of the row; names its folders below log/ and results/")
    version_run: Flag = Field(description="whether a launch without a list of versions trains this row")
    test_set: Integers = Field(alias="test-set", description="TV-Test splits to train, a list of their codes like [0] or [1, 2, 3]")
    trainings_per_test: Integer = Field(ge=1, description="iterations per split, each with its own Train-Val split and seed")
    val_frac: Number = Field(gt=0, lt=1, description="share of the TV samples that validates; stratified on their classes")
    batch_size: Integer = Field(ge=1, description="samples per optimisation step")
    lr: Number = Field(gt=0, description="learning rate at the start (after the warm-up, if there is one)")
    scheduler: SchedulerName | None = Field(
        None,
        description="course of the learning rate over the epochs, keywords in LR_{scheduler}_{keyword}; blank: constant. "
        "With the suffix _Warmup it first rises linearly from a hundredth over LR_Warmup_milestone epochs",
    )
    LR_Warmup_milestone: Integer | None = Field(None, ge=1, description="epochs of the warm-up, for schedulers with the suffix _Warmup")
    optimizer: OptimizerName = Field(
        description="optimiser, keywords in OPT_{optimizer}_{keyword}. Muon takes the weights of convolutions and linear layers "
        "as matrices; all else goes to AdamW, with OPT_AdamW_ keywords"
    )
    max_epochs: Integer = Field(ge=1, description="epochs at most")
    early_stop_patience: Integer | None = Field(
        None, ge=1, description="epochs without a better val_metric before training stops; blank: never"
    )
    keywords: dict[str, Any] = Field(default_factory=dict, description="the filled keyword columns (LS_, LR_, OPT_, MDL_) by their names")

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        conflicts = list(self.conflicts())
        if conflicts:
            text = "; ".join(f"{column} {reason}" for column, reason, _ in conflicts)
            raise PydanticCustomError("conflicts", "{reason}", {"reason": text, "conflicts": conflicts})
        return self

    def conflicts(self) -> Iterator[tuple[str, str, str]]:
        """Columns that are sound alone but not together: (column, reason, valid)."""
        if self.scheduler and self.scheduler.endswith(WARMUP) and self.LR_Warmup_milestone is None:
            yield "LR_Warmup_milestone", f"is blank, but the scheduler {self.scheduler} needs it", "a number of epochs, like 10"

    @classmethod
    def from_plan(cls, values: Mapping[str, Any]) -> Self:
        """The row as a frozen plan holds it (``model_dump(mode="json")``)."""
        return cls.model_validate(dict(values))

    def chosen(self, prefix: str) -> str | None:
        """The name whose keyword columns of this prefix count: for LR the scheduler without its suffix."""
        name = getattr(self, self.keyword_groups[prefix])
        return name.removesuffix(WARMUP) if name else None

    def chosen_name(self, prefix: str) -> str:
        """The same where there must be one."""
        name = self.chosen(prefix)
        assert name is not None, f"no {self.keyword_groups[prefix]} in this row"
        return name

    def keywords_of(self, prefix: str, name: str | None = None) -> dict[str, Any]:
        """Keyword arguments for one name, by default the chosen one: ``{"alpha": 0.1}`` from ``LS_focal_alpha``."""
        start = f"{prefix}_{name or self.chosen(prefix)}_"
        return {column.removeprefix(start): value for column, value in self.keywords.items() if column.startswith(start)}

    @classmethod
    def columns(cls) -> dict[str, str]:
        """Column names of the CSV and their fields, keyword columns aside."""
        return {field.alias or name: name for name, field in cls.model_fields.items() if name != "keywords"}

    @classmethod
    def validation_rank(cls, metric: str, scores: Mapping[str, float]) -> tuple[float, float]:
        """Orders epochs and iterations, more is better: by the metric; on a tie, common with few tiles, by the lower loss."""
        value = scores.get(metric, float("nan"))
        known = float("-inf") if value != value else float(-value if metric in cls.lower_is_better else value)
        return known, -float(scores.get("loss", float("inf")))

    def backbones(self) -> list[tuple[str, str, str]]:
        """(column, name, home library) of every network that the row names."""
        return []

    def hub_names(self) -> list[str]:
        """Repositories of the Hugging Face hub whose weights the row names outright."""
        return []

    def build_network(self, bands: int = 3, pretrained: bool | None = None) -> Any:
        """The row's network for a mosaic of so many bands; ``pretrained`` overrules the row's."""
        raise NotImplementedError

    @property
    def begins_pretrained(self) -> bool:
        """Whether the row's networks begin with published weights; only some families have the column."""
        return getattr(self, "pretrained", False)

    def without_weights(self) -> Self:
        """The same row, beginning with none: for networks whose weights are at hand."""
        return self.model_copy(update={"pretrained": False}) if self.begins_pretrained else self

    outputs: ClassVar[int | None] = None
    """Channels of the network's output, where they are always as many."""

    def network_label(self) -> str:
        """The network in a few words."""
        return " ".join(name for _, name, _ in self.backbones())

    def network_key(self) -> tuple:
        """Rows with equal keys build equal networks."""
        return (type(self).__name__, *self.backbones())

    def sample_input(self, bands: int = 3, batch: int = 2) -> tuple[Any, ...]:
        """Zero tensors that the network of ``build_network(bands)`` takes."""
        raise NotImplementedError


class TrainingHparams(RowHparams):
    """What the families of the ejecta map share besides: one logit per tile or pixel, binary scores, published weights."""

    keyword_groups: ClassVar[dict[str, str]] = {"LS": "loss", **RowHparams.keyword_groups}
    outputs: ClassVar[int | None] = 1

    val_metric: Literal["Accuracy", "F1_Score", "IoU", "Precision", "Recall"] = Field(
        description="validation score that picks the best epoch and decides on early stopping; more is better"
    )
    loss: LossName = Field(description="loss; keywords in LS_{loss}_{keyword}")
    pretrained: Flag = Field(description="begin with published weights; they must be in the local cache (cratermill weights fetch)")
    norm_from_train: Flag = Field(description="normalise by mean and deviation of the TV tiles instead of fixed values")
    img_augment: Augmentation = Field(
        description="augment training tiles. True: contrast, brightness, blur, flips (and right-angle turns in ejecta); "
        "or the name of a recipe in configs/augment"
    )
    tile_size_px: Integer = Field(224, ge=32, description="side of the network's input; tiles are resampled to it (ours; EJMAP: 224)")
