"""Bring MLflow's database to this image's schema: one pod at a time, and never backwards.

The connection is libpq's: PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import mlflow.store.db_migrations
import psycopg2
from alembic.script import ScriptDirectory
from alembic.util import CommandError

# Any number that no other user of the database takes for the same purpose.
LOCK = 7_202_611_210
WAIT_SECONDS = 110
WHERE = f"{os.environ['PGUSER']}@{os.environ['PGHOST']}:{os.environ['PGPORT']}/{os.environ['PGDATABASE']}"


def connect() -> psycopg2.extensions.connection:
    """Connect, waiting for a database that is only starting."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return psycopg2.connect(connect_timeout=5)
        except psycopg2.OperationalError as error:
            said = str(error).strip()
            if "password authentication failed" in said:
                sys.exit(refusal())
            if time.monotonic() > deadline:
                sys.exit(f"Postgres at {WHERE} did not answer within {WAIT_SECONDS} s: {said}")
            print(f"waiting for Postgres at {WHERE}: {said.splitlines()[0]}", flush=True)
            time.sleep(1)


def refusal() -> str:
    """Return what to do about a password that is not the database's."""
    secret, claim = os.environ["RUNYARD_POSTGRES_SECRET"], os.environ.get("RUNYARD_POSTGRES_CLAIM")
    said = f"Postgres at {WHERE} refuses the password in Secret {secret}. "
    if claim is None:
        return said + "Put the password of that user into the Secret, under the key `password`."
    return said + (
        f"The volume of claim {claim} keeps the password that it was first started with: restore the Secret of that "
        "time, change the password in the database (ALTER ROLE … PASSWORD …), or delete the claim and all it holds."
    )


def revision(connection: psycopg2.extensions.connection) -> str | None:
    """Return the schema's revision; None for an empty database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('alembic_version')")
        if cursor.fetchone()[0] is None:
            return None
        cursor.execute("SELECT version_num FROM alembic_version")
        row = cursor.fetchone()
        return row[0] if row else None


def main() -> None:
    """Migrate under a lock, so that several pods that start together do it once."""
    connection = connect()
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
    scripts = ScriptDirectory(Path(mlflow.store.db_migrations.__file__).parent)
    found, wanted = revision(connection), scripts.get_current_head()
    if found == wanted:
        print(f"the schema is at {found}, as it should be")
        return
    if found is not None:
        try:
            scripts.get_revision(found)
        except CommandError:
            sys.exit(
                f"the database is at schema revision {found}, which MLflow {mlflow.__version__} does not know: a newer "
                "MLflow has used it. Install that version again, or restore a backup made before it."
            )
    print(f"migrating from {found or 'an empty database'} to {wanted}", flush=True)
    subprocess.run(["mlflow", "db", "upgrade", "postgresql+psycopg2://"], check=True)


main()
