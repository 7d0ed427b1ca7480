"""``cratermill new``: a run configuration to begin with, which says what must be changed in it."""

from __future__ import annotations

import filecmp
import json
import re
import shlex
from pathlib import Path

from ..core.errors import InputError
from ..core.files import copy_file, write_text
from ..core.paths import DataFolder, find_root, shipped_configs
from ..core.yaml_files import read_yaml
from ..families import get_family
from ..families.base import CHANGE, Family


def new_config(path: Path, family: str, mosaic: Path | None, craters: Path | None) -> tuple[Path, list[str]]:
    """Write ``path``; returns it and what is to be done next. Never replaces a file."""
    known = get_family(family)  # names the nearest valid ones
    if path.exists():
        raise InputError(f"{path} is there already", valid="the name of a new file", next_step="choose another name")
    if path.suffix not in (".yaml", ".yml"):
        raise InputError(f"{path} is no yaml file", valid="a name that ends in .yaml, such as configs/mine.yaml")
    for what, one in (("mosaic", mosaic), ("crater list", craters)):
        if one is not None and not one.exists():
            raise InputError(f"the {what} {one} is missing", next_step="check the path")
    root = find_root(path.parent if path.parent.exists() else Path.cwd())
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._") or family  # runs and folders are named by it
    lines, next_steps = _lines(name, path, known, root, mosaic, craters)
    write_text(path, "\n".join(lines) + "\n")
    given = shlex.quote(str(path))
    return path, [
        *next_steps,
        f"look at the lines marked {CHANGE} in {path}",
        f"cratermill prepare {given}",
        f"cratermill launch all {given} --dry-run",
    ]


def _lines(name: str, path: Path, family: Family, root: Path, mosaic: Path | None, craters: Path | None) -> tuple[list[str], list[str]]:
    data, next_steps = DataFolder(root / "data" / name), []
    lines = [
        f"# Made by 'cratermill new'; docs/config.md explains every key. Lines marked {CHANGE} need your eyes.",
        f"name: {_yaml(name)}",
        "seed: 0",
    ]
    lines.append(f"data: data/{name}   # what prepare makes, and what was drawn, lies here")
    if mosaic is not None:
        lines += [f"mosaic: {_path(root, mosaic)}", f"body: {_body(mosaic)}   # read off the mosaic"]
    else:
        lines += [f"mosaic: data/{name}/mosaics/cylindrical_mosaic.tif   {CHANGE}: your mosaic", f"body: mercury   {CHANGE}: its body"]
    rows = f"configs/{family.name}_version_hparams.csv"
    table, shipped = root / rows, shipped_configs() / Path(rows).name
    first = first_row(table if table.exists() else shipped)
    lines += ["", "train:", f"  {family.name}:", f"    table: {rows}", f"    versions: [{first}]   {CHANGE}: rows of that table"]
    if family.draws:
        if craters is not None:
            target = data.root / "ejc_data" / f"fresh_craters{craters.suffix}"
            if target.exists() and not filecmp.cmp(craters, target, shallow=False):
                raise InputError(
                    f"{target} is there already", valid="a configuration of another name", next_step="leave --craters out to keep it"
                )
            copy_file(craters, target)  # no link: it will be edited
            next_steps.append(f"the crater list is now {target}; say which craters train in its column train (docs/data.md)")
        else:
            next_steps.append(f"put the crater list into {data.root / 'ejc_data'}, as fresh_craters.gpkg, .shp or .csv (docs/data.md)")
        next_steps.append(f"ejecta must be drawn for some craters: cratermill label start {shlex.quote(str(path))} (docs/drawing.md)")
        lines += ["", "splits: {count: 5, test_fraction: 0.2}"]
    else:
        listed = _path(root, craters) if craters is not None else f"data/{name}/craters.csv   {CHANGE}: your crater list"
        data_lines = [f"      {key}: {value}" for key, value in family.first_data(name, listed).items()]
        lines += ["    data:", *data_lines] if data_lines else []
    if not table.exists():
        copy_file(shipped, table)
        next_steps.insert(0, f"{rows} is a copy of cratermill's own table: change its rows as you like (docs/families.md has the columns)")
    if family.maps:
        lines += ["", "# map:", f"#   versions: {{{family.name}: {first}}}"]
    return lines, next_steps


def first_row(table: Path) -> int:
    """The first row that a table says is to be run, else its first."""
    from ..core.delimited import read_cells

    names, cells = read_cells(table)
    rows = [dict(zip(names, row, strict=False)) for _, row in cells if any(row)]
    runs = [row for row in rows if row.get("version_run", "").strip().lower() == "true"] or rows
    return int(runs[0]["version"]) if runs else 0


def _path(root: Path, path: Path) -> str:
    """Relative to the project where it lies in it."""
    whole = path.resolve()
    text = whole.relative_to(root).as_posix() if whole.is_relative_to(root) else str(whole)
    return _yaml(text)


def _yaml(text: str) -> str:
    """``text`` as yaml reads it back: in quotes where it would be a number, a comment or a key."""
    import yaml

    try:
        plain = read_yaml(text) == text
    except yaml.YAMLError:
        plain = False
    return text if plain else json.dumps(text, ensure_ascii=False)


def _body(mosaic: Path) -> str:
    from ..geo.mosaic import Mosaic

    with Mosaic.open(mosaic) as opened:
        return opened.grid.body.name.lower()
