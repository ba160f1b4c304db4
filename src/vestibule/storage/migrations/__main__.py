"""Brings one database to the newest schema: reads its URL from standard input, prints nothing when done."""

from __future__ import annotations

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config


def config(url: str) -> Config:
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent))
    made.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return made


if __name__ == "__main__":
    command.upgrade(config(sys.stdin.read().strip()), "head")
