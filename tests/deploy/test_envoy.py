"""deploy/envoy: the example says what the node and the shipped nginx say. Envoy itself is not run."""

from __future__ import annotations

import re
from pathlib import Path

from ruamel.yaml import YAML

from healthcode.rpc.mtls.forwarded import HEADER
from province_node.listeners import PUBLIC_LIMITS, THROUGH_PROXIES
from tests.deploy import refusals

FILE = Path(__file__).parents[2] / "deploy" / "envoy" / "envoy.yaml"


def test_the_example_names_our_header_services_limit_and_refusal() -> None:
    """A change in the code that the example does not follow is found."""
    resources = YAML(typ="safe").load(FILE)["static_resources"]
    manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    (host,) = manager["route_config"]["virtual_hosts"]
    # removed first, so that no client brings its own
    assert host["request_headers_to_remove"] == [HEADER]
    assert [each["header"]["key"] for each in host["request_headers_to_add"]] == [HEADER]
    assert {route["match"]["prefix"].strip("/") for route in host["routes"]} == set(THROUGH_PROXIES)
    (mapper,) = manager["local_reply_config"]["mappers"]
    given = {each["header"]["key"]: each["header"]["value"] for each in mapper["headers_to_add"]}
    (details,) = re.findall(r"@overloaded \{.*?grpc-status-details-bin (\S+)", refusals.render(), re.DOTALL)
    assert given == {"grpc-status": "8", "grpc-status-details-bin": details}
    options = resources["clusters"][0]["typed_extension_protocol_options"]
    (upstream,) = options.values()
    streams = upstream["explicit_http_config"]["http2_protocol_options"]["max_concurrent_streams"]
    assert streams < PUBLIC_LIMITS.streams_per_connection
