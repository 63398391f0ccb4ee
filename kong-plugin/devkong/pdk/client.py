"""kong.client: who is calling."""

from typing import Any

from devkong.exchange import Exchange
from devkong.pdk.errors import PdkError


def get_ip(exchange: Exchange) -> bytes:
    """Return the address that connected."""
    return exchange.client_ip


def get_forwarded_ip(exchange: Exchange) -> bytes:
    """Return the address that a trusted proxy names in X-Real-IP, or the one that connected."""
    return exchange.remote_addr


def get_port(exchange: Exchange) -> int:
    """Return the client's port."""
    return exchange.request.client_port


def get_credential(exchange: Exchange) -> Any:
    """Return the credential that an auth plugin has set."""
    return exchange.credential


def get_consumer(exchange: Exchange) -> Any:
    """Return the consumer that an auth plugin has set."""
    return exchange.consumer


def authenticate(exchange: Exchange, consumer: Any = None, credential: Any = None) -> None:
    """Set consumer and credential. Raises PdkError if both are missing or one is no table."""
    for value, what in ((consumer, "consumer"), (credential, "credential")):
        if value is not None and not isinstance(value, dict | list):
            raise PdkError(f"{what} must be a table or nil")
    if consumer is None and credential is None:
        raise PdkError("either credential or consumer must be provided")
    exchange.consumer, exchange.credential = consumer, credential


def get_protocol(exchange: Exchange, _allow_terminated: Any = None) -> bytes:
    """Return the protocol of the route, or of the request if the route has several."""
    protocols = exchange.route.protocols if exchange.route else []
    return protocols[0].encode() if len(protocols) == 1 else exchange.scheme
