"""What maps say: patterns of ejecta, comparison with truth, calibration, ages. Reads the files of maps and masks, knows no family."""
