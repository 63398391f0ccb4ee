"""Whether a kong.yml keeps the gateway closed: read as Kong 3.9 reads a declarative config.

Kong forwards a request when an external plugin's server is dead, as if the plugin were not there.
So every route with jan-media needs jan-media-gate before it, which closes the way to the upstream
until the plugin has decided, and Kong's own ``acl`` behind it, which admits only requests whose
groups the plugin has set. A route that leads to the same place without jan-media needs no plugin
server to die.

Of several plugins of one name Kong runs one: that of the route, else that of its service, else
the global one. A plugin that is not enabled does not count.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import yaml

from jan_media.doctor.finding import Finding, Verdict
from jan_media.identity.gateway_secret import GatewaySecret
from jan_media.settings import Settings

Entity = Mapping[str, Any]

GRANT = "jan-users"
_VAULT = "{vault://env/"
_PORTS = {"http": 80, "https": 443, "grpc": 80, "grpcs": 443}


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a service leads."""

    host: str
    port: int
    path: str

    def overlaps(self, other: "Upstream") -> bool:
        """Whether some request could be reached through either."""
        if (self.host, self.port) != (other.host, other.port):
            return False
        mine, theirs = (f"{each.path.rstrip('/')}/" for each in (self, other))
        return mine.startswith(theirs) or theirs.startswith(mine)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}{self.path}"


@dataclass(frozen=True, slots=True)
class Route:
    """A route, where it leads, and the plugins that run on it, by name."""

    name: str
    upstream: Upstream | None
    plugins: Mapping[str, Entity]
    limited: frozenset[str]
    """The ids of consumers that have a rate-limiting of their own on it."""
    kept_paths: tuple[str, ...] = ()
    """Its paths, if they go on to the upstream as they are (``strip_path: false``)."""

    def problem(self, message: str) -> Finding:
        """What is wrong on it."""
        return Finding(f"route {self.name}", Verdict.PROBLEM, message)

    def warning(self, message: str) -> Finding:
        """What is doubtful on it."""
        return Finding(f"route {self.name}", Verdict.WARNING, message)

    @property
    def jan_media(self) -> Entity | None:
        """The config of jan-media on it."""
        plugin = self.plugins.get("jan-media")
        return None if plugin is None else _config(plugin)

    @property
    def asks_who_calls(self) -> bool:
        """Whether jan-media on it authenticates."""
        return self.jan_media is not None and self.jan_media.get("auth", "required") != "off"


def check_kong_yml(text: str, settings: Settings, environment: Mapping[str, str]) -> list[Finding]:
    """All that is wrong with a declarative config. ``environment`` is Kong's, for its vault."""
    try:
        routes = list(_routes(yaml.safe_load(text)))
    except (yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        return [_problem("kong.yml", f"It cannot be read as a declarative config: {_where(error)}")]
    with_plugin = [route for route in routes if route.jan_media is not None]
    if not with_plugin:
        return [_problem("kong.yml", "No route has the plugin jan-media. Add it, with its acl.")]
    findings: list[Finding] = []
    for route in with_plugin:
        findings += _guard(route)
        findings += _secret(route, settings, environment)
        findings += _guest_issuer(route, settings)
        findings += _console_issuer(route, settings)
        findings += _issuers(route)
        findings += _guests_at_a_model(route, settings)
    for route in routes:
        findings += _gate(route)
    findings += _ways_around(routes)
    findings += _guards_that_nobody_passes(routes)
    if all(finding.verdict is not Verdict.PROBLEM for finding in findings):
        names = ", ".join(route.name for route in with_plugin if route.asks_who_calls)
        guarded = Finding("kong.yml", Verdict.OK, f"Guarded: {names}. Nothing leads around them.")
        findings.insert(0, guarded)
    return findings


def _where(error: Exception) -> str:
    """Where the file is wrong, without what stands there, which may be a secret."""
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"it is not YAML in line {mark.line + 1}, column {mark.column + 1}"
    return f"its structure is another ({type(error).__name__})"


# --- the guard


def _guard(route: Route) -> Iterator[Finding]:
    acl = route.plugins.get("acl")
    if not route.asks_who_calls:
        if acl is not None:
            yield route.problem(
                "jan-media with auth: off grants nothing, so the acl on it admits nobody. Remove "
                "one of the two.",
            )
        return
    grant = (route.jan_media or {}).get("grant_group", GRANT)
    fix = (
        "Give the route the plugin acl with config: {allow: ["
        f"{grant}], always_use_authenticated_groups: true, hide_groups_header: true}}."
    )
    if acl is None:
        yield route.problem(
            "It has jan-media without the acl guard: when the plugin server is dead, Kong lets "
            f"everybody through. {fix}",
        )
        return
    config = _config(acl)
    if not config.get("allow"):
        yield route.problem(f"Its acl has no allow list, so it is no guard. {fix}")
    if config.get("always_use_authenticated_groups") is not True:
        yield route.problem(
            "Its acl does not ask for the groups that jan-media sets "
            f"(always_use_authenticated_groups). {fix}",
        )
    if config.get("hide_groups_header") is not True:
        yield route.warning(f"Its acl tells the upstream the groups (hide_groups_header). {fix}")
    for name, plugin in (("jan-media", route.plugins["jan-media"]), ("acl", acl)):
        if plugin.get("ordering"):
            yield route.problem(
                f"{name} has an ordering of its own. Remove it: acl must run after jan-media, as "
                "their priorities (950 and 1100) have it.",
            )


def _guards_that_nobody_passes(routes: Sequence[Route]) -> Iterator[Finding]:
    for route in routes:
        acl = route.plugins.get("acl")
        if (
            acl is not None
            and route.jan_media is None
            and _config(acl).get("always_use_authenticated_groups")
        ):
            yield route.problem(
                "Its acl asks for groups that nothing sets, since it has no jan-media: nobody gets "
                "in. Give it jan-media, or remove the acl.",
            )


def _ways_around(routes: Sequence[Route]) -> Iterator[Finding]:
    """Routes that lead where others are protected, and routes to the internal listener."""
    internal = {
        place
        for route in routes
        if route.jan_media is not None
        if (place := _upstream_of_url(_sidecar_url(route))) is not None
    }
    for route in routes:
        if route.upstream is None or "request-termination" in route.plugins:
            continue
        for place in internal:
            if (route.upstream.host, route.upstream.port) == (place.host, place.port):
                yield route.problem(
                    f"It leads to the sidecar's internal listener ({place.host}:{place.port}), "
                    "which is for the plugin alone. Remove the route.",
                )
        if route.asks_who_calls:
            continue
        for protected in routes:
            if (
                protected.asks_who_calls
                and protected.upstream is not None
                and _reaches(route, route.upstream, protected.upstream)
            ):
                yield route.problem(
                    f"It leads to {route.upstream} without asking who calls, past the protected "
                    f"route {protected.name}. Give it jan-media and the acl, or a narrower path.",
                )
                break


_EXACT_PATH = re.compile(r"~(/[\w./-]*)\$", re.ASCII)


def _reaches(route: Route, upstream: Upstream, protected: Upstream) -> bool:
    """Whether a route's requests may be such that lead to ``protected``."""
    if not route.kept_paths:
        return upstream.overlaps(protected)
    for path in route.kept_paths:
        exact = _EXACT_PATH.fullmatch(path)
        if path.startswith("~") and exact is None:
            return upstream.overlaps(protected)
        reached = Upstream(upstream.host, upstream.port, upstream.path.rstrip("/") + path)
        if exact is None and reached.overlaps(protected):
            return True
        if exact and (upstream.path.rstrip("/") + exact[1]).startswith(protected.path):
            return True
    return False


# --- the gate

_AI_PROXIES = frozenset(("ai-proxy", "ai-proxy-advanced"))
"""Plugins that set the scheme of the upstream, which is how the gate closes the way."""


def _gate(route: Route) -> Iterator[Finding]:
    gate = route.plugins.get("jan-media-gate")
    guards = gate is not None and _config(gate).get("guards", True)
    if route.jan_media is None:
        if guards:
            yield route.problem(
                "It has jan-media-gate without jan-media, which alone opens the gate: every "
                "request ends with 503. Add jan-media, or set guards: false in the gate's config.",
            )
        return
    if not guards:
        yield route.problem(
            "It has jan-media without jan-media-gate (one with guards: false does not count), so "
            "every request is refused. Add `- name: jan-media-gate` to the route's plugins.",
        )
    elif not route.asks_who_calls and not _AI_PROXIES.isdisjoint(route.plugins):
        yield route.problem(
            "It has jan-media with auth: off, and ai-proxy, which sends requests on that jan-media "
            "has not looked at, when the plugin server is dead. Set auth: optional, and give the "
            "route the acl guard.",
        )
    for name in ("pre-function", "post-function"):
        code = map(str, _config(route.plugins.get(name, {})).get("access") or ())
        if any("jan_media" in each for each in code):
            yield route.problem(
                f"It has the {name} of an older version, which jan-media-gate replaces. Remove it.",
            )


# --- what it must share with the sidecar


def _secret(route: Route, settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    config = route.jan_media or {}
    if not route.asks_who_calls and not config.get("resolve"):
        return  # it asks the sidecar nothing
    written = str(config.get("gateway_secret") or "")
    secret, known = _dereferenced(written, environment)
    sidecar = GatewaySecret(settings.gateway_secret, settings.gateway_secret_previous)
    if not written and sidecar.configured:
        yield route.problem(
            "jan-media has no gateway_secret and the sidecar asks for one: set it to "
            '"{vault://env/jan-gateway-secret}", and Kong\'s JAN_GATEWAY_SECRET to '
            "MEDIA_GATEWAY_SECRET.",
        )
    elif written and not known:
        yield route.warning(
            f"The gateway secret cannot be compared: {_variable(written)} is not set here. Run "
            "the doctor with Kong's environment.",
        )
    elif sidecar.configured and not sidecar.admits(secret):
        yield route.problem(
            f"The gateway secret is not the sidecar's. Make {_variable(written)} the same as "
            "MEDIA_GATEWAY_SECRET.",
        )
    if written and not written.startswith("{vault://"):
        yield route.warning(
            "The gateway secret stands in kong.yml. Refer to it: "
            '"{vault://env/jan-gateway-secret}".',
        )
    yield from _secret_goes_to(route, settings, asked_for=sidecar.configured)


def _secret_goes_to(route: Route, settings: Settings, *, asked_for: bool) -> Iterator[Finding]:
    if route.upstream is None or settings.listen.path:
        return
    sent = bool((route.jan_media or {}).get("send_gateway_secret"))
    to_sidecar = route.upstream.port == settings.listen.port
    if sent and not to_sidecar:
        yield route.problem(
            f"It sends the gateway secret to {route.upstream}, which is not the sidecar "
            f"(MEDIA_LISTEN={settings.listen}). Remove send_gateway_secret there.",
        )
    if asked_for and to_sidecar and not sent:
        yield route.problem(
            "It leads to the sidecar without the gateway secret, so every request is a 401. Set "
            "send_gateway_secret: true.",
        )


def _guest_issuer(route: Route, settings: Settings) -> Iterator[Finding]:
    if not settings.guest_login or not route.asks_who_calls:
        return
    issuers = (route.jan_media or {}).get("issuers") or ()
    ours = [each for each in issuers if each.get("issuer") == settings.issuer]
    if not ours:
        yield route.warning(
            f"Guest tokens are refused there: no issuer is {settings.issuer}. Make MEDIA_ISSUER "
            "and the issuer in kong.yml the same, or set MEDIA_GUEST_LOGIN=false.",
        )
    elif not any(
        not each.get("audience") or settings.audience in each["audience"] for each in ours
    ):
        yield route.warning(
            f"Guest tokens are refused there: the issuer's audience lacks {settings.audience} "
            "(MEDIA_AUDIENCE).",
        )


def _console_issuer(route: Route, settings: Settings) -> Iterator[Finding]:
    wanted = settings.console_oidc.issuer if settings.console else ""
    issuers = (route.jan_media or {}).get("issuers") or ()
    if wanted and route.asks_who_calls and wanted not in [each.get("issuer") for each in issuers]:
        yield route.warning(
            f"Who signs in on the console is refused there: no issuer is {wanted}. Add it to the "
            "issuers in kong.yml, or write MEDIA_CONSOLE_OIDC_ISSUER as it is there.",
        )


def _guests_at_a_model(route: Route, settings: Settings) -> Iterator[Finding]:
    """Anybody can become a guest. Whoever pays for the model should know that guests use it."""
    leads_to_sidecar = route.upstream is None or route.upstream.port == settings.listen.port
    if not route.asks_who_calls or leads_to_sidecar:
        return
    has_limit = "rate-limiting" in route.plugins
    if (route.jan_media or {}).get("auth") == "optional" and not has_limit:
        yield route.warning(
            "Callers without a token reach the model without any limit (auth: optional). Give the "
            "route a rate-limiting with limit_by: ip, or set auth: required.",
        )
    if not settings.guest_login:
        return
    issuers = (route.jan_media or {}).get("issuers") or ()
    guests = next((each for each in issuers if each.get("issuer") == settings.issuer), None)
    if guests is None:
        return
    off = "To have no guests, remove their issuer from the route and set MEDIA_GUEST_LOGIN=false."
    if not has_limit and guests.get("consumer_id") not in route.limited:
        yield route.warning(
            "Guests, and so strangers, reach the model without any limit. Give the route the "
            f"rate-limiting that the project's kong.yml has for the consumer jan-guests. {off}",
        )
    if len(issuers) > 1:
        yield route.warning(
            f"Guests, and so strangers, reach the model beside the users of another issuer. {off}",
        )


# --- whom it believes


def _issuers(route: Route) -> Iterator[Finding]:
    """Issuers whose tokens, or keys, may be somebody else's."""
    for issuer in (route.jan_media or {}).get("issuers") or () if route.asks_who_calls else ():
        name = issuer.get("issuer")
        if not issuer.get("audience"):
            yield route.warning(
                f"The issuer {name} has no audience: tokens that it made for any other service "
                "open this one too. Set audience.",
            )
        for field in ("jwks_url", "discovery_url"):
            if _is_open_to_others(str(issuer.get(field) or "")):
                yield route.warning(
                    f"The keys of the issuer {name} come over plain http ({field}): whoever is on "
                    "the way can make tokens. Use https.",
                )


def _is_open_to_others(url: str) -> bool:
    """Whether ``url`` is of plain http and leads out of this machine and its own network."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        return parts.scheme == "http" and ip_address(host).is_global
    except ValueError:
        return parts.scheme == "http" and "." in host


def _dereferenced(value: str, environment: Mapping[str, str]) -> tuple[str, bool]:
    """A field's value as the plugin gets it, and whether it could be found out here."""
    if not value.startswith("{vault://"):
        return value, True
    found = environment.get(_variable(value), "") if value.startswith(_VAULT) else ""
    return found, bool(found)


def _variable(value: str) -> str:
    """Where a referenced value comes from: Kong's environment variable, if it is one."""
    if value.startswith(_VAULT):
        name = value.removeprefix(_VAULT).rstrip("}").partition("/")[0]
        return name.replace("-", "_").upper()
    return "gateway_secret"


# --- reading the file


def _routes(document: Any) -> Iterator[Route]:
    """Every route with the plugins that run on it. Raises for what is no declarative config."""
    scoped = _scoped(document.get("plugins") or ())
    limits = _limits(document.get("plugins") or (), document.get("consumers") or ())
    services = {each.get("name"): each for each in document.get("services") or ()}
    for service in services.values():
        for route in service.get("routes") or ():
            yield _route(route, service, scoped, limits)
    for route in document.get("routes") or ():
        service = services.get(_reference(route.get("service")))
        yield _route(route, service, scoped, limits)


def _scoped(plugins: Sequence[Entity]) -> dict[tuple[str, str], list[Entity]]:
    """The plugins at the top level by what they are for; those of consumers are left out."""
    scoped: dict[tuple[str, str], list[Entity]] = {}
    for plugin in plugins:
        if plugin.get("consumer") or plugin.get("consumer_group"):
            continue
        for kind in ("route", "service"):
            if name := _reference(plugin.get(kind)):
                scoped.setdefault((kind, name), []).append(plugin)
                break
        else:
            scoped.setdefault(("all", ""), []).append(plugin)
    return scoped


def _limits(plugins: Sequence[Entity], consumers: Sequence[Entity]) -> dict[str, frozenset[str]]:
    """By route, the ids of the consumers that rate-limiting at the top level is for."""
    limits: dict[str, frozenset[str]] = {}
    ids = {each.get("username"): str(each.get("id")) for each in consumers}
    for each in plugins:
        if each.get("name") == "rate-limiting" and each.get("consumer") and each.get("route"):
            route = _reference(each["route"])
            consumer = _reference(each["consumer"])
            limits[route] = limits.get(route, frozenset()) | {ids.get(consumer, consumer)}
    return limits


def _route(
    route: Entity,
    service: Entity | None,
    scoped: Mapping[tuple[str, str], list[Entity]],
    limits: Mapping[str, frozenset[str]],
) -> Route:
    name = str(route.get("name") or ", ".join(route.get("paths") or ()) or "without a name")
    of_service = str((service or {}).get("name", ""))
    plugins: dict[str, Entity] = {}
    for each in (
        *scoped.get(("all", ""), ()),
        *scoped.get(("service", of_service), ()),
        *((service or {}).get("plugins") or ()),
        *scoped.get(("route", name), ()),
        *(route.get("plugins") or ()),
    ):
        plugins[each["name"]] = each
    enabled = {name: each for name, each in plugins.items() if each.get("enabled", True)}
    kept = () if route.get("strip_path", True) else tuple(map(str, route.get("paths") or ()))
    return Route(name, _upstream(service), enabled, limits.get(name, frozenset()), kept)


def _upstream(service: Entity | None) -> Upstream | None:
    if service is None:
        return None
    if service.get("url"):
        return _upstream_of_url(str(service["url"]))
    protocol = str(service.get("protocol", "http"))
    port = int(service.get("port") or _PORTS.get(protocol, 80))
    return Upstream(str(service.get("host", "")), port, str(service.get("path") or "/"))


def _upstream_of_url(url: str) -> Upstream | None:
    parts = urlsplit(url)
    if not parts.hostname:
        return None
    return Upstream(parts.hostname, parts.port or _PORTS.get(parts.scheme, 80), parts.path or "/")


def _sidecar_url(route: Route) -> str:
    return str((route.jan_media or {}).get("sidecar_url", "http://127.0.0.1:8286"))


def _reference(value: Any) -> str:
    """The name in a foreign reference, which is written plain or as ``{name: …}``."""
    if isinstance(value, Mapping):
        value = value.get("name") or value.get("username") or value.get("id")
    return str(value or "")


def _config(plugin: Entity) -> Entity:
    return plugin.get("config") or {}


def _problem(subject: str, message: str) -> Finding:
    return Finding(subject, Verdict.PROBLEM, message)
