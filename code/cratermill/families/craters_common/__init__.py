"""What the families that find craters share: tiles with their craters, splits, lists and scores, and maps made of blocks."""
