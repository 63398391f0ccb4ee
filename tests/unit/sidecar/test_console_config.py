"""The configuration that the console's page gets."""

import pytest
from jan_media.console.site import OIDC_LIBRARY, console_config
from jan_media.settings import load_settings

WITH_A_PROVIDER = load_settings(
    {
        "MEDIA_STORAGE_BACKEND": "local",
        "MEDIA_CONSOLE_OIDC_ISSUER": "https://id.example.com/realms/jan",
        "MEDIA_CONSOLE_OIDC_CLIENT_ID": "console",
    }
)


def test_the_page_is_told_of_the_provider() -> None:
    assert console_config(WITH_A_PROVIDER, has_library=True)["oidc"] == {
        "issuer": "https://id.example.com/realms/jan",
        "client_id": "console",
        "scope": "openid profile",
        "audience": "",
    }


def test_without_the_library_there_is_no_provider_and_the_log_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert console_config(WITH_A_PROVIDER, has_library=False)["oidc"] is None
    assert OIDC_LIBRARY in caplog.text
    assert "make console" in caplog.text
