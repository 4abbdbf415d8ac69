"""Reads task definitions as the AWS CLI does: against AWS's own model of the call.

The argument of each line of stdin is the JSON of `aws ecs register-task-definition --cli-input-json`; each line of
stdout is "" or what is wrong with it: keys that do not exist, values of the wrong type, missing ones. The model knows
no ranges and few enumerations' rules, so this is what the client refuses, not all that the service does.
"""

import json
import sys

from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

model = ServiceModel(Loader().load_service_model("ecs", "service-2"), "ecs")
shape = model.operation_model("RegisterTaskDefinition").input_shape


def enumerations(value, shape, path="$"):
    """What is not one of the words that the model lists; the validator itself does not look at them."""
    if shape.type_name == "structure":
        for name, inner in value.items():
            yield from enumerations(inner, shape.members[name], f"{path}.{name}")
    elif shape.type_name == "list":
        for at, inner in enumerate(value):
            yield from enumerations(inner, shape.member, f"{path}[{at}]")
    elif shape.type_name == "string" and shape.enum and value not in shape.enum:
        yield f"{path} is {value}, not one of {shape.enum}"


for line in sys.stdin:
    definition = json.loads(line)
    report = ParamValidator().validate(definition, shape)
    wrong = report.generate_report() if report.has_errors() else "; ".join(enumerations(definition, shape))
    print(" ".join(wrong.split()))
