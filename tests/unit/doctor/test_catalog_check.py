"""What the doctor says of a database that it cannot reach."""

from pathlib import Path

import pytest
from jan_media.doctor.catalog import check_catalog
from jan_media.doctor.finding import Verdict
from jan_media.settings import load_settings


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:hidden@[x",
        "postgresql://user:hidden x@127.0.0.1:1/x",
        "postgresql://user:%zzhidden@127.0.0.1:1/x",
        "postgresql://user:secret:hidden@127.0.0.1:1/x",
        "postgresql://user:hidden@127.0.0.1:1/x",
    ],
)
def test_the_password_of_a_database_is_never_told(tmp_path: Path, url: str) -> None:
    settings = {
        "MEDIA_STORAGE_BACKEND": "local",
        "MEDIA_DATA_DIR": str(tmp_path),
        "MEDIA_DATABASE_URL": url,
    }
    (only,) = check_catalog(load_settings(settings))
    assert only.verdict is Verdict.PROBLEM
    assert "MEDIA_DATABASE_URL" in only.message
    assert "hidden" not in only.message
