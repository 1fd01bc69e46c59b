"""A site and its workers on RQ, which keeps jobs in hashes, queues in lists and registries in sorted sets: queue_rq.py <port>"""

import sys
import time
from datetime import timedelta

import redis
from rq import Queue, Retry, SimpleWorker
from rq.job import Job
from rq.registry import DeferredJobRegistry, FailedJobRegistry, FinishedJobRegistry, ScheduledJobRegistry
from rq.scheduler import RQScheduler

import queue_rq_jobs as jobs


class PlainJob(Job):
    """A job that keeps its result in its hash: by itself RQ takes a stream of Redis for that, if the server says that it is 5.0 or newer."""

    supports_redis_streams = False


def make_queue(name, client):
    return Queue(name, connection=client, job_class=PlainJob)


def work(client, *names):
    """Does what there is, and ends."""
    worker = SimpleWorker([make_queue(name, client) for name in names], connection=client, job_class=PlainJob)
    worker.log.disabled = True
    worker.work(burst=True, logging_level="ERROR")
    return worker


def main():
    client = redis.Redis(port=int(sys.argv[1]))
    queue, urgent = make_queue("default", client), make_queue("urgent", client)

    # The order of a queue, one queue before another, and a job that goes to the front.
    made = [queue.enqueue(jobs.double, n) for n in range(20)]
    first = queue.enqueue(jobs.double, 100, at_front=True)
    assert queue.job_ids == [first.id] + [job.id for job in made] and len(queue) == 21 and set(Queue.all(connection=client)) == {queue}
    before = urgent.enqueue(jobs.double, 7)
    work(client, "urgent", "default")
    assert [job.result for job in (before, first, *made)] == [14, 200] + [2 * n for n in range(20)]
    for job in (before, first, made[0]):
        job.refresh()
    assert before.ended_at <= first.started_at <= made[0].started_at and len(queue) == 0 and len(FinishedJobRegistry(queue=queue)) == 21
    assert 0 < client.ttl(made[0].key) <= 500

    # Meta data, many at once, one after another.
    marked = queue.enqueue(jobs.mark, job_id="marked", meta={"from": "site"}, result_ttl=-1, description="marks itself")
    after = queue.enqueue(jobs.double, 3, depends_on=marked)
    assert after.get_status() == "deferred" and DeferredJobRegistry(queue=queue).get_job_ids() == [after.id]
    many = queue.enqueue_many([Queue.prepare_data(jobs.double, (n,)) for n in range(5)])
    work(client, "default")
    marked.refresh()
    assert marked.meta == {"from": "site", "progress": 100} and client.ttl(marked.key) == -1 and after.result == 6
    assert [job.result for job in many] == [0, 2, 4, 6, 8] and PlainJob.fetch_many(["marked", "nosuch"], connection=client)[1] is None

    # What fails is tried again, then kept with its error, and can be put back.
    failing = queue.enqueue(jobs.fail, retry=Retry(max=2))
    work(client, "default")
    failed = FailedJobRegistry(queue=queue)
    assert failing.get_status(refresh=True) == "failed" and failed.get_job_ids() == [failing.id] and jobs.runs["fail"] == 3
    failing.refresh()
    assert "no such order" in failing.exc_info and failing.retries_left == 0
    failed.requeue(failing.id)
    assert failing.get_status() == "queued" and queue.job_ids == [failing.id]
    work(client, "default")
    assert jobs.runs["fail"] == 4

    # Later: a sorted set by time, which the scheduler moves into the queue.
    later, much_later = queue.enqueue_in(timedelta(seconds=1), jobs.double, 21), queue.enqueue_in(timedelta(hours=1), jobs.double, 1)
    scheduled = ScheduledJobRegistry(queue=queue)
    assert scheduled.get_job_ids() == [later.id, much_later.id] and len(queue) == 0 and scheduled.get_jobs_to_schedule() == []
    scheduler = RQScheduler([queue], connection=client)
    assert scheduler.acquire_locks() == {"default"} and RQScheduler([queue], connection=client).acquire_locks() == set()
    time.sleep(1.1)
    scheduler.enqueue_scheduled_jobs()
    scheduler.release_locks()
    work(client, "default")
    assert later.result == 42 and scheduled.get_job_ids() == [much_later.id]
    much_later.cancel()
    much_later.delete()
    assert len(scheduled) == 0 and not PlainJob.exists(much_later.id, connection=client)

    # A worker that waits for work, and is told to stop.
    queue.empty()
    assert len(queue) == 0
    assert Queue.dequeue_any([queue, urgent], None, connection=client, job_class=PlainJob) is None
    sent = urgent.enqueue(jobs.double, 9)
    assert Queue.dequeue_any([queue, urgent], 5, connection=client, job_class=PlainJob) == (sent, urgent)
    print("queue ok")


main()
