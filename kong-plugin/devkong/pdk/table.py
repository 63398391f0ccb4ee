"""Every function of the kit by its full name, for the protocol and for Lua."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from devkong.pdk import client, request, response, service_request
from devkong.pdk import surroundings as around

PdkFunction = Callable[..., Any]

_LEVELS = ("debug", "info", "notice", "warn", "err", "crit", "alert", "emerg")


def _public(prefix: str, module: ModuleType, *hidden: str) -> dict[str, PdkFunction]:
    return {
        f"{prefix}.{name}": function
        for name, function in vars(module).items()
        if callable(function)
        and getattr(function, "__module__", "") == module.__name__
        and not name.startswith("_")
        and name not in hidden
    }


FUNCTIONS: dict[str, PdkFunction] = {
    **_public("kong.request", request, "decode_args", "encode_args"),
    **_public("kong.service.request", service_request, "set_target"),
    "kong.service.set_target": service_request.set_target,
    **_public("kong.response", response),
    **_public("kong.client", client),
    "kong.node.get_id": around.node_get_id,
    "kong.node.get_hostname": around.node_get_hostname,
    "kong.router.get_route": around.router_get_route,
    "kong.router.get_service": around.router_get_service,
    "kong.ip.is_trusted": around.ip_is_trusted,
    "kong.ctx.shared.get": around.shared_get,
    "kong.ctx.shared.set": around.shared_set,
    "kong.nginx.get_var": around.nginx_get_var,
    "kong.nginx.get_ctx": around.nginx_get_ctx,
    "kong.nginx.set_ctx": around.nginx_set_ctx,
    "kong.nginx.get_subsystem": around.nginx_get_subsystem,
    "kong.nginx.req_start_time": around.request_start_time,
    "kong.log": around.log_at("notice"),
    "kong.log.set_serialize_value": around.set_serialize_value,
    "kong.log.serialize": around.log_serialize,
    **{f"kong.log.{level}": around.log_at(level) for level in _LEVELS},
}

# These wait until the client's body is here.
READS_BODY = frozenset(
    {
        "kong.request.get_raw_body",
        "kong.request.get_body",
        "kong.service.request.set_raw_body",
        "kong.service.request.set_body",
    }
)
