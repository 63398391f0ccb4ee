"""The addresses that the sidecar listens on."""

import errno
import os
import socket
from typing import NoReturn

import pytest
from jan_media.errors import CannotStart
from jan_media.server.sockets import held
from jan_media.settings import Address


def test_a_machine_without_ipv6_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_ipv6(*_: object) -> NoReturn:
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))

    monkeypatch.setattr(socket, "socket", without_ipv6)
    reason = r"cannot listen on \[::1\]:8285: Address family not supported"
    with pytest.raises(CannotStart, match=reason), held(Address(host="::1", port=8285)):
        pass
