"""Trains by a recipe: data order, loss, validation, best epoch, resume; ends by fitting the calibration."""
