"""Files of questions: read, classified and written on one machine."""
