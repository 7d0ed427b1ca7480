"""Public data by name: what there is, and how it comes to this machine."""
