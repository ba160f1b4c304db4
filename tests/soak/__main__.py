"""`make soak`: two hours, or as many seconds as are given; ends with 1 if something was not flat."""

from __future__ import annotations

import argparse
import secrets
import sys

from tests.conftest import TEST_SETTINGS
from tests.soak.soak import soak

_TWO_HOURS = 7_200.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("--seconds", type=float, default=_TWO_HOURS)
    parser.add_argument("--visitors", type=int, default=8)
    arguments = parser.parse_args()
    settings = {**TEST_SETTINGS, "VESTIBULE_SECRET_KEYS": secrets.token_urlsafe(32)}
    report = soak(settings, arguments.seconds, visitors=arguments.visitors, pause=0.0, tell=print)
    print("\n".join(report.lines()))
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
