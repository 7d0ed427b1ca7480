"""Train, evaluate and map with planetary mosaics, on a laptop or a Slurm cluster."""

__version__ = "0.1.0"
