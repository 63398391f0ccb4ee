"""``python -m jan_media``: the ``jan-media`` command."""

from jan_media.cli import main

main()
