"""``jan-media`` and ``python -m jan_media``: the command's entry point.

The plugin's installation has this package too, but not the libraries of the commands.
"""

import sys
from importlib.util import find_spec

THE_COMMANDS_NEED = ("httpx", "rich", "typer")


def main() -> None:
    """Run the ``jan-media`` command, or say what to install."""
    missing = [name for name in THE_COMMANDS_NEED if find_spec(name) is None]
    if missing:
        sys.exit(
            f"jan-media: its commands are not installed here: {', '.join(missing)} missing.\n"
            "Install them, in an environment of their own: pip install 'jan-media-gateway[sidecar]'"
            "\nFor upload, ls, get, rm and chat alone: pip install 'jan-media-gateway[client]'"
        )
    # `serve` does not load typer, which takes as much memory as the rest of a supervisor.
    if sys.argv[1:] == ["serve"]:
        from jan_media.commands.entry import serve_until_stopped as command
    else:
        from jan_media.commands.app import app as command
    command()


if __name__ == "__main__":
    main()
