"""Training by a recipe: rows, loss, validation, best epoch, resume; ends by fitting the calibration."""
