"""All checks, in the order in which one would mend things."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from jan_media.doctor.catalog import check_catalog
from jan_media.doctor.finding import Finding, Verdict
from jan_media.doctor.local_storage import check_local_storage
from jan_media.doctor.shared_settings import check_settings
from jan_media.settings import Settings
from jan_media.storage.interface import StorageUnavailable
from jan_media.storage.open import open_storage


def examine(
    settings: Settings, *, kong_yml: Path | None, environment: Mapping[str, str]
) -> Iterator[Finding]:
    """Check settings, catalog and storage, and ``kong_yml`` if it is given."""
    yield from check_settings(settings)
    yield from check_catalog(settings)
    if settings.storage_backend == "local":
        yield from check_local_storage(settings)
    else:
        yield from _s3(settings)
    if kong_yml is not None:
        yield from _kong(kong_yml, settings, environment)


def _s3(settings: Settings) -> Iterator[Finding]:
    try:
        storage = open_storage(settings)
    except (StorageUnavailable, ValueError) as error:
        yield Finding("credentials", Verdict.PROBLEM, str(error))
        return
    try:
        yield from storage.diagnose()
    finally:
        storage.close()


def _kong(path: Path, settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    # Here, since nothing else of the sidecar reads YAML.
    from jan_media.doctor.kong_yml import check_kong_yml

    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError) as error:
        yield Finding("kong.yml", Verdict.PROBLEM, f"--kong {path} cannot be read: {error}")
        return
    yield from check_kong_yml(text, settings, environment)
