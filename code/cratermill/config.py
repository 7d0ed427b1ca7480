"""The run configuration: one YAML file that names the data, the rows to train and the map to make."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from itertools import product
from keyword import iskeyword
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from .core.errors import NAME, InputError
from .core.files import stat_fingerprint
from .core.models import Model, Strict, checked
from .core.paths import DataFolder, Project


def _codes(value: Any) -> Any:
    """Versions and splits: said here once, since pydantic takes True for 1 and an empty list would train nothing."""
    if value is None:
        return value
    numbers = value if isinstance(value, list) else []
    if not numbers or any(type(one) is not int or one < 0 for one in numbers) or len(set(numbers)) < len(numbers):
        raise ValueError("must be a list of different whole numbers from 0, such as [0, 1]; left out where the table decides")
    return value


def _auto_or_from(least: int) -> BeforeValidator:
    def check(value: Any) -> Any:
        if value == "auto" or (type(value) is int and value >= least):
            return value
        raise ValueError(f"must be auto, or a whole number from {least}")

    return BeforeValidator(check)


Codes = Annotated[list[int] | None, BeforeValidator(_codes)]


def _band_list(value: Any) -> Any:
    items = value if isinstance(value, list) else []
    if value is None or (items and all((type(one) is int and one >= 1) or (isinstance(one, str) and one.strip()) for one in items)):
        return value
    raise ValueError('must be a list of band numbers from 1, names and formulas, such as [b1, b2, "b1 / b3"]')


BandList = Annotated[list[int | str] | None, BeforeValidator(_band_list)]
"""Bands of a mosaic; geo/band_formulas.py checks them against its file."""


def _derived(value: Any) -> Any:
    return {"of": value} if isinstance(value, str) else value


class Derived(Strict):
    """A band of another raster, or what is computed from its heights."""

    of: str = Field(description="the raster, of any resolution, extent and projection, on the same body")
    make: Literal["values", "slope", "hillshade"] = Field(
        "values", description="its values, the slope of its heights in degrees, or the share of light that they reflect (0 to 1)"
    )
    band: int = Field(1, ge=1, description="which of its bands")
    metres_per_unit: float = Field(1.0, gt=0, allow_inf_nan=False, description="1000 where its heights are in kilometres")
    azimuth_deg: float | None = Field(None, ge=0, le=360, description="hillshade: where the light comes from, clockwise from north; 270")
    altitude_deg: float | None = Field(None, gt=0, le=90, description="hillshade: how high it stands; 30")

    @model_validator(mode="after")
    def _obeyed(self) -> Self:
        if self.make != "hillshade" and (self.azimuth_deg, self.altitude_deg) != (None, None):
            raise ValueError(f"azimuth_deg, altitude_deg: no keys of make: {self.make}; valid there: of, make, band, metres_per_unit")
        return self

    @property
    def light(self) -> tuple[float, float]:
        """Azimuth and altitude of the light, degrees."""
        return 270.0 if self.azimuth_deg is None else self.azimuth_deg, 30.0 if self.altitude_deg is None else self.altitude_deg


DerivedBands = dict[str, Annotated[Derived, BeforeValidator(_derived)]]


def _words(bands: list[int | str] | None) -> set[str]:
    """All names that a list of bands uses, those within formulas included."""
    return {word for band in bands or [] if isinstance(band, str) for word in re.findall(r"\w+", band)}


def _require_names(derived: dict[str, Derived], lists: list[list[int | str] | None]) -> None:
    """``ValueError`` for names that formulas can't use, or that no list of bands does."""
    words = set[str]().union(*map(_words, lists))
    for name in derived:
        if not name.isidentifier() or re.fullmatch(r"b\d+", name) or iskeyword(name):
            raise ValueError(f"derived: '{name}' can't be a band's name; valid: letters, digits and _, other than b1, b2, …")
        if name not in words:
            raise ValueError(f"derived: no list of bands names '{name}'; add it, such as bands: [b1, {name}]")


_DEFINITION = re.compile(r"([A-Za-z_]\w*)=(\{.*\})", re.DOTALL)


def parted_bands(bands: Sequence[int | str]) -> tuple[list[int | str], dict[str, Derived]]:
    """What ``Config.with_derived`` put together: bands, and what defines those of other rasters."""
    found = [(band, _DEFINITION.fullmatch(band) if isinstance(band, str) else None) for band in bands]
    derived = {match[1]: Derived(**json.loads(match[2])) for _, match in found if match}
    return [band for band, match in found if match is None], derived


def band_marks(bands: Sequence[int | str] | None) -> list[Any] | None:
    """Bands for marks of what was made with them: files of other rasters by name, size and time, wherever they lie."""
    if bands is None:
        return None
    chosen, derived = parted_bands(bands)
    return [*chosen, *([name, one.model_dump() | {"of": _file_mark(Path(one.of))}] for name, one in derived.items())]


def _file_mark(path: Path) -> list[Any]:
    return [path.name, *(stat_fingerprint(path) if path.is_file() else [])]


def _without(values: dict[str, Any], *later: str) -> dict[str, Any]:
    """Values without empty ones of keys that came later: what was prepared before there were these keys stays as it is."""
    return {name: value for name, value in values.items() if value or name not in later}


class NoOptions(Strict):
    """Takes no keys: families without data or options of their own."""


class Tiles(Strict):
    """Sizes in pixels of the mosaic; the defaults are EJMAP's."""

    eval_size_px: int = Field(112, ge=8, description="side of an azimuthal tile to map")
    eval_step: float = Field(0.9, gt=0, le=1, description="grid step of the tiles to map, as a share of their side")
    max_distance_fraction: float = Field(0.25, gt=0, le=1, description="tiles further from the crater than this share of pi R are left out")
    max_distance_overrides: dict[int, float] = Field(default_factory=dict, description="the same for single craters: {crat_FID: share}")

    def max_distance_m(self, fid: int, half_circumference_m: float) -> float:
        return self.max_distance_overrides.get(fid, self.max_distance_fraction) * half_circumference_m


class HoldOut(Strict):
    """Craters, or ground, that one split tests on, and that none of its networks sees."""

    craters: list[int] = Field(default_factory=list, description="FIDs; of tiles and chips those are tested on that hold a crater's centre")
    regions: str | None = Field(None, description="a file of polygons; tiles and chips whose middle lies in one are tested on")
    names: list[str] = Field(default_factory=list, description="names of tiles or chips, * stands for anything; of those read from files")
    validation: list[str] = Field(
        default_factory=list, description="names of the tiles that validate, instead of a share of the others; crater tiles"
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.craters and not self.regions and not self.names:
            raise ValueError("must name craters, regions or names")
        return self

    @model_serializer(mode="wrap")
    def _without_empty(self, dump: Any) -> dict[str, Any]:
        return _without(dump(self), "names", "validation")


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, dict | int) else value


class Splits(Strict):
    """TV-Test splits made by prepare; ignored where ``az_positions_all.csv`` was imported with its own."""

    count: int = Field(1, ge=1, le=1000, description="number of TV-Test splits, coded 0 to count-1")
    test_fraction: float = Field(0.2, gt=0, lt=1)
    by: Literal["row", "tile"] = Field("row", description="row: EJMAP's way; tile: all pairs of one ground tile stay on one side")
    hold_out: Annotated[list[HoldOut], BeforeValidator(_listed)] = Field(
        default_factory=list, description="{craters: [3, 17]}, {regions: FILE} or {names: [a*]}, or a list: a further split of each"
    )
    drawn_tiles: Annotated[list[Annotated[int, Field(ge=2)]], BeforeValidator(_listed)] = Field(
        default_factory=list, description="further splits, each with so many of the tiles with which split drawn_of trains; ejecta families"
    )
    drawn_of: int = Field(0, ge=0, description="the split that drawn_tiles are taken of, and whose tiles test")

    @model_serializer(mode="wrap")
    def _without_empty(self, dump: Any) -> dict[str, Any]:
        return _without(dump(self), "hold_out", "drawn_tiles", "drawn_of")


class FamilyRun(Strict):
    """Which rows of one family's table are trained."""

    table: str = Field(description="the *_version_hparams.csv")
    versions: Codes = Field(None, description="rows to train; all rows with version_run True when left out")
    splits: Codes = Field(None, description="instead of the row's test-set")
    iterations: int | None = Field(None, ge=1, description="instead of the row's trainings_per_test")
    data: dict[str, Any] = Field(default_factory=dict, description="where the family's own data come from; its keys are the family's")
    set: dict[str, Any] = Field(
        default_factory=dict, description="columns that overrule the table's, {lr: 0.001} in all rows or {200: {lr: 0.001}} in one"
    )

    @field_validator("set", mode="before")
    @classmethod
    def _texts(cls, value):
        return {str(key): item for key, item in value.items()} if isinstance(value, dict) else value

    def splits_of(self, row: Any) -> list[int]:
        """The TV-Test splits that a row is trained on."""
        return self.splits if self.splits is not None else row.test_set


class CraterList(Strict):
    """How a crater list is read whose columns, or whose only layer, don't say it, and which of its craters are used."""

    units: Literal["m", "km"] | None = Field(None, description="of the size column, where its name doesn't tell")
    layer: str | None = Field(None, description="of a file with several")
    where: str | None = Field(None, description="the craters to use, such as radius_m > 2e4 and abs(lat) < 60; all when left out")
    columns: dict[str, str] = Field(default_factory=dict, description="columns to add, {name: formula}; one called train says what trains")

    @property
    def told(self) -> dict[str, Any]:
        """What :func:`cratermill.craters.catalogue.read_catalogue` is told."""
        return {"units": self.units, "layer": self.layer, "where": self.where, "columns": self.columns}

    def narrowed(self, where: str) -> CraterList:
        """Those of its craters for which another expression holds too."""
        return self.model_copy(update={"where": f"({self.where}) and ({where})" if self.where else where})

    @model_serializer(mode="wrap")
    def _without_empty(self, dump: Any) -> dict[str, Any]:
        return _without(dump(self), "where", "columns")


BEST = "best"
"""Instead of a version's number: the one with the best validation score."""


def _one_or_more(least: int, *words: str) -> BeforeValidator:
    """A whole number (or one of these words), or a list of different ones."""

    def check(value: Any) -> Any:
        items = value if isinstance(value, list) else [value]
        if items and all(one in words or (type(one) is int and one >= least) for one in items) and len(set(items)) == len(items):
            return value
        raise ValueError(f"must be {', '.join(['a whole number', *words])}, or a list of different ones such as [{least}, {least + 1}]")

    return BeforeValidator(check)


Version = int | Literal["best"]


class AnalysisOptions(Strict):
    """How the patterns of a map's craters are measured."""

    min_size: int = Field(100, ge=0, description="smallest cluster of pixels that counts; smaller holes are filled")
    pictures: int = Field(12, ge=0, description="pictures of so many craters, those with most ejecta")
    band_names: list[str] = Field(default_factory=list, description="names of the mosaic's bands; as in its file when left out")
    area_km2: float | None = Field(None, gt=0, description="of a crater list: the area counted; what the map says when left out")
    chronology: str | None = Field(None, description="of a crater list: moon, mars, mercury, or a system by name")
    diameters: tuple[float, float] | None = Field(None, description="of a crater list: from and to, in km, for its age")
    where: str | None = Field(None, description="of a crater list: the craters that count, such as radius_m > 2e4")
    body: str | None = Field(None, description="of a crater list that names none: its body, by name or a yaml file")


class CompareOptions(Strict):
    """How a map is compared with truth."""

    scales: list[Annotated[int, Field(ge=2)]] = Field([2, 4, 8], description="windows of so many pixels in which the majority decides")
    min_size: int = Field(100, ge=0, description="smallest cluster of pixels that counts for a blanket")
    pictures: int = Field(12, ge=0, description="pictures of so many craters, those with most true ejecta")
    calibrate: Literal["temperature", "isotonic"] | None = Field(None, description="also fit a correction of vote shares and probabilities")
    diameters: tuple[float, float] | None = Field(None, description="of crater lists: sizes that count, from and to, in km")
    by: str | None = Field(None, description="of crater lists: column of the truth for recall by class; its degradation, if any")
    where: str | None = Field(None, description="of crater lists: the craters of both that count, such as lon < 0")
    body: str | None = Field(None, description="of crater lists that name none: their body, by name or a yaml file")

    @field_validator("scales")
    @classmethod
    def _different(cls, value):
        if len(set(value)) < len(value):
            raise ValueError("must be different whole numbers from 2, such as [2, 4, 8]")
        return value


class Comparison(CompareOptions):
    """A truth that the finished map is compared with."""

    truth: str = Field(description="masks, polygons, a synthetic planet or a map")


def _analysis(value: Any) -> Any:
    return {} if value is True else None if value is False else value


def _comparisons(value: Any) -> Any:
    """A truth by its path, with options, or several of either."""
    items = value if isinstance(value, list) else [] if value is None else [value]
    return [{"truth": one} if isinstance(one, str) else one for one in items]


class _MapKeys(Strict):
    """What a map and a list of maps have in common."""

    name: str | None = Field(None, description="folder below results/output_masks; made from versions and split when left out")
    data: str | None = Field(None, description="map another data folder than the one trained on")
    bands: BandList = Field(
        None, description="its bands to use: numbers from 1, names, formulas; [1, 1, 1] makes three of a grey one. The run's when left out"
    )
    match_brightness: bool = Field(
        False, description="bring its bands to the mean and deviation that the networks were trained with; for other mosaics than theirs"
    )
    craters: str | list[int] = Field("all", description="all, a list of FIDs, or an expression such as radius_m > 2e4")
    catalogue: str | None = Field(None, description="a crater list elsewhere")
    show: Literal["all"] | list[int] = Field("all", description="which of the mapped craters the composite shows: all, or a list of FIDs")
    crater_list: CraterList | None = Field(None, description="units and layer of catalogue, or of the list in map.data")
    colours: str | None = Field(
        None,
        description="a file of colours of craters: FID and colour on each line, or EJMAP's colorlist.txt; fixed ones by FID when left out",
    )
    overlap_alpha: float = Field(0.5, ge=0, le=1, description="opacity with which later craters blend over earlier ones in the composite")
    threshold: float = Field(0.5, gt=0, lt=1, description="share of the ensemble's votes from which a pixel is ejecta")
    smallest_cluster_px: int = Field(0, ge=0, description="connected pieces of ejecta of fewer pixels are left out; 0 keeps all")
    options: dict[str, Any] = Field(default_factory=dict, description="keys of the family that makes the map")
    compare: Annotated[list[Comparison], BeforeValidator(_comparisons)] = Field(
        default_factory=list,
        description="what to compare the finished map with, as 'cratermill compare' does: a path, {truth: path, ...}, or a list of these",
    )
    analyse: Annotated[AnalysisOptions | None, BeforeValidator(_analysis)] = Field(
        None,
        description="True, or {min_size: 100, ...}: measure the finished map's craters, as 'cratermill analyse' does",
    )

    @field_validator("craters", "show", mode="before")
    @classmethod
    def _all_or_numbers(cls, value, about: ValidationInfo):
        # Said here once; pydantic would complain about each member of the union, and take True for 1.
        numbers = value if isinstance(value, list) else []
        if value == "all" or (numbers and all(type(one) is int for one in numbers) and len(set(numbers)) == len(numbers)):
            return value
        if about.field_name == "craters" and isinstance(value, str) and set(value) & set("<>="):
            return value
        more = ", or an expression such as radius_m > 2e4" if about.field_name == "craters" else ""
        raise ValueError(f"must be all, or a list of FIDs such as [3, 17], none of them twice{more}")

    @field_validator("name")
    @classmethod
    def _one_folder(cls, value):
        # A path instead of a name would put the map, and look for what it replaces, outside the maps' folder.
        if value is None or re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._ -]*", value):
            return value
        raise ValueError("must be the name of one folder: letters, digits, blanks, . _ - and a letter or digit first")


class MapRun(_MapKeys):
    """One map: an ensemble of versions on one split's checkpoints."""

    versions: dict[str, Version]
    split: int = 0
    mosaic: str | None = None


class MapRuns(_MapKeys):
    """A map, or one for each combination of several versions, splits and mosaics."""

    versions: dict[str, Annotated[Version | list[Version], _one_or_more(0, BEST)]] = Field(
        description="family: version, e.g. {connection: 32, ejecta: 200}; best: the row with the best validation scores; or lists of these"
    )
    split: Annotated[int | list[int], _one_or_more(0)] = Field(
        0, description="the TV-Test split whose checkpoints are used, or a list: a map of each"
    )
    mosaic: str | list[str] | None = Field(None, description="a mosaic elsewhere, or a list: a map of each")

    def each(self) -> list[MapRun]:
        """The single maps; where there are several, what tells them apart is added to their given name."""
        keys: dict[Any, Any] = {("versions", family): wanted for family, wanted in self.versions.items()}
        keys |= {"split": self.split, "mosaic": self.mosaic}
        choices = [value if isinstance(value, list) else [value] for value in keys.values()]
        return [self._one(dict(zip(keys, chosen, strict=True))) for chosen in product(*choices)]

    def _one(self, chosen: dict[Any, Any]) -> MapRun:
        versions = {key[1]: value for key, value in chosen.items() if isinstance(key, tuple)}
        parts = [f"{family}-{value}" for family, value in versions.items() if isinstance(self.versions[family], list)]
        parts += [f"test-set-{chosen['split']}"] if isinstance(self.split, list) else []
        parts += [Path(chosen["mosaic"]).stem] if isinstance(self.mosaic, list) else []
        name = "_".join([self.name, *parts]) if self.name else None
        return MapRun(**{**dict(self), "versions": versions, "split": chosen["split"], "mosaic": chosen["mosaic"], "name": name})


class ImgNorm(Strict):
    """Fixed normalisation of the mosaic's bands."""

    mean: list[float] = Field(min_length=1, description="per band, subtracted")
    std: list[Annotated[float, Field(gt=0)]] = Field(min_length=1, description="per band, divided by")


class Trainer(Strict):
    """How training runs on the machine at hand; the defaults fit what is there."""

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: Annotated[int | Literal["auto"], _auto_or_from(1)] = 1
    nodes: int = Field(1, ge=1)
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed"] = "auto"
    loader_workers: Annotated[int | Literal["auto"], _auto_or_from(0)] = "auto"
    batch_size: Literal["row", "auto"] = Field("row", description="auto: not the row's, but the largest power of two that one GPU holds")
    augment_on: Literal["workers", "device"] = Field(
        "workers",
        description="where training samples are augmented: by imgaug in loader workers, or by kornia on the device, whole batches",
    )
    sample_on: Literal["auto", "host", "device"] = Field(
        "auto", description="where evaluations and maps sample tiles of a mosaic; auto: on the device where it is a GPU"
    )
    keep_on_device: Literal["auto"] | bool = Field(
        "auto", description="keep samples in the device's memory; auto: on a GPU, where they take at most a quarter of what is free"
    )
    compile: bool = Field(
        False, description="compile networks (torch.compile): a minute more per cell, then faster steps where they gain by it"
    )
    logger: list[Literal["tensorboard", "mlflow", "wandb"]] = Field(
        ["tensorboard"],
        description="who is told of scores as training goes: any of tensorboard, mlflow, wandb; [] for nobody",
    )
    pictures_every: int = Field(5, ge=0, description="epochs between two pictures of predictions for the loggers; 0: none")


class Cost(Strict):
    """What an hour of training costs, for the comparison of versions."""

    watts: float = Field(gt=0, description="drawn by the machine, or its share, while it trains")
    eur_per_kwh: float = Field(ge=0, description="price of a kilowatt-hour, in euros")


class RunConfig(Strict):
    """A resolved run configuration. Relative paths are relative to the project folder."""

    name: str = Field(pattern=NAME, description="letters, digits, . _ -; names the run")
    seed: int = Field(0, ge=0)
    data: str = Field(description="data folder: EJMAP's layout, and a folder for each family with data of its own")
    mosaic: str | None = None
    bands: BandList = Field(None, description='bands to train on and to map: numbers, names, formulas: [b1, b2, "b1 / b3"]')
    derived: DerivedBands = Field(
        default_factory=dict,
        description="bands of other rasters for 'bands' to name, or computed from heights: {shade: {of: dem.tif, make: hillshade}}",
    )
    body: str | None = Field(None, description="checked against the mosaic's ellipsoid")
    group: str | None = Field(
        None,
        pattern=NAME,
        description="a folder of its own for the versions of this config: their numbers may repeat those of another planet's",
    )
    crater_list: CraterList = Field(CraterList(), description="units and layer of fresh_craters in the data folder")
    tiles: Tiles = Tiles()
    splits: Splits = Splits()
    img_norm: ImgNorm | None = Field(None, description="{mean: [...], std: [...]} per band; measured on the mosaic when left out")
    train: dict[str, FamilyRun] = Field(default_factory=dict)
    trainer: Trainer = Trainer()
    search: dict[str, Any] | None = Field(None, description="rows to look for, by 'cratermill search'")
    cost: Cost | None = Field(None, description="what training costs, for the page that compares versions")
    map: MapRuns | None = None
    changed: list[str] = Field(default_factory=list, description="what --set changed in this launch; written by the program")
    maps: list[MapRuns] = Field(default_factory=list, description="further maps, each with the keys of map")

    @model_validator(mode="after")
    def _derived_are_used(self) -> Self:
        data = [found for one in self.train.values() if isinstance(found := one.data.get("bands"), list)]
        _require_names(self.derived, [self.bands, *(one.bands for one in (*([self.map] if self.map else []), *self.maps)), *data])
        return self

    @field_validator("group")
    @classmethod
    def _no_other_folder(cls, value: str | None) -> str | None:
        if value and (value.startswith("version_") or value == "assets"):
            raise ValueError("must not look like a version's folder, nor be assets")
        return value


class Config:
    """A :class:`RunConfig` together with the project it belongs to."""

    def __init__(self, run: RunConfig, root: Path, source: Path | None = None, map: MapRun | None = None):
        self.run, self.root, self.source = run, root, source
        self.project = Project(root, run.group or "")
        self._map = map

    @property
    def maps(self) -> list[MapRun]:
        """Every single map that the configuration asks for."""
        return [one for runs in (*([self.run.map] if self.run.map else []), *self.run.maps) for one in runs.each()]

    @property
    def map(self) -> MapRun | None:
        """The map at work: the chosen one, or the only one there is."""
        maps = self.maps if self._map is None else [self._map]
        return maps[0] if len(maps) == 1 else None

    @property
    def map_run(self) -> MapRun:
        """The map at work; raises ``InputError`` where there is none, or several."""
        if self.map is None:
            raise InputError("the config makes no map", valid="map: {versions: {…}, split: 0}", next_step="add 'map', as in configs/demo")
        return self.map

    def of_map(self, map: MapRun) -> Config:
        """This configuration at work on one of its maps."""
        return Config(self.run, self.root, self.source, map)

    @property
    def data(self) -> DataFolder:
        return DataFolder(self.root / self.run.data)

    @property
    def mosaic(self) -> Path:
        return self.root / self.run.mosaic if self.run.mosaic else self.data.mosaic

    @property
    def bands(self) -> list[int | str] | None:
        """The mosaic's bands to train on."""
        return self.with_derived(self.run.bands)

    @property
    def map_bands(self) -> list[int | str] | None:
        """Those to map: what the map says, else those that were trained on."""
        return self.with_derived(self.map_run.bands or self.run.bands)

    def with_derived(self, bands: list[int | str] | None) -> list[int | str] | None:
        """A list of bands, followed by what defines those of other rasters, so that it says all by itself (geo/layers.py reads it)."""
        words = _words(bands)
        used = {name: one.model_copy(update={"of": str(self.path(one.of))}) for name, one in self.run.derived.items() if name in words}
        return bands if bands is None else [*bands, *(f"{name}={one.model_dump_json(exclude_unset=True)}" for name, one in used.items())]

    def path(self, text: str) -> Path:
        return self.root / text

    def part(self, model: type[Model], given: dict[str, Any], where: str) -> Model:
        """A free part of the configuration as the model of the family whose keys it takes; raises ``InputError``."""
        return checked(model, given, str(self.source or "the config"), inside=f"{where}.")

    @property
    def prepare_hint(self) -> str:
        """What to do where prepared data are missing."""
        return f"run: cratermill prepare {shlex.quote(str(self.source)) if self.source else 'CONFIG'}"

    def dump(self) -> dict[str, Any]:
        """Plain values from which the configuration can be read again; at work on one map, that map alone."""
        content: dict[str, Any] = self.run.model_dump(mode="json")
        return content if self._map is None else content | {"map": self._map.model_dump(mode="json"), "maps": []}
