"""Reads YAML as JSON: each line of stdin is a text as a JSON string, each line of stdout what it says, as JSON.

A key that is there twice, which many readers pass, is an error.
"""

import io
import json
import sys

from ruamel.yaml import YAML

for line in sys.stdin:
    print(json.dumps(YAML(typ="safe", pure=True).load(io.StringIO(json.loads(line))), default=str))
