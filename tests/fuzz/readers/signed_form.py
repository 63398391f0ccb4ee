"""A signed upload form is accepted exactly if S3's rules allow it."""

from jan_media.errors import Refused
from jan_media.storage.local_urls import LocalUrls

from tests.fuzz.readers.pieces import leading

NOW = 1_766_000_000.0
TTL = 60
URLS = LocalUrls("https://media.example", b"a secret of 32 bytes, more or so", clock=lambda: NOW)
FORM = URLS.presign_post("images/a", max_bytes=9, ttl=TTL).fields
PROMISED = {name: FORM[name] for name in FORM if name not in ("policy", "x-amz-signature")}
TIMES = [NOW, NOW + TTL - 1, NOW + TTL, NOW + 3600]

WORDS = [
    *(f"{name}={value}\n".encode() for name, value in FORM.items()),
    *(b"-key\n", b"-Content-Type\n", b"-policy\n", b"x-ignore-", b"submit=", b"file=", b"acl="),
    *(b"bucket=", b"KEY=", b"Policy=", b"x-amz-security-token=", b"success_action_redirect="),
]


def by_the_rules(fields: dict[str, str], now: float) -> bool:
    """Whether S3's rules let the form in: every field is promised, as promised, and in time."""
    lower = [name.lower() for name in fields]
    if len(set(lower)) < len(lower):
        return False
    form = {name.lower(): value for name, value in fields.items()}
    promised = {name.lower(): value for name, value in PROMISED.items()}
    signed = (form.get("policy"), form.get("x-amz-signature")) == (
        FORM["policy"],
        FORM["x-amz-signature"],
    )
    needed = all(form.get(name) == promised[name] for name in promised)
    free = {"policy", "x-amz-signature", "file", "submit", "content-type"}
    others = all(
        name in free or name.startswith("x-ignore-") or promised.get(name) == value
        for name, value in form.items()
    )
    return signed and needed and others and now < NOW + TTL


def assert_let_in_by_the_rules(fields: dict[str, str], now: float) -> None:
    try:
        accepted = URLS.check_post(fields, now)
    except Refused:
        assert not by_the_rules(fields, now)
    else:
        assert by_the_rules(fields, now)
        assert accepted == ("images/a", 9)


def check(data: bytes) -> None:
    """A byte for the time; then lines that change the good form: ``name=value``, or ``-name``."""
    (when,), changes = leading(data, 1)
    fields = dict(FORM)
    for line in changes.decode("utf-8", "surrogateescape").splitlines():
        name, _, value = line.partition("=")
        if name.startswith("-"):
            fields.pop(name[1:], None)
        else:
            fields[name] = value
    assert_let_in_by_the_rules(fields, TIMES[when % len(TIMES)])
