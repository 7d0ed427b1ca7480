"""Drawing: from a mosaic and a crater list to tiles and masks that people edit in QGIS, and back into the data that networks learn from."""
