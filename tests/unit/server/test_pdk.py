"""The ``kong`` object that handlers call."""

import copy

import pytest
from jan_media_plugin.server.event import LogFunction, kong


def test_names_are_looked_up_once() -> None:
    assert kong.request.get_headers is kong.request.get_headers
    assert repr(kong.service.request.set_headers) == "kong.service.request.set_headers"


def test_log_is_a_function_and_holds_functions() -> None:
    assert isinstance(kong.log, LogFunction)
    assert isinstance(kong.log.err, LogFunction)
    assert not isinstance(kong.request.get_headers, LogFunction)


def test_private_names_are_no_pdk_functions() -> None:
    with pytest.raises(AttributeError):
        kong._request  # noqa: B018
    assert copy.copy(kong.request) is not kong.request


def test_a_call_outside_an_event_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="handler"):
        kong.request.get_method()
