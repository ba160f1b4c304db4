"""Runs Alembic's migrations on either engine; it reads no settings of its own."""

from __future__ import annotations

import asyncio

from alembic import context
from sqlalchemy import Connection, create_engine, pool
from sqlalchemy.ext.asyncio import create_async_engine

from vestibule.storage.primary import Primary

URL: str = context.config.get_main_option("sqlalchemy.url") or ""
# Any constant will do; two nodes that start together take turns by it.
_LOCK = 7_402_551_120_871


def _migrate(connection: Connection) -> None:
    postgresql = connection.dialect.name == "postgresql"
    if not postgresql:
        connection.exec_driver_sql("PRAGMA busy_timeout=10000")
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        connection.commit()
        # pysqlite's own transactions leave DDL outside; this one holds it: a migration cut short leaves nothing.
        connection.connection.dbapi_connection.isolation_level = None  # type: ignore[union-attr]
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    context.configure(connection=connection, transactional_ddl=True, transaction_per_migration=False)
    with context.begin_transaction():
        if postgresql:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        context.run_migrations()
    if not postgresql:
        connection.exec_driver_sql("COMMIT")


async def _migrate_postgresql() -> None:
    # The driver reads the URL itself, as it does when serving: SQLAlchemy does not know all that it understands.
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: Primary(URL).connect(timeout=10), poolclass=pool.NullPool
    )
    async with engine.connect() as connection:
        await connection.run_sync(_migrate)
    await engine.dispose()


def _migrate_sqlite() -> None:
    engine = create_engine(URL, poolclass=pool.NullPool)
    with engine.connect() as connection:
        _migrate(connection)
    engine.dispose()


if URL.startswith("sqlite"):
    _migrate_sqlite()
else:
    asyncio.run(_migrate_postgresql())
