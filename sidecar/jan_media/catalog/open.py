"""Opens the catalog that a URL names, and loads only the packages of its database."""

from jan_media.catalog.catalog import Catalog

_ACCEPTED = (
    "sqlite:///relative/path.db, sqlite:////absolute/path.db, or postgresql://user@host/database"
)


def open_catalog(url: str) -> Catalog:
    """Return the catalog at ``url``, without connecting: call its `migrate` first.

    Raises `ValueError`, which names what is accepted, never the URL (it may hold a password).
    """
    if url.startswith(("postgresql://", "postgres://")):
        import psycopg
        from psycopg.conninfo import conninfo_to_dict

        from jan_media.catalog.postgres import PostgresCatalog

        try:
            conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            # The reason quotes the URL.
            raise ValueError(f"not a PostgreSQL URL; accepted: {_ACCEPTED}") from None
        return PostgresCatalog(url)
    path = url.removeprefix("sqlite:///")
    if path == url:
        raise ValueError(f"not a catalog URL; accepted: {_ACCEPTED}")
    if path in ("", ":memory:") or path.endswith("/"):
        raise ValueError(f"a SQLite catalog needs the path of a file; accepted: {_ACCEPTED}")
    from jan_media.catalog.sqlite import SqliteCatalog

    return SqliteCatalog(path)
