"""Optuna in the platform's Postgres: in threads of its own, so that a database that hangs holds up nothing else."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from pydantic import JsonValue

from runyard import study
from runyard.api.addresses import without_logins
from runyard.api.sweeping import Trial
from runyard.api.trainingsweep import TrainingSweep
from runyard_operator import metrics
from runyard_operator.objects import Key
from runyard_operator.trainingsweeps.choosing import Unavailable

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

log = logging.getLogger(__name__)

Found = TypeVar("Found")

# libpq's own variables say where it is and who is asked for: PGHOST, PGUSER, PGPASSWORD.
_URL = "postgresql+psycopg2://"
# MLflow's tables are in the same database, and both keep their version in a table of the same name.
_SCHEMA = "runyard_optuna"
_THREADS, _PATIENCE_SECONDS = 4, 20
_CONNECTION: Mapping[str, object] = {
    "connect_timeout": 5,
    "options": f"-csearch_path={_SCHEMA} -cstatement_timeout=10000 -clock_timeout=5000",
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}


class ByStudy:
    """Chooses by what came of other trials."""

    def __init__(self, url: str = _URL, connection: Mapping[str, object] = _CONNECTION) -> None:
        """Connect to nothing yet."""
        self._url, self._connection = url, connection
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="optuna")
        self._storage: RDBStorage | None = None

    async def choose(
        self, key: Key, sweep: TrainingSweep, index: int, known: Sequence[Trial]
    ) -> Mapping[str, JsonValue]:
        """Return what a trial is tried with.

        Raises:
            Unavailable: the database does not answer.

        """
        return await self._in_thread(partial(self._ask, key, sweep, index, known))

    async def finish(self, key: Key, sweep: TrainingSweep, known: Sequence[Trial]) -> None:
        """Take what came of all trials of a sweep that has ended.

        Raises:
            Unavailable: the database does not answer.

        """
        await self._in_thread(partial(self._finish, key, sweep, known))

    async def leave(self, key: Key) -> None:
        """Hear that a sweep is gone, and that nothing comes of its trials any more.

        Raises:
            Unavailable: the database does not answer.

        """
        await self._in_thread(lambda: study.leave(self._opened(), _name(key)))

    def _ask(self, key: Key, sweep: TrainingSweep, index: int, known: Sequence[Trial]) -> Mapping[str, JsonValue]:
        return self._study(key, sweep).ask(index, known)

    def _finish(self, key: Key, sweep: TrainingSweep, known: Sequence[Trial]) -> None:
        self._study(key, sweep).finish(known)

    def _study(self, key: Key, sweep: TrainingSweep) -> study.Study:
        return study.Study(self._opened(), _name(key), sweep.spec)

    def _opened(self) -> "RDBStorage":
        if self._storage is None:
            self._make_schema()
            self._storage = study.storage(self._url, self._connection)
        return self._storage

    def _make_schema(self) -> None:
        if not self._url.startswith("postgresql"):
            return
        from sqlalchemy import create_engine, text
        from sqlalchemy.pool import NullPool

        engine = create_engine(self._url, poolclass=NullPool, connect_args={**self._connection})
        with engine.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {_SCHEMA}"))

    async def _in_thread(self, work: Callable[[], Found]) -> Found:
        doing = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await asyncio.shield(doing)
        except TimeoutError:
            doing.add_done_callback(_forgotten)
            metrics.OPTUNA_ERRORS.inc()
            raise Unavailable(f"Optuna's database did not answer within {_PATIENCE_SECONDS} s") from None
        except Exception as error:
            # Of what its driver, SQLAlchemy or Optuna raise there is no one kind.
            metrics.OPTUNA_ERRORS.inc()
            log.warning("Optuna cannot choose: %s", type(error).__name__)
            said = without_logins(" ".join(str(error).split()))[:300] or type(error).__name__
            raise Unavailable(f"Optuna's database cannot be used: {said}") from error


def _name(key: Key) -> str:
    return f"{key.namespace}/{key.name}/{key.uid}"


def _forgotten(doing: "asyncio.Future[Found]") -> None:
    """Take what came of something too late, so that nobody complains that it was never looked at."""
    if not doing.cancelled():
        doing.exception()
