"""Dropping what nobody calls of S3 leaves what is called as it was."""

import re
from pathlib import Path
from typing import Any

import botocore.session
import jan_media.storage
import pytest
from botocore import xform_name
from botocore.model import ServiceModel, Shape
from jan_media.storage.s3_operations import keep_called_operations

SOURCES = Path(jan_media.storage.__file__).parent


def s3(session: botocore.session.Session) -> ServiceModel:
    client = session.create_client(
        "s3", region_name="us-east-1", aws_access_key_id="id", aws_secret_access_key="secret"
    )
    return client.meta.service_model


@pytest.fixture(scope="module")
def whole() -> ServiceModel:
    return s3(botocore.session.get_session())


@pytest.fixture(scope="module")
def reduced() -> ServiceModel:
    session = botocore.session.get_session()
    keep_called_operations(session)
    return s3(session)


def described(shape: Shape | None, seen: frozenset[str] = frozenset()) -> Any:
    """All that a request is made by, or an answer is read by."""
    if shape is None or shape.name in seen:
        return shape and shape.name
    seen |= {shape.name}
    members = getattr(shape, "members", {})
    return (
        shape.name,
        shape.type_name,
        shape.serialization,
        shape.metadata,
        {name: described(member, seen) for name, member in members.items()},
        [described(getattr(shape, part, None), seen) for part in ("member", "key", "value")],
    )


def test_what_is_left_is_as_it_was(whole: ServiceModel, reduced: ServiceModel) -> None:
    for name in reduced.operation_names:
        before, after = whole.operation_model(name), reduced.operation_model(name)
        assert after.http == before.http
        assert after.endpoint == before.endpoint
        assert after.auth_type == before.auth_type
        assert after.http_checksum == before.http_checksum
        assert after.static_context_parameters == before.static_context_parameters
        assert described(after.input_shape) == described(before.input_shape)
        assert described(after.output_shape) == described(before.output_shape)
        assert list(map(described, after.error_shapes)) == list(map(described, before.error_shapes))


def test_every_operation_that_the_storage_calls_is_left(reduced: ServiceModel) -> None:
    called = set()
    for source in SOURCES.glob("*.py"):
        text = source.read_text()
        called |= set(re.findall(r"\bclient\.([a-z]+(?:_[a-z0-9]+)+)\(", text))
        called |= set(re.findall(r'get_paginator\("(\w+)"\)', text))
    called -= {"get_paginator"}
    assert len(called) > 8
    assert called <= set(map(xform_name, reduced.operation_names))


def test_other_operations_and_all_manuals_are_gone(reduced: ServiceModel) -> None:
    assert len(reduced.operation_names) < 20
    assert len(reduced.shape_names) < 250
    assert not any(reduced.shape_for(name).documentation for name in reduced.shape_names)
