"""What cloudwatch.sh runs: the sums of a metric, asked of CloudWatch."""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any

MINUTE_S = 60


def main(namespace: str, metric: str, minutes: str) -> int:
    """Print the sums and return the exit status."""
    # Imported by name: a release has it, the checker's environment has not.
    boto3: Any = importlib.import_module("boto3")
    exceptions: Any = importlib.import_module("botocore.exceptions")
    until = time.time() + MINUTE_S
    try:
        client = boto3.client("cloudwatch")
        pages = client.get_paginator("list_metrics").paginate(Namespace=namespace, MetricName=metric)
        # A metric may be listed more than once.
        listed = {json.dumps(each["Dimensions"]): each for page in pages for each in page["Metrics"]}
        for found in listed.values():
            points = client.get_metric_statistics(
                Namespace=namespace, MetricName=metric, Dimensions=found["Dimensions"], Statistics=["Sum"],
                StartTime=until - MINUTE_S * (int(minutes) + 1), EndTime=until, Period=MINUTE_S,
            )["Datapoints"]  # fmt: skip
            total = sum(point["Sum"] for point in points)
            print(*(f"{each['Name']}={each['Value']}" for each in found["Dimensions"]), f"{total:g}")
    except (exceptions.BotoCoreError, exceptions.ClientError) as error:
        print(f"cloudwatch.sh: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
