"""`make demo`: the whole path on one machine, each step shown and checked.

The steps are those of "Complete Flow" and "Multiple Images" in docs/media-api-examples.md, plus
deduplication, a direct upload, a stream and a refusal. The last step shows the gateway's purpose: a
conversation that grows by a screenshot in each turn, with a model that has Anthropic's limits.
"""

import base64
import hashlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from demo.addresses import free_ports, url
from demo.image_host import ImageHost
from demo.images import drawn, screenshot
from demo.kong_settings import ROOT
from demo.part import PartFailed
from demo.stack import Stack

JSON = {"Content-Type": "application/json"}


class WrongStep(Exception):
    """A step did not end as expected."""


def check(holds: bool, expectation: str) -> None:
    """Prints an expectation that holds. Raises WrongStep with one that does not."""
    if not holds:
        raise WrongStep(expectation)
    print(f"   ✓ {expectation}")


def heading(text: str) -> None:
    """Prints the title of a step."""
    print(f"\n── {text}")


def shown(label: str, value: Any) -> None:
    """Prints a value for a reader."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    print(f"   {label}: {text}")


def successful(answer: httpx.Response, status: int = 200) -> Any:
    """The JSON of a successful response. Raises WrongStep for any other status."""
    if answer.status_code != status:
        raise WrongStep(f"expected {status}, got {answer.status_code}: {answer.text}")
    return answer.json() if answer.content else None


def names_image(text: str, content: bytes) -> bool:
    """True if the model's answer tells exactly these bytes."""
    return f"{len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}" in text


# What the story changes in kong.yml, on the model's route.
SWITCHED_ON = {
    "# inline: store ": "inline: store ",
    "# fit: { preset: anthropic }": "fit: { preset: anthropic }",
    "max_body_bytes: 33554432\n": "max_body_bytes: 67108864\n",
}


def switched_on(kong_yml: str) -> str:
    """kong.yml with inline media stored and converted to fit. Raises WrongStep."""
    for before, after in SWITCHED_ON.items():
        if kong_yml.count(before) != 1:
            raise WrongStep(f"kong.yml has one {before.strip()!r}")
        kong_yml = kong_yml.replace(before, after)
    return kong_yml


TURNS = 10
TALL = TURNS  # the last screenshot is of a whole page, taller than the model accepts


def said(turn: int) -> dict[str, Any]:
    """A turn's addition to a conversation in Anthropic's Messages: an inline screenshot."""
    shot = screenshot(turn, 120, 9000) if turn == TALL else screenshot(turn)
    data = base64.b64encode(shot).decode()
    source = {"type": "base64", "media_type": "image/png", "data": data}
    question = {"type": "text", "text": "And now?"}
    return {"role": "user", "content": [{"type": "image", "source": source}, question]}


def chat_body(question: str, ids: list[str], stream: bool = False) -> bytes:
    """A chat request with images, as a client would write it."""
    content: list[Any] = [{"type": "text", "text": question}]
    content += [{"type": "image_url", "image_url": {"url": each}} for each in ids]
    body = {"model": "jan-v2-30b", "messages": [{"role": "user", "content": content}]}
    return json.dumps({**body, "stream": True} if stream else body).encode()


class Story:
    """The steps, as one client who knows only the gateway's address."""

    def __init__(self, gateway: str, images: str, model: str) -> None:
        self.images = images
        self.model = model
        self.client = httpx.Client(base_url=gateway, timeout=30, trust_env=False)
        # To the model directly, not through the gateway: what reached it, and what it would say.
        # A new connection each time: the model closes one that was idle for five seconds.
        none_kept = httpx.Limits(max_keepalive_connections=0)
        self.observer = httpx.Client(timeout=30, trust_env=False, limits=none_kept)

    def tell(self) -> None:
        """All steps, in order. Raises WrongStep."""
        self.without_a_token()
        self.guest_login()
        diagram = self.upload("diagram.png")
        self.chat("Explain what this diagram shows", ["diagram.png"], [diagram])
        self.upload_again("diagram.png", diagram)
        names = ["image1.jpg", "image2.jpg", "image3.jpg"]
        ids = [self.upload(name) for name in names]
        self.chat("Compare these images and identify the differences:", names, ids)
        self.streaming("chart.webp")
        self.direct_upload("photo.jpg")
        self.unknown_id()
        self.ten_turns()

    def without_a_token(self) -> None:
        heading("A request without a token is refused")
        answer = self.client.post("/v1/chat/completions", content=chat_body("Hello?", []))
        shown("answer", answer.text)
        check(answer.status_code == 401, "401, and the model never saw it")

    def guest_login(self) -> None:
        heading("A guest logs in: POST /llm/auth/guest-login")
        answer = successful(self.client.post("/llm/auth/guest-login"), 201)
        shown("user", answer["user_id"])
        check(answer["access_token"].count(".") == 2, "a signed token (JWT)")
        self.client.headers["Authorization"] = f"Bearer {answer['access_token']}"

    def upload(self, name: str) -> str:
        heading(f"Upload from a remote URL: {self.images}/{name}")
        source = {"type": "remote_url", "url": f"{self.images}/{name}"}
        request = {"source": source, "user_id": "user_123"}
        answer = successful(self.client.post("/media/v1/media", json=request))
        shown("id", answer["id"])
        shown("type and size", f"{answer['mime']}, {answer['bytes']} bytes")
        check(answer["deduped"] is False, "new content: deduped is false")
        downloaded = httpx.get(answer["presigned_url"], trust_env=False).content
        check(downloaded == drawn(name), "its presigned URL gives the same bytes, without a token")
        return str(answer["id"])

    def upload_again(self, name: str, first: str) -> None:
        heading("The same image again, this time as a data URL")
        data_url = "data:image/png;base64," + base64.b64encode(drawn(name)).decode()
        request = {"source": {"type": "data_url", "data_url": data_url}, "user_id": "user_456"}
        answer = successful(self.client.post("/media/v1/media", json=request))
        shown("id", answer["id"])
        check(answer["id"] == first, "the same id: the bytes are stored once")
        check(answer["deduped"] is True, "deduped is true")

    def chat(self, question: str, names: list[str], ids: list[str]) -> None:
        heading(f"Chat with {len(ids)} image{'s' if len(ids) > 1 else ''}, by id")
        body = chat_body(question, ids)
        answer = successful(self.post_chat(body))
        arrived = self.show_bodies(body)
        text = answer["choices"][0]["message"]["content"]
        shown("the model's answer", text.replace("\n", "\n      "))
        check(not any(f'"{each}"' in arrived for each in ids), "the model received URLs, no id")
        check(all(names_image(text, drawn(name)) for name in names), "the right bytes arrived")

    def streaming(self, name: str) -> None:
        media_id = self.upload(name)
        heading("The same as a stream")
        body = chat_body("What do you see in this image?", [media_id], stream=True)
        text, arrivals = "", []
        with self.client.stream(
            "POST", "/v1/chat/completions", content=body, headers=JSON
        ) as answer:
            check(answer.status_code == 200, "200")
            for line in answer.iter_lines():
                if line.startswith("data: {"):
                    arrivals.append(time.monotonic())
                    delta = json.loads(line.removeprefix("data: "))["choices"][0]["delta"]
                    text += delta.get("content", "")
        shown("the model's answer", text.replace("\n", "\n      "))
        check(names_image(text, drawn(name)), "the right bytes arrived")
        took = f"{len(arrivals)} events over {arrivals[-1] - arrivals[0]:.2f} s"
        check(arrivals[-1] - arrivals[0] > 0.05, f"it came as it was made: {took}")

    def direct_upload(self, name: str) -> None:
        heading("A direct upload: the file goes to storage, not through the API")
        request = {"content_type": "image/jpeg", "user_id": "user_789"}
        prepared = successful(self.client.post("/media/v1/media/prepare-upload", json=request))
        media_id, form = str(prepared["jan_id"]), prepared["presigned_post"]
        shown("id", media_id)
        shown("form", f"{form['url']} with {', '.join(form['fields'])}")
        files = {"file": (name, drawn(name))}
        answer = httpx.post(form["url"], data=form["fields"], files=files, trust_env=False)
        check(answer.status_code == 204, "storage answers 204")
        self.chat("Describe this image", [name], [media_id])

    def unknown_id(self) -> None:
        heading("An id that does not exist")
        answer = self.post_chat(chat_body("And this?", ["jan_01hqr8v9k2x3f4g5h6j7k8m9n0"]))
        shown("answer", answer.text)
        check(answer.status_code == 400, "400")
        place = "messages[0].content[1].image_url.url"
        check(answer.json()["error"]["param"] == place, "the error names the place")

    def ten_turns(self) -> None:
        heading(f"A conversation of {TURNS} turns with a model that has Anthropic's limits")
        print("   Each turn brings a screenshot, and each request repeats all that were before.")
        print("   kong.yml says `inline: store` and `fit: { preset: anthropic }` for the model.\n")
        print("   turn   the client sent   straight to the model   by the gateway, it received")
        messages: list[Any] = []
        straight, error = 200, ""
        for turn in range(1, TURNS + 1):
            messages.append(said(turn))
            request = {"model": "jan-v2-30b", "max_tokens": 100, "messages": messages}
            body = json.dumps(request).encode()
            messages.append({"role": "assistant", "content": "Go on."})
            if straight == 200:
                answer = self.observer.post(f"{self.model}/v1/messages", content=body)
                straight, error = answer.status_code, answer.text
                outcome = str(straight)
            else:
                outcome = "the session is dead"
            answer = self.client.post("/v1/messages", content=body, headers=JSON)
            text = successful(answer)["content"][0]["text"]
            received = len(self.last_received())
            sizes = f"{len(body) / 1e6:8.1f} MB   {outcome:<21}   {received / 1e3:.1f} kB"
            print(f"   {turn:4}       {sizes}{' (one made to fit)' if turn == TALL else ''}")
        shown("straight to the model", error)
        check(straight == 413, "the model itself refuses, and would in every turn after")
        check(text.startswith(f"I see {TURNS} images."), "by the gateway it saw all to the end")
        check(received < len(body) // 1000, "and received less than a thousandth of what was sent")
        check("9000 pixels" not in text, "the tall one was made to fit")

    def post_chat(self, body: bytes) -> httpx.Response:
        return self.client.post("/v1/chat/completions", content=body, headers=JSON)

    def last_received(self) -> str:
        """The body of the latest request that the model has received, as the model reports it."""
        answer = self.observer.get(f"{self.model}/received", params={"last": 1})
        return str(answer.json()[0]["body"])

    def show_bodies(self, sent: bytes) -> str:
        arrived = self.last_received()
        shown("the client sent", sent.decode())
        shown("the model received", arrived)
        return arrived


def main() -> int:
    """Runs the story on a stack of its own. Returns the exit status."""
    started = time.monotonic()
    print("Starting sidecar, demo LLM and gateway …", flush=True)
    try:
        with tempfile.TemporaryDirectory(prefix="jan-demo-") as folder, ImageHost() as images:
            kong_yml = Path(folder) / "kong.yml"
            kong_yml.write_text(switched_on((ROOT / "kong.yml").read_text("utf-8")), "utf-8")
            stack = Stack(
                Path(folder) / "stack",
                free_ports(),
                llm_limits="anthropic",
                # The demo's images come from this machine, which is refused otherwise.
                media_settings={"MEDIA_FETCH_ALLOW": "127.0.0.1/32"},
                kong_yml=kong_yml,
            )
            with stack:
                print(f"Ready: {stack.base_url}")
                Story(stack.base_url, images.base_url, url(stack.ports.llm)).tell()
    except (WrongStep, PartFailed, httpx.HTTPError, KeyError) as problem:
        print(f"\n✗ {type(problem).__name__}: {problem}", file=sys.stderr)
        return 1
    print(f"\nAll steps as they should be, in {time.monotonic() - started:.1f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
