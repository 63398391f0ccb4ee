"""What people can do on the console, and what attackers cannot."""

import base64
import json
import re
import subprocess
import sys
from typing import Literal

import httpx
import pytest
from playwright.sync_api import FilePayload, Page, Request, Route, expect

from demo.image_host import ImageHost
from demo.images import drawn
from demo.kong_settings import ROOT
from demo.stack import Stack
from tests.console.acts import ask, choose, clipboard, faults, noise, store, token_of
from tests.e2e.conftest import client_for, guest_token

MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>"
UPLOAD = "**/media/v1/media"
CHAT = "**/v1/chat/completions"


def streamed(text: str) -> str:
    """A model's answer as server-sent events."""
    event = {"choices": [{"delta": {"content": text}}]}
    return f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n"


# ------------------------------------------------------------------------------- How it is served


@pytest.mark.parametrize("path", ["/", "/console/", "/console/app.js", "/console/config.json"])
def test_pages_may_load_and_run_nothing_but_their_own_files(stack: Stack, path: str) -> None:
    answer = httpx.get(stack.base_url + path, trust_env=False)
    assert answer.status_code == 200
    policy = dict(
        each.split(" ", 1) for each in answer.headers["content-security-policy"].split("; ")
    )
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_the_page_and_all_its_files_are_small(page: Page) -> None:
    sizes: list[int] = []
    page.on("response", lambda response: sizes.append(int(response.headers["content-length"])))
    page.goto("/console/")
    page.get_by_role("button", name="Continue as guest").wait_for()
    assert len(sizes) > 5
    assert sum(sizes) < 50 * 1024


@pytest.mark.parametrize("path", ["/console/nothing", "/console/../settings.py", "/consoles"])
def test_nothing_else_is_there(stack: Stack, path: str) -> None:
    answer = httpx.get(stack.base_url + path, trust_env=False)
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found_error"


def test_a_file_that_has_not_changed_is_not_sent_again(stack: Stack) -> None:
    url = f"{stack.base_url}/console/app.js"
    etag = httpx.get(url, trust_env=False).headers["etag"]
    again = httpx.get(url, headers={"If-None-Match": etag}, trust_env=False)
    assert (again.status_code, again.content) == (304, b"")


def test_the_page_leads_to_the_api_reference(console: Page, stack: Stack) -> None:
    link = console.get_by_role("link", name="API").get_attribute("href")
    assert link == f"{stack.base_url}/docs/"
    assert httpx.get(link, trust_env=False).status_code == 200


# ------------------------------------------------------------------------------------- Signing in


def test_a_token_that_was_pasted_signs_in(page: Page, stack: Stack) -> None:
    page.goto("/console/")
    page.get_by_label("Token or API key").fill(f"Bearer {guest_token(stack.base_url)}")
    page.get_by_role("button", name="Use it").click()
    page.get_by_text("Nothing is stored yet").wait_for()
    expect(page).to_have_url(f"{stack.base_url}/console/")  # no token in it


def test_a_token_that_is_none_is_refused(page: Page) -> None:
    page.goto("/")
    page.get_by_label("Token or API key").fill("sk_wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("The gateway refuses this token or key")


def test_a_reload_keeps_the_sign_in_and_signing_out_ends_it(console: Page) -> None:
    console.reload()
    console.get_by_text("Nothing is stored yet").wait_for()
    console.get_by_role("button", name="Sign out").click()
    console.get_by_role("button", name="Continue as guest").wait_for()
    assert console.evaluate("sessionStorage.length") == 0


def test_a_token_that_is_refused_later_is_asked_for_again(console: Page) -> None:
    stale = json.dumps({"kind": "guest", "token": "ended", "expiresAt": 4e12})
    console.evaluate("kept => sessionStorage.setItem('jan-session', kept)", stale)
    console.reload()
    console.get_by_text("Your time as this guest has ended").wait_for()
    console.get_by_role("button", name="Continue as guest").click()
    console.get_by_text("Nothing is stored yet").wait_for()


# -------------------------------------------------------------------------------------- Uploading


def test_several_files_are_stored_and_shown(console: Page) -> None:
    ids = store(console, "one.png", "two.png", "three.png")
    assert len(set(ids)) == 3
    assert all(re.fullmatch(r"jan_[0-9a-z]{26}", each) for each in ids)
    expect(console.locator(".usage")).to_contain_text("3 of 10000 files")
    image = console.locator(".grid img").first
    expect(image).to_have_js_property("complete", True)
    expect(image).not_to_have_js_property("naturalWidth", 0)


def test_a_picture_twice_is_known(console: Page) -> None:
    store(console, "twice.png")
    assert len(store(console, "twice.png")) == 1
    expect(console.locator(".tasks li").first).to_contain_text("Already known")


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_pictures_are_dropped_and_pasted(console: Page, event: str) -> None:
    console.evaluate(
        """([event, content]) => {
          const data = new DataTransfer();
          const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
          data.items.add(new File([bytes], "given.png", { type: "image/png" }));
          const given = event === "drop"
            ? new DragEvent(event, { dataTransfer: data, bubbles: true, cancelable: true })
            : new ClipboardEvent(event, { clipboardData: data, bubbles: true, cancelable: true });
          document.body.dispatchEvent(given);
        }""",
        [event, base64.b64encode(drawn("given.png")).decode()],
    )
    expect(console.locator(".tasks .done")).to_contain_text("given.png")


def test_a_large_file_goes_straight_to_the_storage(console: Page) -> None:
    asked: list[str] = []
    console.on("request", lambda request: asked.append(f"{request.method} {request.url}"))
    console.locator("input[multiple]").set_input_files(noise("noise.png"))
    expect(console.locator(".tasks .done")).to_contain_text("noise.png")
    posted = [each for each in asked if each.startswith("POST")]
    assert ["prepare-upload" in posted[0], "/media/files" in posted[1], posted[2][-8:]] == [
        True,
        True,
        "complete",
    ]
    expect(console.locator(".grid li")).to_contain_text("4.4 MiB")
    console.locator("input[multiple]").set_input_files(noise("noise.png"))
    expect(console.locator(".tasks li").first).to_contain_text("Already known")


def test_a_photo_whose_type_the_browser_does_not_know_is_stored(console: Page) -> None:
    photo = (ROOT / "tests" / "support" / "photo.heic").read_bytes()
    assert "heic" in str(console.locator("input[multiple]").get_attribute("accept"))
    console.locator("input[multiple]").set_input_files(
        FilePayload(name="IMG_0001.HEIC", mimeType="", buffer=photo)
    )
    expect(console.locator(".tasks .done")).to_contain_text("IMG_0001.HEIC")
    expect(console.locator(".grid img")).not_to_have_js_property("naturalWidth", 0)


def test_a_large_photo_of_an_unknown_type_goes_straight_to_the_storage(console: Page) -> None:
    photo = (ROOT / "tests" / "support" / "photo.heic").read_bytes()
    large = photo + bytes(4 * 2**20)
    posted: list[Request] = []
    console.on("requestfinished", lambda r: posted.append(r) if r.method == "POST" else None)
    console.locator("input[multiple]").set_input_files(
        FilePayload(name="IMG_0002.HEIC", mimeType="", buffer=large)
    )
    expect(console.locator(".tasks .done")).to_contain_text("IMG_0002.HEIC")
    assert posted[0].post_data_json == {"content_type": "image/heic"}
    assert "/media/files" in posted[1].url


def test_phones_take_photos(console: Page) -> None:
    camera = console.get_by_role("button", name="Take a photo")
    expect(camera).to_be_hidden()
    touch = console.context.new_cdp_session(console)
    touch.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
    with console.expect_file_chooser() as choosing:
        camera.click()
    asked = choosing.value.element
    assert (asked.get_attribute("capture"), choosing.value.is_multiple()) == ("environment", False)
    choosing.value.set_files(
        FilePayload(name="photo.png", mimeType="image/png", buffer=drawn("photo.png"))
    )
    expect(console.locator(".tasks .done")).to_contain_text("photo.png")


def test_the_gateway_fetches_an_address(console: Page) -> None:
    with ImageHost() as host:
        console.get_by_label("Address of a picture").fill(f"{host.base_url}/far.png")
        console.get_by_role("button", name="Fetch").click()
        expect(console.locator(".tasks .done")).to_contain_text("Stored")
    expect(console.locator(".grid li")).to_have_count(1)


def test_what_is_refused_says_why(console: Page) -> None:
    console.locator("input[multiple]").set_input_files(
        [
            FilePayload(name="words.png", mimeType="image/png", buffer=b"no picture"),
            FilePayload(name="empty.png", mimeType="image/png", buffer=b""),
            FilePayload(name="large.png", mimeType="image/png", buffer=bytes(6 * 2**20 + 1)),
        ]
    )
    tasks = console.locator(".tasks .failed")
    expect(tasks).to_have_count(3)
    expect(tasks.filter(has_text="empty.png")).to_contain_text("The file is empty.")
    expect(tasks.filter(has_text="large.png")).to_contain_text("the gateway takes up to 6.0 MiB")
    expect(tasks.filter(has_text="words.png").locator(".says")).not_to_be_empty()


def test_a_lost_connection_is_said_and_tried_again(console: Page) -> None:
    def lose(route: Route) -> None:
        route.abort("connectionreset")

    console.route(UPLOAD, lose)
    choose(console, "lost.png")
    failed = console.locator(".tasks .failed")
    expect(failed).to_contain_text("The connection was lost")
    console.unroute(UPLOAD, lose)
    failed.get_by_role("button", name="Try again").click()
    expect(console.locator(".tasks .done")).to_contain_text("lost.png")


def test_an_upload_is_canceled(console: Page) -> None:
    console.route(UPLOAD, lambda route: None)  # no answer ever
    choose(console, "slow.png")
    console.get_by_role("button", name="Cancel").click()
    expect(console.locator(".tasks .failed")).to_contain_text("Canceled")


def test_markup_in_a_files_name_is_text(console: Page) -> None:
    store(console, f"{MARKUP}.png")
    expect(console.locator(".tasks .name")).to_have_text(f"{MARKUP}.png")


# ------------------------------------------------------------------------------------ The library


def test_a_deletion_can_be_undone(console: Page) -> None:
    store(console, "kept.png")
    console.get_by_role("button", name="Delete").click()
    expect(console.locator(".grid li")).to_be_hidden()
    console.get_by_role("button", name="Undo").click()
    expect(console.locator(".grid li")).to_be_visible()
    console.reload()
    expect(console.locator(".grid li")).to_have_count(1)


def test_what_is_deleted_is_gone_from_the_gateway(console: Page, stack: Stack) -> None:
    (media_id,) = store(console, "gone.png")
    token = token_of(console)
    with console.expect_response(lambda answer: answer.request.method == "DELETE") as answer:
        console.get_by_role("button", name="Delete").click()
    assert answer.value.status == 204
    url = f"{stack.base_url}/media/v1/media/{media_id}"
    left = httpx.get(url, headers={"Authorization": f"Bearer {token}"}, trust_env=False)
    assert left.status_code == 404


def test_the_list_goes_on_while_one_scrolls(console: Page, stack: Stack) -> None:
    with client_for(stack.base_url, token_of(console)) as client:
        for number in range(60):
            file = {"file": drawn(f"endless-{number}.png")}
            client.post("/media/v1/media", files=file).raise_for_status()
    asked: list[str] = []
    console.on("request", lambda r: asked.append(r.url) if "/media/v1/media?" in r.url else None)
    console.reload()
    cards = console.locator(".grid li")
    cards.first.wait_for()
    while (shown := cards.count()) < 60:
        cards.last.scroll_into_view_if_needed()
        expect(cards).not_to_have_count(shown)
    assert len(asked) > 1
    assert len(set(console.locator(".grid .id").all_inner_texts())) == 60


def test_the_filter_shows_what_fits(console: Page) -> None:
    ids = store(console, "here.png", "there.png")
    console.get_by_label("Filter by type or id").fill(ids[0])
    expect(console.locator(".grid li:visible")).to_have_count(1)
    console.get_by_label("Filter by type or id").fill("video")
    console.get_by_text("Nothing here fits the filter").wait_for()


def test_id_and_link_are_copied(console: Page) -> None:
    (media_id,) = store(console, "copied.png")
    console.get_by_role("button", name="Copy id").click()
    console.get_by_text("Copied", exact=True).wait_for()
    assert clipboard(console) == media_id
    console.get_by_role("button", name=f"Open {media_id}").click()
    console.get_by_role("button", name="Copy a fresh link").click()
    console.get_by_text("The link works until").wait_for()
    assert httpx.get(clipboard(console), trust_env=False).content == drawn("copied.png")


@pytest.mark.parametrize("language", ["cURL", "Python"])
def test_a_snippet_works_when_it_is_pasted(console: Page, language: str) -> None:
    (media_id,) = store(console, "snippet.png")
    console.get_by_role("button", name=f"Open {media_id}").click()
    dialog = console.get_by_role("dialog")
    dialog.get_by_label("Language").select_option(language)
    expect(dialog.get_by_label("Code")).to_contain_text("your token")
    dialog.get_by_role("button", name="Copy", exact=True).click()
    console.get_by_text("The copy holds your token").wait_for()
    command = ["sh", "-c"] if language == "cURL" else [sys.executable, "-c"]
    ran = subprocess.run(
        [*command, clipboard(console)], capture_output=True, text=True, timeout=30, check=True
    )
    assert "I see 1 image" in ran.stdout


# --------------------------------------------------------------------------------- Asking a model


def test_a_model_sees_the_picture_and_the_page_shows_what_it_received(console: Page) -> None:
    (media_id,) = store(console, "seen.png")
    ask(console, "What is this?")
    expect(console.get_by_role("log")).to_contain_text("PNG, 320×200 pixels")
    expect(console.get_by_label("What you sent")).to_contain_text(f'"url": "{media_id}"')
    received = console.get_by_label("What the model received")
    expect(received.locator("mark")).to_contain_text(f"{media_id}")
    expect(received).not_to_contain_text(f'"url": "{media_id}"')


def test_a_conversation_goes_on(console: Page) -> None:
    store(console, "turns.png")
    ask(console, "What is this?")
    expect(console.get_by_role("log")).to_contain_text("I see 1 image")
    ask(console, "Really?")
    expect(console.locator(".turn")).to_have_count(4)
    sent = json.loads(console.get_by_label("What you sent").inner_text())
    assert [turn["role"] for turn in sent["messages"]] == ["user", "assistant", "user"]


def test_markup_in_an_answer_is_text(console: Page) -> None:
    kind = "text/event-stream"
    console.route(CHAT, lambda route: route.fulfill(content_type=kind, body=streamed(MARKUP)))
    ask(console, MARKUP)
    expect(console.locator(".turn p")).to_have_text([MARKUP, MARKUP])
    expect(console.locator(".turn img, .turn script")).to_have_count(0)


def test_markdown_in_an_answer_is_shown_as_meant(console: Page) -> None:
    text = f"# Title\n\n- **one**\n- `two`\n\n```js\n{MARKUP}\n```\n[x](javascript:alert(1))"
    kind = "text/event-stream"
    console.route(CHAT, lambda route: route.fulfill(content_type=kind, body=streamed(text)))
    ask(console, "Write.")
    answer = console.locator(".turn").last
    expect(answer.locator("li")).to_have_text(["one", "two"])
    expect(answer.locator("li strong, li code")).to_have_count(2)
    expect(answer.locator("pre")).to_have_text(f"{MARKUP}\n")
    expect(answer.locator("a, img, script")).to_have_count(0)


def test_an_answer_can_be_stopped(console: Page) -> None:
    console.route(CHAT, lambda route: None)  # a model that thinks for ever
    ask(console, "Think.")
    console.get_by_role("button", name="Stop").click()
    console.get_by_text("Stopped.").wait_for()
    expect(console.get_by_role("button", name="Send")).to_be_visible()


def test_an_error_says_in_which_part(console: Page) -> None:
    error = {"message": "No such picture.", "type": "t", "code": "c", "param": "messages.0"}
    console.route(CHAT, lambda route: route.fulfill(status=400, json={"error": error}))
    ask(console, "Well?")
    expect(console.get_by_role("log")).to_contain_text("No such picture. (in messages.0)")


# ------------------------------------------------------------------------------------- For people


def test_it_fits_a_phone_and_needs_no_mouse(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto("/")
    page.get_by_role("button", name="Continue as guest").press("Enter")
    page.get_by_text("Nothing is stored yet").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    store(page, "phone.png")
    page.get_by_label("Your question").press("Enter")
    expect(page.get_by_role("log")).to_contain_text("I see 1 image")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(console: Page, scheme: Literal["light", "dark"]) -> None:
    console.emulate_media(color_scheme=scheme)
    (media_id,) = store(console, f"{scheme}.png")
    ask(console, "What is this?")
    expect(console.get_by_label("What the model received").locator("mark")).to_be_visible()
    assert faults(console) == []
    console.get_by_role("button", name=f"Open {media_id}").click()
    assert faults(console) == []
