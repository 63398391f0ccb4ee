"""``/v1/files`` as OpenAI and Anthropic describe their Files APIs, with media for files."""

import io
import re
import time
import wave
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.contract.api.client import Api, assert_error
from tests.support.pictures import picture
from tests.support.sidecar import RunningSidecar, running_sidecar

ANTHROPIC = {"anthropic-version": "2023-06-01"}
PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"
MP3 = (bytes.fromhex("fff38400") + bytes(413)) * 3  # as speech is: MPEG-2, without a tag
HOUR, DAY = 3600, 86400


def wav() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(1600))
    return file.getvalue()


@pytest.fixture
def files(sidecar: RunningSidecar) -> Iterator["Files"]:
    """A caller that has no file yet."""
    with Files(sidecar, f"user {time.time_ns()}") as client:
        yield client


class Files(Api):
    """Calls the Files API."""

    def create(
        self, data: bytes | None = None, name: str = "a.png", /, user: str = "", **fields: str
    ) -> httpx.Response:
        extra = ANTHROPIC if fields.pop("api", "") == "anthropic" else {}
        return self.http.post(
            "/v1/files",
            files={"file": (name, picture() if data is None else data)},
            data={key.replace("__", "[", 1) + "]" * ("__" in key): fields[key] for key in fields},
            headers=self.as_user(user or self.user) | extra,
        )

    def created(self, data: bytes | None = None, name: str = "a.png", /, **fields: str) -> Any:
        answer = self.create(data, name, **fields)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def listed(self, query: str = "", *, anthropic: bool = False) -> Any:
        answer = self.get(f"/v1/files?{query}", **(ANTHROPIC if anthropic else {}))
        assert answer.status_code == 200, answer.text
        return answer.json()


def test_errors_have_a_type_beside_them_for_who_names_anthropics_version(files: Files) -> None:
    path = "/v1/files/jan_01hqr8v9k2x3f4g5h6j7k8m9n0"
    plain, typed = (files.get(path), files.get(path, **ANTHROPIC))
    assert plain.status_code == typed.status_code == 404
    assert typed.json() == {"type": "error", **plain.json()}


# --- create


def test_a_file_has_the_fields_of_openais_api(files: Files) -> None:
    data = picture()
    file = files.created(data, "a photo.png", purpose="vision")
    assert file.keys() == {
        *("id", "object", "bytes", "created_at", "expires_at"),
        *("filename", "purpose", "status", "status_details"),
    }
    assert re.fullmatch(r"jan_[0-9a-z]{26}", file["id"])
    assert (file["object"], file["status"], file["status_details"]) == ("file", "processed", None)
    assert (file["bytes"], file["filename"], file["purpose"]) == (
        len(data),
        "a photo.png",
        "vision",
    )
    assert abs(file["created_at"] - time.time()) < 60
    assert files.get(f"/v1/files/{file['id']}").json() == file


def test_a_file_has_the_fields_of_anthropics_api_for_who_names_its_version(files: Files) -> None:
    data = picture()
    file = files.created(data, "a photo.png", api="anthropic")
    assert file.keys() == {
        *("id", "type", "filename", "mime_type", "size_bytes"),
        *("created_at", "expires_at", "downloadable"),
    }
    assert (file["type"], file["filename"], file["downloadable"]) == ("file", "a photo.png", True)
    assert (file["mime_type"], file["size_bytes"]) == ("image/png", len(data))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", file["created_at"])
    assert files.get(f"/v1/files/{file['id']}", **ANTHROPIC).json() == file


@pytest.mark.parametrize(
    ("data", "mime", "purpose"),
    [
        (PDF, "application/pdf", "user_data"),
        (wav(), "audio/wav", "user_data"),
        (MP3, "audio/mpeg", "user_data"),
        (picture(), "image/png", "vision"),
    ],
)
def test_documents_and_sounds_are_files_too_and_the_type_tells_the_purpose(
    files: Files, data: bytes, mime: str, purpose: str
) -> None:
    file = files.created(data, "x")
    assert file["purpose"] == purpose
    assert files.get(f"/v1/files/{file['id']}", **ANTHROPIC).json()["mime_type"] == mime
    if purpose != "vision":  # which the media API takes only where an operator says so
        answer = files.http.post(
            "/v1/media", content=data, headers=files.as_user(files.user) | {"Content-Type": mime}
        )
        assert_error(answer, 415, "unsupported_media_type")


def test_a_file_and_a_medium_are_the_same_thing(files: Files) -> None:
    data = picture()
    uploaded = files.upload(data)
    assert files.created(data, "named.png")["id"] == uploaded["id"]
    assert [each["id"] for each in files.listed()["data"]] == [uploaded["id"]]
    assert files.get(f"/v1/media/{uploaded['id']}").json()["mime"] == "image/png"
    assert files.delete(uploaded["id"]).status_code == 204
    assert_error(files.get(f"/v1/files/{uploaded['id']}"), 404, "media_not_found")


def test_a_medium_without_a_name_has_one_made_of_its_id(files: Files) -> None:
    uploaded = files.upload(picture())
    file = files.get(f"/v1/files/{uploaded['id']}").json()
    assert (file["filename"], file["purpose"]) == (f"{uploaded['id']}.png", "vision")


def test_a_form_of_the_media_api_gives_a_file_its_name(files: Files) -> None:
    answer = files.http.post(
        "/v1/media", files={"file": ("mine.png", picture())}, headers=files.as_user(files.user)
    )
    assert files.get(f"/v1/files/{answer.json()['id']}").json()["filename"] == "mine.png"


@pytest.mark.parametrize(
    "purpose", ["fine-tune", "batch", "assistants", "evals", "VISION", "x" * 99]
)
def test_a_purpose_that_is_not_for_media_is_refused_with_the_way_out(
    files: Files, purpose: str
) -> None:
    error = assert_error(files.create(purpose=purpose), 400, "invalid_field", "purpose")
    assert "vision or user_data" in error["message"]
    assert "model's provider" in error["message"]
    assert files.listed()["data"] == []


def test_a_purpose_behind_the_file_counts_as_well(files: Files) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        + picture()
        + b'\r\n--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b--\r\n'
    )
    headers = {"Content-Type": "multipart/form-data; boundary=b", **files.as_user(files.user)}
    answer = files.http.post("/v1/files", content=body, headers=headers)
    assert_error(answer, 400, "invalid_field", "purpose")
    assert files.listed()["data"] == []


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"plain text", 400, "invalid_media"),
        (b"", 400, "empty_file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "unsupported_media_type"),
        (bytes(400_000), 413, "max_size_exceeded"),
    ],
)
def test_files_are_held_to_the_rules_of_uploads(
    files: Files, data: bytes, status: int, code: str
) -> None:
    assert_error(files.create(data), status, code, "file")


def test_only_a_form_is_taken(files: Files) -> None:
    assert_error(files.post("/v1/files", {"purpose": "vision"}), 415, "unsupported_media_type")
    empty = files.http.post(
        "/v1/files", files={"purpose": (None, "vision")}, headers=files.as_user(files.user)
    )
    assert_error(empty, 400, "missing_field", "file")


def test_nobody_is_not_a_caller(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("guarded") / "data"
    with running_sidecar(folder, GATEWAY_SECRET="s" * 32) as guarded, Files(guarded) as files:
        gateway = {"X-Jan-Gateway-Secret": "s" * 32}
        for method, path in (("POST", ""), ("GET", ""), ("GET", "/x"), ("DELETE", "/x")):
            answer = files.http.request(method, f"/v1/files{path}", headers=gateway)
            assert_error(answer, 401, "unauthenticated")
            direct = files.http.request(method, f"/v1/files{path}", headers=files.as_user("ann"))
            assert_error(direct, 401, "gateway_secret_required")


# --- names


@pytest.mark.parametrize(
    "name",
    [
        "<img src=x onerror=alert(1)>.png",
        "../../etc/passwd",
        "a\\b.png",
        "Ünïcödé 🦆 名前.png",
        "a;b='c'&d=%00%0d%0a.png",
        ".",
        "x" * 255,
    ],
)
def test_a_name_comes_back_as_it_was_given_and_is_nothing_but_a_name(
    files: Files, name: str
) -> None:
    data = picture()
    id = files.created(data, name)["id"]
    assert files.get(f"/v1/files/{id}").json()["filename"] == name
    content = files.get(f"/v1/files/{id}/content")
    assert content.content == data
    assert re.fullmatch(
        rf"inline; filename=\"{id}\.png\"; filename\*=UTF-8''[\w.~%-]+",
        content.headers["content-disposition"],
    )
    assert content.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in content.headers


@pytest.mark.parametrize(
    "written", [b'a\\"; x="y', b"a\r\n b", b"a\x00b", b"\xff\xfe", b"x" * 5000]
)
def test_no_name_gets_into_the_headers_of_an_answer(files: Files, written: bytes) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="' + written + b'"\r\n\r\n'
        + picture() + b"\r\n--b--\r\n"
    )  # fmt: skip
    headers = {"Content-Type": "multipart/form-data; boundary=b", **files.as_user(files.user)}
    answer = files.http.post("/v1/files", content=body, headers=headers)
    if answer.status_code != 200:
        assert_error(answer, 400, "invalid_form", "file")
        return
    name = answer.json()["filename"]
    assert "\0" not in name
    assert len(name) <= 255
    content = files.get(f"/v1/files/{answer.json()['id']}/content")
    assert len(content.headers["content-disposition"]) < 1000
    assert set(content.headers) == set(
        files.get(f"/v1/media/{answer.json()['id']}/content").headers
    )


def test_each_owner_has_a_name_of_its_own_for_a_file(files: Files) -> None:
    data = picture()
    first, second = files.created(data, "mine.png"), files.created(data, "yours.png", user="other")
    assert first["id"] == second["id"]
    assert files.get(f"/v1/files/{first['id']}").json()["filename"] == "mine.png"


# --- how long


@pytest.mark.parametrize(
    "fields",
    [
        {"expires_after__anchor": "created_at", "expires_after__seconds": "7200"},
        {"expires_after__seconds": "7200"},
        {"expires_in_seconds": "7200"},
    ],
)
def test_a_file_ends_when_its_owner_says(files: Files, fields: dict[str, str]) -> None:
    file = files.created(**fields)
    assert file["expires_at"] - file["created_at"] == 7200


def test_nothing_is_kept_longer_than_the_operator_keeps_it(files: Files) -> None:
    kept = files.created()
    asked = files.created(api="", expires_in_seconds=str(89 * DAY))
    days = [(each["expires_at"] - each["created_at"]) / DAY for each in (kept, asked)]
    assert days == pytest.approx([30, 30], abs=0.1)


def test_a_file_that_ends_for_one_stays_for_another(files: Files) -> None:
    data = picture()
    short = files.created(data, expires_in_seconds=str(HOUR))
    files.created(data, user="other")
    again = files.get(f"/v1/files/{short['id']}").json()
    assert again["expires_at"] - again["created_at"] == HOUR


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"expires_after__seconds": "3599"}, "invalid_field", "expires_after[seconds]"),
        ({"expires_after__seconds": "2592001"}, "invalid_field", "expires_after[seconds]"),
        ({"expires_after__seconds": "1e6"}, "invalid_field", "expires_after[seconds]"),
        ({"expires_after__seconds": "9" * 40}, "invalid_field", "expires_after[seconds]"),
        ({"expires_after__seconds": "٣٦٠٠"}, "invalid_field", "expires_after[seconds]"),
        (
            {"expires_after__anchor": "last_active_at", "expires_after__seconds": "7200"},
            "invalid_field",
            "expires_after[anchor]",
        ),
        ({"expires_after__anchor": "created_at"}, "missing_field", "expires_after[seconds]"),
        ({"expires_in_seconds": "7776001"}, "invalid_field", "expires_in_seconds"),
    ],
)
def test_an_end_that_cannot_be_is_refused(
    files: Files, fields: dict[str, str], code: str, param: str
) -> None:
    assert_error(files.create(**fields), 400, code, param)


# --- list


def test_an_openai_list_pages_by_the_last_id(files: Files) -> None:
    ids = [files.created()["id"] for _ in range(5)][::-1]
    first = files.listed("limit=2")
    assert first.keys() == {"object", "data", "first_id", "last_id", "has_more"}
    assert [first["object"], first["first_id"], first["last_id"]] == ["list", *ids[:2]]
    assert first["has_more"] is True
    second = files.listed(f"limit=2&after={first['last_id']}")
    third = files.listed(f"limit=2&after={second['last_id']}")
    assert [each["id"] for page in (first, second, third) for each in page["data"]] == ids
    assert third["has_more"] is False
    oldest = files.listed("limit=2&order=asc")
    assert [each["id"] for each in oldest["data"]] == ids[::-1][:2]
    rest = files.listed(f"order=asc&after={oldest['last_id']}")
    assert [each["id"] for each in rest["data"]] == ids[::-1][2:]


def test_a_list_that_is_deleted_while_it_is_read_is_read_to_its_end(files: Files) -> None:
    ids = [files.created()["id"] for _ in range(5)][::-1]
    seen, after, more = [], "", True
    while more:
        page = files.listed(f"limit=2{after}")
        for each in page["data"]:
            seen.append(each["id"])
            files.delete(each["id"])
        after, more = f"&after={page['last_id']}", page["has_more"]
    assert seen == ids


def test_an_openai_list_may_be_of_one_purpose(files: Files) -> None:
    image, document = files.created()["id"], files.created(PDF + files.user.encode())["id"]
    told = files.created(purpose="user_data")["id"]
    assert [each["id"] for each in files.listed("purpose=vision")["data"]] == [image]
    assert [each["id"] for each in files.listed("purpose=user_data")["data"]] == [told, document]
    for other in ("batch", "", "x" * 1000, "%00"):
        expected = [told, document, image] if other == "" else []
        assert [each["id"] for each in files.listed(f"purpose={other}")["data"]] == expected


def test_an_anthropic_list_pages_by_its_cursor(files: Files) -> None:
    ids = [files.created()["id"] for _ in range(5)][::-1]
    seen, page = [], files.listed("limit=2", anthropic=True)
    assert page.keys() == {"data", "first_id", "last_id", "has_more", "next_page"}
    while True:
        seen += [each["id"] for each in page["data"]]
        if page["next_page"] is None:
            break
        page = files.listed(f"limit=2&page={page['next_page']}", anthropic=True)
    assert seen == ids
    assert len(files.listed("", anthropic=True)["data"]) == 5


def test_an_anthropic_list_goes_in_both_directions_from_an_id(files: Files) -> None:
    ids = [files.created()["id"] for _ in range(5)][::-1]
    older = files.listed(f"limit=2&after_id={ids[1]}", anthropic=True)
    assert [each["id"] for each in older["data"]] == ids[2:4]
    assert (older["first_id"], older["last_id"], older["has_more"]) == (ids[2], ids[3], True)
    newer = files.listed(f"limit=2&before_id={ids[3]}", anthropic=True)
    assert [each["id"] for each in newer["data"]] == ids[1:3]
    assert (newer["has_more"], newer["next_page"]) == (True, None)
    first = files.listed(f"limit=9&before_id={ids[3]}", anthropic=True)
    assert [each["id"] for each in first["data"]] == ids[:3]
    assert first["has_more"] is False


def test_an_anthropic_list_may_be_of_some_ids(files: Files) -> None:
    ids = [files.created()["id"] for _ in range(3)][::-1]
    foreign = files.created(user="other")["id"]
    for name in ("ids", "ids[]"):
        query = "&".join(f"{name}={each}" for each in (ids[0], ids[2].upper(), foreign, "file_x"))
        assert [each["id"] for each in files.listed(query, anthropic=True)["data"]] == [
            ids[0],
            ids[2],
        ]
    assert files.listed("ids=file_x", anthropic=True)["data"] == []
    assert files.listed("scope_id=session_1", anthropic=True)["data"] == []
    many = "&".join(f"ids={number}" for number in range(101))
    assert_error(files.get(f"/v1/files?{many}", **ANTHROPIC), 400, "invalid_field", "ids")


def test_an_empty_list_has_no_ends(files: Files) -> None:
    assert files.listed() == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("limit=x", "limit"),
        ("order=newest", "order"),
        ("after=file-abc", "after"),
        ("after=jan_01hqr8v9k2x3f4g5h6j7k8m9n0.x", "after"),
    ],
)
def test_a_bad_query_is_400(files: Files, query: str, param: str) -> None:
    assert_error(files.get(f"/v1/files?{query}"), 400, "invalid_field", param)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=1001", "limit"),
        ("page=page_x", "page"),
        ("after_id=x", "after_id"),
        ("before_id=x", "before_id"),
        ("before_id=x&after_id=y", "before_id"),
    ],
)
def test_a_bad_query_of_anthropics_api_is_400(files: Files, query: str, param: str) -> None:
    assert_error(files.get(f"/v1/files?{query}", **ANTHROPIC), 400, "invalid_field", param)


# --- one's own files only


@pytest.mark.parametrize("headers", [{}, ANTHROPIC])
def test_anothers_file_is_not_there(files: Files, headers: dict[str, str]) -> None:
    file = files.created(user="other")
    for path in ("", "/content"):
        answer = files.get(f"/v1/files/{file['id']}{path}", **headers)
        assert_error(answer, 404, "media_not_found")
    deleted = files.http.delete(
        f"/v1/files/{file['id']}", headers=files.as_user(files.user) | headers
    )
    assert_error(deleted, 404, "media_not_found")
    assert files.listed(f"after={file['id']}")["data"] == []
    assert files.get(f"/v1/media/{file['id']}").status_code == 200  # who knows the id may use it


def test_what_is_promised_to_another_is_not_there(files: Files) -> None:
    prepared = files.prepare()
    assert_error(files.get(f"/v1/files/{prepared['id']}"), 409, "upload_pending")
    files.user = "a stranger"
    assert_error(files.get(f"/v1/files/{prepared['id']}"), 404, "media_not_found")


@pytest.mark.parametrize("id", ["x", "file-abc123", "jan_01hqr8v9k2x3f4g5h6j7k8m9n0", "%00"])
def test_an_unknown_file_is_404(files: Files, id: str) -> None:
    assert_error(files.get(f"/v1/files/{id}"), 404, "media_not_found")


def test_deleting_answers_as_each_api_does(files: Files) -> None:
    for headers, told in (
        ({}, {"object": "file", "deleted": True}),
        (ANTHROPIC, {"type": "file_deleted"}),
    ):
        id = files.created()["id"]
        deleted = files.http.delete(f"/v1/files/{id}", headers=files.as_user(files.user) | headers)
        assert deleted.json() == {"id": id, **told}
        assert_error(files.get(f"/v1/files/{id}"), 404, "media_not_found")


def test_files_count_for_the_quota(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("quota") / "data"
    with running_sidecar(folder, QUOTA_FILES="2") as small, Files(small) as files:
        kept = [files.created(expires_in_seconds=str(HOUR))["id"], files.created()["id"]]
        assert_error(files.create(), 429, "quota_files_exceeded", "file")
        files.http.delete(f"/v1/files/{kept[0]}", headers=files.as_user(files.user))
        files.created()


def test_an_operator_says_which_files_are_taken_besides_media(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("types") / "data"
    settings = {"ALLOWED_TYPES": "image/png", "FILE_TYPES": "application/pdf"}
    with running_sidecar(folder, **settings) as strict, Files(strict) as files:
        files.created(PDF)
        files.created()
        error = assert_error(files.create(wav()), 415, "unsupported_media_type", "file")
        assert "image/png,application/pdf" in error["message"]


def test_content_has_ranges_and_follows_the_setting_of_downloads(
    files: Files, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = picture()
    part = files.get(f"/v1/files/{files.created(data)['id']}/content", Range="bytes=0-7")
    assert (part.status_code, part.content) == (206, data[:8])
    folder = tmp_path_factory.mktemp("redirect") / "data"
    with running_sidecar(folder, PROXY_DOWNLOAD="false") as other, Files(other) as there:
        answer = there.get(f"/v1/files/{there.created(data)['id']}/content")
        assert answer.status_code == 302
        assert there.http.get(answer.headers["location"]).content == data
