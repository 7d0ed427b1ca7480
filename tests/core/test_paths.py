"""Where the files of a version's cells are found."""

from cratermill.core.paths import Project


def test_cells_that_were_replaced_or_are_not_finished_are_none(tmp_path):
    """Else votes and thresholds would be means of what is trained now and what was trained before."""
    project = Project(tmp_path)
    there = [(0, 0), (0, 10), (0, 2), (1, 0)]
    for split, iteration in there:
        product = project.cell_product("conn", 3, "evaluate", split, iteration)
        for path in (product, product.with_name(f"{product.name}.replaced-20261128T182842"), product.with_name(f"{product.name}.part")):
            path.mkdir(parents=True)
            (path / "eval.json").write_text("{}")
    (project.cell_product("conn", 3, "evaluate", 2, 0)).mkdir()
    (project.cell_product("conn", 3, "train", 0, 0)).mkdir()
    found = project.cells("conn", 3, "evaluate", "eval.json")
    assert found == {place: project.cell_product("conn", 3, "evaluate", *place) / "eval.json" for place in there}
    assert list(project.cells("conn", 3, "evaluate", "eval.json", 0)) == [(0, 0), (0, 2), (0, 10)]
    assert project.cells("conn", 4, "evaluate", "eval.json") == {}
