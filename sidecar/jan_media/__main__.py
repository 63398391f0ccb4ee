"""``jan-media`` and ``python -m jan_media``: where the command begins.

The plugin's installation has this package too, without what the sidecar needs.
"""

import sys
from importlib.util import find_spec

ONLY_THE_SIDECAR_HAS = ("boto3", "sqlite_utils", "typer")


def main() -> None:
    """Run the ``jan-media`` command, or say what to install."""
    missing = [name for name in ONLY_THE_SIDECAR_HAS if find_spec(name) is None]
    if missing:
        sys.exit(
            f"jan-media: the sidecar is not installed here: {', '.join(missing)} missing.\n"
            "Install it, in an environment of its own: pip install 'jan-media-gateway[sidecar]'"
        )
    from jan_media.commands.entry import main as command

    command()


if __name__ == "__main__":
    main()
