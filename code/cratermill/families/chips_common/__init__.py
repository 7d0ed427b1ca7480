"""What the two families of small labelled images share: reading, duplicates, splits, label budgets, networks and scores."""
