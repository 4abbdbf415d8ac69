"""Reads EDS answers as Envoy's own protobufs read them: strictly.

Each line of stdin is {"version": "v2" | "v3", "body": {...}}; each line of stdout is "" or what is wrong with it.
ParseDict names fields that the message does not know and values of the wrong type, which a lenient JSON reader passes.
"""

import json
import sys

from google.protobuf import json_format

from envoy.api.v2 import discovery_pb2 as discovery_v2
from envoy.api.v2 import endpoint_pb2 as _  # noqa: F401, the type of resources[] must be known to be unpacked
from envoy.config.endpoint.v3 import endpoint_pb2 as _  # noqa: F401, F811
from envoy.service.discovery.v3 import discovery_pb2 as discovery_v3

MESSAGES = {"v2": discovery_v2.DiscoveryResponse, "v3": discovery_v3.DiscoveryResponse}

for line in sys.stdin:
    answer = json.loads(line)
    try:
        json_format.ParseDict(answer["body"], MESSAGES[answer["version"]]())
        print("")
    except (json_format.ParseError, TypeError) as error:
        print(" ".join(str(error).split()) or "refused")
