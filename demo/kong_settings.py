"""kong.yml and Kong's own settings for one machine, the same for Kong and for devkong.

An operator edits kong.yml at the top of the repository. To run it on other ports, only its
addresses are replaced; everything else, including comments, stays as it is.
"""

import os
import re
import shlex
import sys
from pathlib import Path
from urllib.parse import urlsplit

from jan_media_plugin import lua_path

from demo.addresses import HOST, Ports, url

ROOT = Path(__file__).resolve().parent.parent
AS_WRITTEN = Ports()


def llm_service_url(upstream: str) -> str:
    """The url of the service jan-llm for LLM_UPSTREAM_URL: `/v1` is added to a bare host."""
    parts = urlsplit(upstream)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"LLM_UPSTREAM_URL must be http://host:port, not {upstream!r}")
    return upstream.rstrip("/") + ("" if parts.path.strip("/") else "/v1")


def kong_yml_for(written: str, ports: Ports, issuer: str, llm_upstream: str | None) -> str:
    """Returns kong.yml's text with the addresses of this machine's parts."""
    llm = llm_service_url(llm_upstream or url(ports.llm))
    text = written.replace(f"url: {url(AS_WRITTEN.llm, '/v1')}", f"url: {llm}")
    for before, after in (
        (AS_WRITTEN.public, ports.public),
        (AS_WRITTEN.internal, ports.internal),
    ):
        text = re.sub(rf"(http://127\.0\.0\.1:){before}\b", rf"\g<1>{after}", text)
    return text.replace("issuer: http://localhost:8000/llm", f"issuer: {issuer}")


def kong_environment(
    prefix: Path, declarative_config: Path, ports: Ports, gateway_secret: str
) -> dict[str, str]:
    """Kong's settings as environment variables. kong.conf.default explains each one."""
    plugin_server = f"{shlex.quote(sys.executable)} -m jan_media_plugin"
    settings = {
        # These may be overridden by setting the same variable.
        "KONG_LOG_LEVEL": "notice",
        # Request lines hold signed URLs, so they are not logged.
        "KONG_PROXY_ACCESS_LOG": "off",
        "KONG_PROXY_ERROR_LOG": "logs/error.log",
        "KONG_NGINX_WORKER_PROCESSES": "2",
        "KONG_ANONYMOUS_REPORTS": "off",
        # A usual chat body stays in memory; a larger one goes through a temporary file.
        "KONG_NGINX_HTTP_CLIENT_BODY_BUFFER_SIZE": "1m",
        # Limits bodies without a length, which Kong would store until the disk is full. Above the
        # largest max_body_bytes, so that the plugin's own answer comes first.
        "KONG_NGINX_HTTP_CLIENT_MAX_BODY_SIZE": "64m",
        # Above max_header_bytes, for the same reason: nginx's refusal names no limit.
        "KONG_NGINX_HTTP_LARGE_CLIENT_HEADER_BUFFERS": "4 32k",
        # nginx's own refusals of odd requests get Kong's error page, and so JSON.
        "KONG_NGINX_PROXY_ERROR_PAGE": "501 505 /kong_error_handler",
        # Clients learn neither Kong's version nor a request's timings.
        "KONG_HEADERS": "latency_tokens,X-Kong-Request-Id",
        "KONG_REQUEST_DEBUG": "off",
    }
    settings.update({name: value for name, value in os.environ.items() if name in settings})
    settings.update(
        {
            "KONG_DATABASE": "off",
            "KONG_DECLARATIVE_CONFIG": str(declarative_config),
            "KONG_PREFIX": str(prefix),
            "KONG_PROXY_LISTEN": f"{HOST}:{ports.gateway}",
            "KONG_ADMIN_LISTEN": "off",
            "KONG_ADMIN_GUI_LISTEN": "off",
            "KONG_STATUS_LISTEN": "off",
            "KONG_NGINX_DAEMON": "off",
            "KONG_PLUGINS": "bundled,jan-media-gate,jan-media",
            # `python -m jan_media_plugin --lua-path` prints it.
            "KONG_LUA_PACKAGE_PATH": lua_path(),
            "KONG_PLUGINSERVER_NAMES": "jan-media",
            "KONG_PLUGINSERVER_JAN_MEDIA_SOCKET": str(prefix / "jan-media.sock"),
            "KONG_PLUGINSERVER_JAN_MEDIA_START_CMD": (
                f"{plugin_server} --kong-prefix {shlex.quote(str(prefix))}"
            ),
            "KONG_PLUGINSERVER_JAN_MEDIA_QUERY_CMD": f"{plugin_server} --dump",
            "KONG_ERROR_TEMPLATE_JSON": str(ROOT / "kong-errors.json"),
            "KONG_ERROR_DEFAULT_TYPE": "application/json",
            # {vault://env/jan-gateway-secret} in kong.yml
            "JAN_GATEWAY_SECRET": gateway_secret,
        }
    )
    if os.geteuid() == 0:
        # Kong's workers would run as `kong` or `nobody`, who may not read this folder.
        settings["KONG_NGINX_USER"] = "root root"
    return settings
