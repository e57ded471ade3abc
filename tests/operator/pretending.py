"""An MLflow that cannot be had here: of another version, of another time, or none at all."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from email.utils import format_datetime

from tests.support.web import QuietHandler, serving


@contextmanager
def pretending(answers: Mapping[str, str], date: datetime | None = None) -> Iterator[str]:
    """Answer with these texts by path, at a moment; yields the address."""

    class Handler(QuietHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = answers.get(self.path.partition("?")[0])
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write((body or "").encode())

        do_GET = do_POST = answer  # noqa: N815 the names that the server looks for

        def date_time_string(self, timestamp: float | None = None) -> str:
            return format_datetime(date, usegmt=True) if date else super().date_time_string(timestamp)

    with serving(Handler) as address:
        yield address
