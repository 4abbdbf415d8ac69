"""Holds the values of plans to AWS's own models of its APIs: python words.py LOG..

The provider's schema says that a protocol is a text, AWS's model which texts there are. What has the same name in both, or the
name of its block before it, is looked at: its words, its range and its length. It is what the
models know, not what the services decide.
"""

import json
import re
import sys

from botocore.loaders import Loader
from botocore.model import ServiceModel

# The call that makes the resource, and what has another name in it.
CALLS = {
    "aws_appautoscaling_policy": ("application-autoscaling", "PutScalingPolicy", {}),
    "aws_appautoscaling_target": ("application-autoscaling", "RegisterScalableTarget", {}),
    "aws_cloudwatch_log_group": ("logs", "CreateLogGroup", {"name": "log_group_name"}),
    "aws_cloudwatch_log_metric_filter": (
        "logs", "PutMetricFilter",
        {"name": "filter_name", "pattern": "filter_pattern", "metric_transformation": "metric_transformations"}),
    "aws_cloudwatch_metric_alarm": ("cloudwatch", "PutMetricAlarm", {}),
    "aws_dynamodb_table": ("dynamodb", "CreateTable", {"name": "table_name", "attribute": "attribute_definitions"}),
    "aws_ecs_service": ("ecs", "CreateService", {"name": "service_name", "load_balancer": "load_balancers"}),
    "aws_lb": ("elbv2", "CreateLoadBalancer", {"load_balancer_type": "type", "subnet_mapping": "subnet_mappings"}),
    "aws_lb_listener": ("elbv2", "CreateListener", {"default_action": "default_actions"}),
    "aws_lb_target_group": ("elbv2", "CreateTargetGroup", {}),
    "aws_service_discovery_service": ("servicediscovery", "CreateService", {}),
}


def snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def value_of(values, name):
    """By this name, or in a block that the name begins with."""
    if values.get(name) is not None:
        return values[name]
    for block, inner in values.items():
        if name.startswith(f"{block}_") and isinstance(inner, list) and len(inner) == 1 and isinstance(inner[0], dict):
            return inner[0].get(name.removeprefix(f"{block}_"))
    return None


def leaves(values, shape, path):
    """Each value with what AWS says of it."""
    if shape.type_name == "structure":
        values = values[0] if isinstance(values, list) and len(values) == 1 else values
        for member, inner in shape.members.items():
            found = value_of(values, snake(member)) if isinstance(values, dict) else None
            if found is not None:
                yield from leaves(found, inner, f"{path}.{member}")
    elif shape.type_name == "list":
        for inner in values if isinstance(values, list) else []:
            yield from leaves(inner, shape.member, path)
    elif values is not None and not isinstance(values, (list, dict)):
        yield path, values, shape


def wrong(value, shape):
    rules = shape.metadata
    if shape.type_name == "string":
        if shape.enum and value not in shape.enum:
            return f"not one of {shape.enum}"
        if not rules.get("min", 0) <= len(value) <= rules.get("max", len(value)):
            return f"not {rules.get('min', 0)} to {rules.get('max')} characters"
    elif shape.type_name in ("integer", "long"):
        if not rules.get("min", 0) <= float(value) <= rules.get("max", float(value)):
            return f"not from {rules.get('min', 0)} to {rules.get('max')}"
    return None


def main():
    models, seen = {}, set()
    for line in (line for log in sys.argv[1:] for line in open(log) if '"type":"test_plan"' in line):
        for it in json.loads(line)["test_plan"].get("resource_changes", []):
            if it["type"] not in CALLS or it["change"]["after"] is None:
                continue
            service, operation, names = CALLS[it["type"]]
            model = models.setdefault(service, ServiceModel(Loader().load_service_model(service, "service-2"), service))
            values = {names.get(name, name): value for name, value in it["change"]["after"].items()}
            for path, value, shape in leaves(values, model.operation_model(operation).input_shape, operation):
                seen.add((it["type"], path))
                if reason := wrong(value, shape):
                    sys.exit(f"{it['address']}: {path} is {value}: {reason}")
    lacking = CALLS.keys() - {type for type, _ in seen}
    if lacking:
        sys.exit(f"no plan has {lacking}")
    print(f"{len(seen)} kinds of values are as AWS's models want them")


main()
