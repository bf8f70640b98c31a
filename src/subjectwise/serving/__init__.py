"""The HTTP service, the page and the tools of the Model Context Protocol."""
