"""Writes what a plan of the run `rendered` would give to AWS: python render.py LOG DIR

Of each task definition DIR/FAMILY.json, as `aws ecs register-task-definition --cli-input-json` takes it, and in
DIR/policies.json what the roles may and which log lines are counted.
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


def main():
    log, folder = sys.argv[1:]
    plans = [json.loads(line) for line in open(log) if '"type":"test_plan"' in line]
    plan = next(it["test_plan"] for it in plans if it["@testrun"] == "rendered")
    files, policies = {}, {}
    for it in plan["resource_changes"]:
        values = it["change"]["after"]
        if it["type"] == "aws_ecs_task_definition":
            files[values["family"]] = definition(values)
        elif it["type"] == "aws_iam_role_policy":
            policies[it["address"]] = json.loads(values["policy"])
        elif it["type"] == "aws_cloudwatch_log_metric_filter":
            policies[it["address"]] = values["pattern"]
    files["policies"] = policies
    os.makedirs(folder)
    for name, content in files.items():
        with open(f"{folder}/{name}.json", "w") as file:
            json.dump(content, file, indent=2)
            file.write("\n")


main()
