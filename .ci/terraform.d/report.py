"""Tells what `terraform test -json -verbose` found, and fails if anything did: python report.py LOG"""

import json
import sys

# The clean-up of a test heeds prevent_destroy too; what stays is a mock. In a run it would be an error of that run.
STAYS = "Instance cannot be destroyed"

messages = [json.loads(line) for line in open(sys.argv[1]) if line.startswith("{")]
wrong = 0
for it in messages:
    run = it.get("test_run", {})
    if it["type"] == "diagnostic" and it["diagnostic"]["severity"] == "error" and it["diagnostic"]["summary"] != STAYS:
        where = it["diagnostic"].get("range", {})
        place = f"{where.get('filename')}:{where.get('start', {}).get('line')}"
        print(f"{it.get('@testrun', '')} {place}: {it['diagnostic']['summary']} {it['diagnostic'].get('detail', '')}")
        wrong += 1
    elif run.get("progress") == "complete" and run["status"] != "pass":
        print(f"{run['path']} {run['run']}: {run['status']}")
        wrong += 1
summaries = [it["test_summary"] for it in messages if it["type"] == "test_summary"]
if wrong or len(summaries) != 1 or summaries[0]["passed"] == 0:
    sys.exit(f"failed: {summaries}")
print(f"{summaries[0]['passed']} passed")
