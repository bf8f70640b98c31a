"""A folder of reports made into one page to look at."""
