"""Settings that are right for one sidecar and wrong for several."""

from collections.abc import Iterator

from jan_media.doctor.finding import Finding, Verdict
from jan_media.identity.signing_keys import SigningKeys
from jan_media.settings import Settings

SUBJECT = "settings"
SHORT_SECRET = 16


def check_settings(settings: Settings) -> list[Finding]:
    """Look at settings that other sidecars, or the gateway, must agree with."""
    return list(_signing_key(settings)) + list(_gateway_secret(settings)) + [_read()]


def _read() -> Finding:
    return Finding(SUBJECT, Verdict.OK, "Every setting can be read.")


def _signing_key(settings: Settings) -> Iterator[Finding]:
    if settings.signing_key:
        try:
            SigningKeys.from_pem(settings.signing_key, settings.signing_key_previous)
        except ValueError as error:
            yield Finding(
                SUBJECT, Verdict.PROBLEM, f"{error} Correct MEDIA_SIGNING_KEY (or …_FILE)."
            )
    elif settings.guest_login and settings.database_url.startswith("postgres"):
        yield Finding(
            SUBJECT,
            Verdict.WARNING,
            "Each machine makes a signing key of its own, so guest tokens of one sidecar are "
            "refused where another one's keys are read. Set MEDIA_SIGNING_KEY_FILE to one key on "
            "all.",
        )


def _gateway_secret(settings: Settings) -> Iterator[Finding]:
    if settings.gateway_secret and len(settings.gateway_secret) < SHORT_SECRET:
        yield Finding(
            SUBJECT,
            Verdict.WARNING,
            f"MEDIA_GATEWAY_SECRET has under {SHORT_SECRET} characters. Make one with: "
            "openssl rand -base64 32",
        )
    if settings.gateway_secret_previous:
        yield Finding(
            SUBJECT,
            Verdict.WARNING,
            "MEDIA_GATEWAY_SECRET_PREVIOUS is still accepted: remove it once every gateway has "
            "the new secret.",
        )
