"""Checks whether a kong.yml keeps the gateway closed, and agrees with the sidecar.

If an external plugin's server is dead, Kong forwards requests as if the plugin were not there.
So every route with jan-media needs jan-media-gate before it, which is closed until the plugin has
decided, and Kong's own ``acl`` after it, which admits only requests whose groups the plugin has
set. A route that leads to the same place without jan-media is open all the time.

Mistakes that the first request shows anyway, such as a group that nobody has, are not checked.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

import yaml

from jan_media.doctor.finding import Finding, Verdict, ok, problem
from jan_media.doctor.kong_routes import Route, Upstream, routes_of
from jan_media.identity.gateway_secret import GatewaySecret
from jan_media.settings import Settings

GRANT = "jan-users"
SIDECAR = "http://127.0.0.1:8286"
_EXACT_PATH = re.compile(r"~(/[\w./-]*)\$", re.ASCII)
_OF_ENVIRONMENT = re.compile(r"\{vault://env/([\w-]+)(?:/.*)?\}", re.ASCII)
_AI_PROXIES = frozenset(("ai-proxy", "ai-proxy-advanced"))
"""Plugins that set the upstream's scheme, and so undo how the gate blocks a request."""


def check_kong_yml(text: str, settings: Settings, environment: Mapping[str, str]) -> list[Finding]:
    """All findings about a declarative config. ``environment`` is Kong's, for its vault."""
    try:
        routes = list(routes_of(yaml.safe_load(text)))
    except (yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        return [problem("kong.yml", f"It cannot be read as a declarative config: {_where(error)}")]
    with_plugin = [route for route in routes if "jan-media" in route.plugins]
    if not with_plugin:
        return [problem("kong.yml", "No route has the plugin jan-media. Add it, with its acl.")]
    findings = list(_halves(routes))
    for route in with_plugin:
        findings += _guard(route)
        findings += _secret(route, settings, environment)
        if route.asks_who_calls:
            findings += _issuers_of_the_sidecar(route, settings)
            findings += _issuers(route)
            findings += _guests_at_a_model(route, settings)
    findings += _ways_around(routes)
    if all(finding.verdict is not Verdict.PROBLEM for finding in findings):
        names = ", ".join(route.name for route in with_plugin if route.asks_who_calls)
        findings.insert(0, ok("kong.yml", f"Guarded: {names}. Nothing leads around them."))
    return findings


def _where(error: Exception) -> str:
    """Where the file is wrong, without quoting it: it may hold a secret."""
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"it is not YAML in line {mark.line + 1}, column {mark.column + 1}"
    return f"its structure is another ({type(error).__name__})"


# --- what keeps it closed


def _halves(routes: Sequence[Route]) -> Iterator[Finding]:
    for route in routes:
        gate = route.plugins.get("jan-media-gate")
        guards = gate is not None and gate.get("guards", True)
        if guards and "jan-media" not in route.plugins:
            yield route.problem(
                "It has jan-media-gate without jan-media, which alone opens the gate, so every "
                "request ends with 503. Add jan-media, or set guards: false in the gate's config.",
            )
        if not guards and "jan-media" in route.plugins:
            yield route.problem(
                "It has jan-media without jan-media-gate (one with guards: false does not count), "
                "so every request is refused. Add jan-media-gate to the route's plugins.",
            )


def _guard(route: Route) -> Iterator[Finding]:
    if not route.asks_who_calls:
        if not _AI_PROXIES.isdisjoint(route.plugins):
            yield route.problem(
                "It has jan-media with auth: off, and ai-proxy, which sends requests on that "
                "jan-media has not looked at, when the plugin server is dead. Set auth: optional, "
                "and give the route the acl guard.",
            )
        return
    acl = route.plugins.get("acl")
    grant = route.jan_media.get("grant_group", GRANT)
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
    if not acl.get("allow"):
        yield route.problem(f"Its acl has no allow list, so it is no guard. {fix}")
    if acl.get("always_use_authenticated_groups") is not True:
        yield route.problem(
            "Its acl does not ask for the groups that jan-media sets "
            f"(always_use_authenticated_groups). {fix}",
        )
    if acl.get("hide_groups_header") is not True:
        yield route.warning(f"Its acl tells the upstream the groups (hide_groups_header). {fix}")


def _ways_around(routes: Sequence[Route]) -> Iterator[Finding]:
    """Unprotected routes to what other routes protect, and routes to the internal listener."""
    internal = set()
    for route in routes:
        if "jan-media" in route.plugins:
            place = Upstream.of_url(str(route.jan_media.get("sidecar_url") or SIDECAR))
            internal.add((place.host, place.port))
    for route in routes:
        upstream = route.upstream
        if upstream is None or "request-termination" in route.plugins:
            continue
        if (upstream.host, upstream.port) in internal:
            yield route.problem(
                f"It leads to the sidecar's internal listener ({upstream.host}:{upstream.port}), "
                "which is for the plugin alone. Remove the route.",
            )
        if route.asks_who_calls:
            continue
        for other in routes:
            protected = other.upstream if other.asks_who_calls else None
            if protected is not None and _reaches(route, upstream, protected):
                yield route.problem(
                    f"It leads to {upstream} without asking who calls, past the protected route "
                    f"{other.name}. Give it jan-media and the acl, or a narrower path.",
                )
                break


def _reaches(route: Route, upstream: Upstream, protected: Upstream) -> bool:
    """Whether some request of a route can lead to ``protected``."""
    for path in route.kept_paths or ("",):
        exact = _EXACT_PATH.fullmatch(path)
        if exact:
            reached = upstream.below(exact[1])
            if reached.path.startswith(protected.path) and reached.overlaps(protected):
                return True
        elif (upstream if path[:1] in ("", "~") else upstream.below(path)).overlaps(protected):
            return True
    return False


# --- what it must share with the sidecar


def _secret(route: Route, settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    if not route.asks_who_calls and not route.jan_media.get("resolve"):
        return  # it asks the sidecar nothing
    secret = written = str(route.jan_media.get("gateway_secret") or "")
    variable = "gateway_secret"
    if written.startswith("{vault://"):
        if referred := _OF_ENVIRONMENT.fullmatch(written):
            variable = referred[1].replace("-", "_").upper()
        secret = environment.get(variable, "")
    elif written:
        yield route.warning(
            "The gateway secret stands in kong.yml. Refer to it: "
            '"{vault://env/jan-gateway-secret}".',
        )
    sidecar = GatewaySecret(settings.gateway_secret, settings.gateway_secret_previous)
    if not written and sidecar.configured:
        yield route.problem(
            "jan-media has no gateway_secret and the sidecar asks for one: set it to "
            '"{vault://env/jan-gateway-secret}", and Kong\'s JAN_GATEWAY_SECRET to '
            "MEDIA_GATEWAY_SECRET.",
        )
    elif written and not secret:
        yield route.warning(
            f"The gateway secret cannot be compared: {variable} is not set here. Run the doctor "
            "with Kong's environment.",
        )
    elif sidecar.configured and not sidecar.admits(secret):
        yield route.problem(
            f"The gateway secret is not the sidecar's. Make {variable} the same as "
            "MEDIA_GATEWAY_SECRET.",
        )
    if route.upstream is None or settings.listen.path:
        return
    sent = bool(route.jan_media.get("send_gateway_secret"))
    to_sidecar = route.upstream.port == settings.listen.port
    if sent and not to_sidecar:
        yield route.problem(
            f"It sends the gateway secret to {route.upstream}, which is not the sidecar "
            f"(MEDIA_LISTEN={settings.listen}). Remove send_gateway_secret there.",
        )
    if sidecar.configured and to_sidecar and not sent:
        yield route.problem(
            "It leads to the sidecar without the gateway secret, so every request is a 401. Set "
            "send_gateway_secret: true.",
        )


def _issuers_of_the_sidecar(route: Route, settings: Settings) -> Iterator[Finding]:
    """Whether the route trusts the issuers whose tokens the sidecar and its console give out."""
    believed = {each.get("issuer"): each.get("audience") or () for each in route.issuers}
    if settings.guest_login and settings.issuer not in believed:
        yield route.warning(
            f"Guest tokens are refused there: no issuer is {settings.issuer}. Make MEDIA_ISSUER "
            "and the issuer in kong.yml the same, or set MEDIA_GUEST_LOGIN=false.",
        )
    elif settings.guest_login and settings.audience not in (
        believed[settings.issuer] or [settings.audience]
    ):
        yield route.warning(
            f"Guest tokens are refused there: the issuer's audience lacks {settings.audience} "
            "(MEDIA_AUDIENCE).",
        )
    of_console = settings.console_oidc.issuer if settings.console else ""
    if of_console and of_console not in believed:
        yield route.warning(
            f"Who signs in on the console is refused there: no issuer is {of_console}. Add it to "
            "the issuers in kong.yml, or write MEDIA_CONSOLE_OIDC_ISSUER as it is there.",
        )


# --- whom it trusts


def _guests_at_a_model(route: Route, settings: Settings) -> Iterator[Finding]:
    """Anybody can become a guest. Whoever pays for the model should know that guests use it."""
    if route.upstream is None or route.upstream.port == settings.listen.port:
        return  # it leads to no model, or to the sidecar
    has_limit = "rate-limiting" in route.plugins
    if route.jan_media.get("auth") == "optional" and not has_limit:
        yield route.warning(
            "Callers without a token reach the model without any limit (auth: optional). Give the "
            "route a rate-limiting with limit_by: ip, or set auth: required.",
        )
    guests = [each for each in route.issuers if each.get("issuer") == settings.issuer]
    if not guests or not settings.guest_login:
        return
    off = "To have no guests, remove their issuer from the route and set MEDIA_GUEST_LOGIN=false."
    if not has_limit and guests[0].get("consumer_id") not in route.limited:
        yield route.warning(
            "Guests, and so strangers, reach the model without any limit. Give the route the "
            f"rate-limiting that the project's kong.yml has for the consumer jan-guests. {off}",
        )
    if len(route.issuers) > 1:
        yield route.warning(
            f"Guests, and so strangers, reach the model beside the users of another issuer. {off}",
        )


def _issuers(route: Route) -> Iterator[Finding]:
    """Issuers whose tokens may be meant for other services, or whose keys may be forged."""
    for issuer in route.issuers:
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
    """Whether ``url`` is plain http and leads outside this machine and its network."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        return parts.scheme == "http" and ip_address(host).is_global
    except ValueError:
        return parts.scheme == "http" and "." in host
