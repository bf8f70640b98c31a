"""The HTTP contracts, one file each, and the page."""
