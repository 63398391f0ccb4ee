"""The plugin's log lines, and its requests to the sidecar, name the request that they are about."""

from pathlib import Path

from tests.support.kong_driver import (
    KongDriver,
    PluginServerProcess,
    ScriptedRequest,
    running_plugin_server,
)
from tests.unit.plugin.bodies import ID
from tests.unit.plugin.conftest import Ask, Config, filled
from tests.unit.plugin.fake_sidecar import FakeSidecar
from tests.unit.plugin.test_access import bearer, chat
from tests.unit.plugin.tokens import ISSUER

KONGS_ID = "0f0f"


def test_a_line_about_a_request_ends_with_its_id_and_its_caller(
    ask: Ask, sidecar: FakeSidecar, plugin_server: PluginServerProcess
) -> None:
    ask(bearer())  # the issuer's keys are known now
    sidecar.broken = True
    before = len(plugin_server.log)
    ask(bearer(), chat(ID))
    assert plugin_server.log[before:] == (
        "[warn] the sidecar does not answer /internal/resolve: status 503"
        f" request={KONGS_ID} caller='{ISSUER}|alice'\n"
    )


def test_the_sidecar_is_told_the_request_and_the_caller(ask: Ask, sidecar: FakeSidecar) -> None:
    sidecar.media[ID] = "https://media.example/x"
    ask(bearer(), chat(ID))
    headers = sidecar.headers[-1]
    assert headers["x-kong-request-id"] == KONGS_ID
    assert (headers["x-jan-issuer"], headers["x-jan-user-id"]) == (ISSUER, "alice")


def test_a_line_about_a_request_that_waited_too_long_names_it(
    sidecar: FakeSidecar, config: Config, tmp_path: Path
) -> None:
    sidecar.delay = 3.0
    command = ["-m", "jan_media_plugin", "--time-limit", "0.2"]
    with (
        running_plugin_server(tmp_path, command, "jan-media.sock") as server,
        KongDriver(server.path, plugin="jan-media") as kong,
    ):
        asked = ScriptedRequest()
        gathered = {"headers": {"x-api-key": f"sk_{'a' * 40}"}, "request_id": KONGS_ID}
        asked.shared["jan_media_gathered"] = gathered
        assert kong.request(asked, filled(config)).status == 503
        assert f"waited over 0.2 s: ended request={KONGS_ID}" in server.log
