"""The one question of the handler: whose credential is this?"""

from jan_media_plugin.auth.api_keys import ApiKeys
from jan_media_plugin.auth.caller import Caller
from jan_media_plugin.auth.credentials import Credential, Kind
from jan_media_plugin.auth.tokens import Tokens


class Callers:
    """Tells callers by their credentials."""

    def __init__(self, tokens: Tokens, api_keys: ApiKeys) -> None:
        self._by_kind: dict[Kind, Tokens | ApiKeys] = {Kind.TOKEN: tokens, Kind.API_KEY: api_keys}

    def remembered(self, credential: Credential) -> Caller | None:
        """Return the caller at once, if the credential was checked a short while ago."""
        return self._by_kind[credential.kind].remembered(credential.text)

    async def check(self, credential: Credential) -> Caller:
        """Return the caller, asking issuer or sidecar if need be. Raises `Refused`."""
        return await self._by_kind[credential.kind].check(credential.text)
