"""What the workers of queue_rq.py do."""

import collections

from rq import get_current_job

runs = collections.Counter()


def double(number):
    return 2 * number


def mark():
    job = get_current_job()
    job.meta["progress"] = 100
    job.save_meta()


def fail():
    runs["fail"] += 1
    raise ValueError("no such order")
