"""Thumbnails: small pictures for lists."""

import io
from typing import Any

from PIL import Image

from tests.contract.api.client import Api, assert_error
from tests.support.pictures import picture


def test_a_thumbnail_is_a_small_picture(api: Api) -> None:
    large = api.upload(picture(size=(900, 600)))["id"]
    assert Image.open(io.BytesIO(thumbnail(api, large).content)).size == (320, 213)
    data = picture()
    small = api.upload(data)["id"]
    assert thumbnail(api, small).content == data
    assert_error(
        api.get("/v1/media/jan_01hqr8v9k2x3f4g5h6j7k8m9n0/thumbnail"), 404, "media_not_found"
    )
    unnamed = api.http.get(f"/v1/media/{large}/thumbnail")
    assert unnamed.status_code == api.http.get(f"/v1/media/{large}/content").status_code


def thumbnail(api: Api, media_id: str) -> Any:
    response = api.get(f"/v1/media/{media_id}/thumbnail")
    assert response.status_code == 200
    assert response.headers["x-content-type-options"] == "nosniff"
    return response
