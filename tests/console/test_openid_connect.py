"""Signing in on the console with OpenID Connect, and what an attacker cannot do with it."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from jan_media.console.site import OIDC_LIBRARY
from playwright.sync_api import Page, Response, Route, expect

from demo.addresses import free_ports, url
from demo.kong_settings import ROOT
from demo.stack import Stack
from tests.console.acts import store, token_of
from tests.e2e import kong_yml
from tests.e2e.conftest import start_stack
from tests.support import oidc_provider
from tests.support.oidc_provider import CLIENT, Provider


@pytest.fixture(scope="module")
def provider_port() -> int:
    return free_ports().gateway


@pytest.fixture(scope="module")
def stack(provider_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All parts; the plugin believes the provider, and the console knows it."""
    library = ROOT / "sidecar" / "jan_media" / "console" / "static" / OIDC_LIBRARY
    assert library.is_file(), "run `make console` first: it gets the library by npm"
    folder = tmp_path_factory.mktemp("oidc")
    issuer = url(provider_port)
    document = kong_yml.written()
    for route in kong_yml.protected_routes(document):
        kong_yml.plugin(route, "jan-media")["issuers"].append(
            {
                "issuer": issuer,
                "jwks_url": f"{issuer}/keys",
                "audience": ["jan"],
                "algorithms": ["RS256"],
            }
        )
    stack = start_stack(
        folder, MEDIA_CONSOLE_OIDC_ISSUER=issuer, MEDIA_CONSOLE_OIDC_CLIENT_ID=CLIENT
    )
    stack.kong_yml = folder / "written.yml"
    stack.kong_yml.write_text(kong_yml.text(document))
    with stack:
        yield stack


@pytest.fixture
def provider(provider_port: int, stack: Stack) -> Iterator[Provider]:
    with oidc_provider.running(provider_port, f"{stack.base_url}/console/", "jan") as running:
        yield running


@pytest.fixture
def storage(provider: Provider) -> str:
    """The page may speak with the provider too."""
    return provider.issuer


def leave(page: Page, provider: Provider) -> None:
    """Goes to the provider's page."""
    page.goto("/")
    host = urlsplit(provider.issuer).netloc
    page.get_by_role("button", name=f"Sign in with {host}").click()
    page.get_by_role("link", name="I am Ada").wait_for()


@pytest.fixture
def ada(page: Page, provider: Provider) -> Page:
    """The console, with Ada signed in."""
    leave(page, provider)
    page.get_by_role("link", name="I am Ada").click()
    page.get_by_text("used").first.wait_for()
    return page


def test_people_sign_in_with_their_account(ada: Page, stack: Stack, provider: Provider) -> None:
    expect(ada.locator(".who")).to_have_text("Ada <b>Lovelace</b>")
    store(ada, "ada.png")
    expect(ada).to_have_url(f"{stack.base_url}/console/")  # no code in it
    ada.reload()
    expect(ada.locator(".grid li").first).to_be_visible()
    (asked,) = provider.asked
    assert asked["scope"] == "openid profile"
    assert {"nonce", "state", "code_challenge"} <= asked.keys()
    assert provider.granted == ["authorization_code"]
    assert "jan-sign-in" not in ada.evaluate("Object.keys(sessionStorage)")
    assert ada.evaluate("localStorage.length + document.cookie.length") == 0


def test_the_page_is_small_with_the_library_too(page: Page, provider: Provider) -> None:
    sizes: dict[str, int] = {}

    def note(answer: Response) -> None:
        if "/console/" in answer.url:
            sizes[urlsplit(answer.url).path] = int(answer.headers.get("content-length", 0))

    page.on("response", note)
    leave(page, provider)
    assert "/console/vendor/oauth4webapi.js" in sizes
    assert sum(sizes.values()) < 60 * 1024


def test_a_token_that_has_ended_is_renewed_and_nobody_is_asked(
    ada: Page, provider: Provider
) -> None:
    before = token_of(ada)
    ada.evaluate(
        """() => {
          const kept = JSON.parse(sessionStorage.getItem("jan-session"));
          sessionStorage.setItem("jan-session", JSON.stringify({ ...kept, expiresAt: 1 }));
        }"""
    )
    ada.reload()
    ada.get_by_text("used").first.wait_for()
    assert provider.granted == ["authorization_code", "refresh_token"]
    assert token_of(ada) != before
    expect(ada.locator(".who")).to_have_text("Ada <b>Lovelace</b>")


def test_a_token_that_the_gateway_refuses_is_renewed_once_for_all_questions(
    ada: Page, provider: Provider
) -> None:
    ada.evaluate(
        """() => {
          const kept = JSON.parse(sessionStorage.getItem("jan-session"));
          sessionStorage.setItem("jan-session", JSON.stringify({ ...kept, token: "ended" }));
        }"""
    )
    ada.reload()
    ada.get_by_text("used").first.wait_for()
    expect(ada.locator("select option").first).to_be_attached()
    assert provider.granted == ["authorization_code", "refresh_token"]


def test_people_are_asked_when_the_provider_renews_no_more(ada: Page, provider: Provider) -> None:
    provider.refreshes = False
    ada.evaluate(
        """() => {
          const kept = JSON.parse(sessionStorage.getItem("jan-session"));
          sessionStorage.setItem("jan-session", JSON.stringify({ ...kept, expiresAt: 1 }));
        }"""
    )
    ada.reload()
    ada.get_by_text("Your sign-in has ended").wait_for()
    ada.get_by_role("button", name="Sign in with").click()
    ada.get_by_role("link", name="I am Ada").click()
    ada.get_by_text("used").first.wait_for()


def test_signing_out_ends_it_at_the_provider_too_and_shows_no_token(
    ada: Page, provider: Provider, stack: Stack
) -> None:
    ada.get_by_role("button", name="Sign out").click()
    ada.get_by_role("button", name="Continue as guest").wait_for()
    assert ada.evaluate("sessionStorage.length") == 0
    back = f"{stack.base_url}/console/"
    assert provider.ended == [{"client_id": CLIENT, "post_logout_redirect_uri": back}]


def test_who_says_no_is_told_so_and_may_try_again(page: Page, provider: Provider) -> None:
    leave(page, provider)
    page.get_by_role("link", name="No").click()
    expect(page.get_by_role("alert")).to_contain_text("You, or the provider, said no")
    page.get_by_role("button", name="Continue as guest").click()
    page.get_by_text("Nothing is stored yet").wait_for()


def test_an_account_that_the_gateway_does_not_admit_is_told_why(
    page: Page, provider: Provider
) -> None:
    provider.audience = "account"
    leave(page, provider)
    page.get_by_role("link", name="I am Ada").click()
    expect(page.get_by_role("alert")).to_contain_text("meant for the audience account")
    assert page.evaluate("sessionStorage.length") == 0


# ------------------------------------------------------------------------------------- Attackers


@pytest.mark.parametrize("lie", ["state", "iss", "nonce"])
def test_an_answer_to_another_question_signs_nobody_in(
    page: Page, provider: Provider, lie: str
) -> None:
    provider.lies = {lie: "http://elsewhere.example"}
    leave(page, provider)
    page.get_by_role("link", name="I am Ada").click()
    expect(page.get_by_role("alert")).to_contain_text("not for this page")
    assert page.evaluate("sessionStorage.length") == 0
    assert provider.granted == (["authorization_code"] if lie == "nonce" else [])


def test_a_link_of_somebody_else_signs_nobody_in(
    page: Page, provider: Provider, stack: Stack
) -> None:
    """Who follows it would upload into the account of who made it."""
    page.goto(f"/console/?code=stolen&state=chosen&iss={provider.issuer}")
    expect(page.get_by_role("alert")).to_contain_text("not begun in this tab")
    expect(page).to_have_url(f"{stack.base_url}/console/")
    assert provider.granted == []


def test_a_code_is_taken_once(page: Page, provider: Provider) -> None:
    leave(page, provider)
    with page.expect_request(lambda request: "code=" in request.url) as answered:
        page.get_by_role("link", name="I am Ada").click()
    page.get_by_text("used").first.wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Continue as guest").wait_for()
    page.goto(answered.value.url)
    expect(page.get_by_role("alert")).to_contain_text("not begun in this tab")
    assert len(provider.granted) == 1


def test_a_provider_that_calls_itself_otherwise_is_left_alone(
    page: Page, provider: Provider
) -> None:
    described = {"issuer": "http://elsewhere.example", "authorization_endpoint": "javascript:1"}
    page.route("**/.well-known/openid-configuration", lambda route: route.fulfill(json=described))
    page.goto("/")
    page.get_by_role("button", name="Sign in with").click()
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")


def test_no_address_of_a_provider_runs_anything(page: Page, provider: Provider) -> None:
    def lead_astray(route: Route) -> None:
        described = {"issuer": provider.issuer, "authorization_endpoint": "javascript:alert(1)"}
        route.fulfill(json=described)

    page.route("**/.well-known/openid-configuration", lead_astray)
    page.goto("/")
    page.get_by_role("button", name="Sign in with").click()
    expect(page.get_by_role("alert")).to_contain_text("not a secure one")


def test_the_page_may_speak_with_the_provider_and_with_nobody_else(
    stack: Stack, provider_port: int
) -> None:
    policy = httpx.get(stack.base_url, trust_env=False).headers["content-security-policy"]
    (connect,) = [each for each in policy.split("; ") if each.startswith("connect-src ")]
    assert set(connect.split()[1:]) == {"'self'", stack.base_url, url(provider_port)}


def test_where_no_provider_is_named_there_is_no_button(
    page: Page, provider: Provider, stack: Stack
) -> None:
    known = httpx.get(f"{stack.base_url}/console/config.json", trust_env=False).json()
    assert known["oidc"]["client_id"] == CLIENT
    page.route("**/console/config.json", lambda r: r.fulfill(json={**known, "oidc": None}))
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    page.goto("/")
    page.get_by_role("button", name="Continue as guest").wait_for()
    expect(page.get_by_role("button", name="Sign in with")).to_have_count(0)
    assert not [each for each in loaded if "oauth4webapi" in each]
