"""The command `vestibule`; it must stay light, as every worker process loads it too."""

from __future__ import annotations


def main() -> None:
    """Runs the command line. Imported here, so that workers do without typer and rich."""
    from vestibule.cli import run  # noqa: PLC0415 - see above

    run()


if __name__ == "__main__":
    main()
