"""What the connection and the ejecta family share: craters, azimuthal tiles, splits, stacks."""
