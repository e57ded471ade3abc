"""The dashboard: a web application that reads MLflow, and shows, compares and explains what is there.

`application` makes it, and any ASGI server runs it; `runyard dashboard` does with uvicorn. It changes nothing unless it
is told that it may.
"""

from runyard.dashboard.app import application

__all__ = ["application"]
