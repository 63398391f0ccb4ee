"""Any bytes on a connection get the right answer, however they are split."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.readers.connection import assert_answered
from tests.support.fuzzing import examples
from tests.support.kong_driver import pack_like_lua

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.binary() | st.integers(0, 9), inner),
    max_leaves=5,
)
fields = st.fixed_dictionaries(
    {},
    optional={
        "InstanceId": st.integers(0, 2) | values,
        "EventName": st.just("access") | values,
        "EventId": st.integers(0, 3) | values,
        "Data": values,
        "Name": st.just("Plugin") | values,
        "Config": st.just("{}") | values,
    },
)
methods = st.sampled_from(
    [
        *("plugin.HandleEvent", "plugin.Step", "plugin.StepError", "plugin.StepMultiMap"),
        *("plugin.StartInstance", "plugin.InstanceStatus", "plugin.CloseInstance", "plugin.No"),
    ]
)
requests = st.tuples(
    st.just(0), st.integers(0, 99), methods, st.lists(fields | values, min_size=1, max_size=2)
)


@given(st.lists(requests | requests | values, max_size=6), st.integers(1, 60), st.booleans())
@settings(max_examples=examples(200), deadline=None)
def test_each_request_is_answered_once_and_the_server_goes_on(
    sent: list[Any], size: int, slow: bool
) -> None:
    assert_answered(b"".join(map(pack_like_lua, sent)), size, slow=slow)


@given(st.binary(max_size=200), st.integers(1, 60))
@settings(max_examples=examples(100), deadline=None)
def test_bytes_that_are_no_request_end_the_connection_alone(sent: bytes, size: int) -> None:
    assert_answered(sent, size, slow=False)
