"""Writes what plans would give to AWS: python render.py LOG DIR

A run of the tests named `rendered` goes to DIR, one named `rendered_NAME` to DIR/NAME. Of each task definition FAMILY.json, as
`aws ecs register-task-definition --cli-input-json` takes it; in policies.json what roles may and which log lines are
counted; of an output `container_definition` container.json.
"""

import json
import os
import sys

CASES = ["family", "network_mode", "requires_compatibilities", "cpu", "memory"]


def camel(name):
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def definition(values):
    made = {camel(name): values[name] for name in CASES if values[name] is not None}
    for platform in values["runtime_platform"]:
        made["runtimePlatform"] = {camel(name): value for name, value in platform.items()}
    return dict(made, containerDefinitions=json.loads(values["container_definitions"]))


def files(plan):
    made, policies = {}, {}
    for it in plan.get("resource_changes", []):
        values = it["change"]["after"]
        if it["type"] == "aws_ecs_task_definition":
            made[values["family"]] = definition(values)
        elif it["type"] == "aws_iam_role_policy":
            policies[it["address"]] = json.loads(values["policy"])
        elif it["type"] == "aws_cloudwatch_log_metric_filter":
            policies[it["address"]] = values["pattern"]
    if policies:
        made["policies"] = policies
    if "container_definition" in plan.get("output_changes", {}):
        made["container"] = plan["output_changes"]["container_definition"]["after"]
    return made


def main():
    log, folder = sys.argv[1:]
    for message in (json.loads(line) for line in open(log) if '"type":"test_plan"' in line):
        first, *name = message["@testrun"].split("_", 1)
        if first != "rendered":
            continue
        for file, content in files(message["test_plan"]).items():
            path = os.path.join(folder, *name, f"{file}.json")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as out:
                json.dump(content, out, indent=2)
                out.write("\n")


main()
