"""The command `vestibule`; it must stay light, as every worker process loads it too."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line. Imported here, so that servers and their workers do without typer and rich."""
    if sys.argv[1:2] == ["serve"]:
        from vestibule.server import plain_start  # noqa: PLC0415 - see above

        flags = plain_start.flags_of(sys.argv[1:])
        if flags is not None:
            plain_start.start(flags)
            return
    from vestibule.cli import run  # noqa: PLC0415 - see above

    run()


if __name__ == "__main__":
    main()
