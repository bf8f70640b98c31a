"""ASGI middleware: request id and access log, API key, body limit."""
