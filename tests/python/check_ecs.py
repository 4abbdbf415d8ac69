"""Reads answers of ECS's API as AWS's own model describes them: no key that it does not know, no value of another type.

Each line of stdin is {"operation": "DescribeTasks", "answer": {...}}; each line of stdout is "" or what is wrong.
"""

import json
import sys

from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

model = ServiceModel(Loader().load_service_model("ecs", "service-2"), "ecs")


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
    asked = json.loads(line)
    shape = model.operation_model(asked["operation"]).output_shape
    report = ParamValidator().validate(asked["answer"], shape)
    wrong = report.generate_report() if report.has_errors() else "; ".join(enumerations(asked["answer"], shape))
    print(" ".join(wrong.split()))
