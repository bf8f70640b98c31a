"""The text of questions: how it is shown to a model, spelling correction, typing noise."""
