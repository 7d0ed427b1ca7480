"""A plan as a table and as a graph: what would be done, what is done already, and what waits for what."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..batch.plan import Cell, Plan


@dataclass
class Node:
    """Cells of one stage that belong together: of one row, or of one map."""

    stage: str
    what: str
    cells: int = 0
    done: int = 0
    after: set[tuple[str, str]] = field(default_factory=set)

    @property
    def label(self) -> str:
        return f"{self.stage} {self.what}".strip()

    @property
    def count(self) -> str:
        return f"{self.cells} {'cell' if self.cells == 1 else 'cells'}" + (f", {self.done} done" if self.done else "")


Nodes = dict[tuple[str, str], Node]


def nodes_of(plan: Plan) -> Nodes:
    """The plan's cells grouped, in the order in which they run; ``after`` holds only direct predecessors."""
    from ..batch.state import is_settled

    found: Nodes = {}
    for cell in plan.cells:
        node = found.setdefault(_key(cell), Node(*_key(cell)))
        node.cells += 1
        node.done += is_settled(plan, cell)
        node.after |= {_key(plan.cells[need]) for need in cell.needs} - {_key(cell)}
    _reduce(found)
    return found


def _key(cell: Cell) -> tuple[str, str]:
    params = cell.params
    if "version" in params:
        return cell.stage, f"{params['family']} {params['version']}"
    return cell.stage, str(params.get("name", ""))


def _reduce(nodes: Nodes) -> None:
    """Leave out what is waited for by way of another anyway; nodes stand in an order in which each comes after those it needs."""
    before: dict[tuple[str, str], set] = {}
    for key, node in nodes.items():
        further = set().union(*(before[one] for one in node.after)) if node.after else set()
        before[key] = node.after | further
        node.after = node.after - further


def table_text(nodes: Nodes) -> str:
    """One line per node: stage, what, cells, done, after whom."""
    rows = [("stage", "of", "cells", "done", "begins after")]
    for node in nodes.values():
        after = ", ".join(nodes[one].label for one in sorted(node.after)) or "-"
        rows.append((node.stage, node.what, str(node.cells), str(node.done), after))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join("  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[4]]) for row in rows)


def graph_text(nodes: Nodes) -> str:
    """The stages as boxes in a row of levels, each with what it hands on to: a picture for a terminal."""
    follow: dict[str, list[str]] = {node.label: [] for node in nodes.values()}
    for node in nodes.values():
        for one in sorted(node.after):
            follow[nodes[one].label].append(node.label)
    lines = []
    for node in nodes.values():
        box = f"{'  ' * level_of(nodes, node)}[{node.label}: {node.count}]"
        targets = follow[node.label]
        lines.append(box + (f" ──> {targets[0]}" if targets else ""))
        lines += [" " * (len(box) - 1) + f"└──> {target}" for target in targets[1:]]
    return "\n".join(lines)


def level_of(nodes: Nodes, node: Node) -> int:
    """How many nodes stand before one, each waiting for the other."""
    return max((level_of(nodes, nodes[one]) + 1 for one in node.after), default=0)
