"""EJMAP's data, tables and results brought into a project."""

from .importer import Options, Report, import_ejmap

__all__ = ["Options", "Report", "import_ejmap"]
