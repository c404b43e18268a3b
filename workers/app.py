"""The Celery application of a worker: what differs from a sender's, each setting with its reason."""

from __future__ import annotations

from collections.abc import Sequence

from celery import Celery

from farm.adapters.celery_queue import make_app


def make_worker_app(redis_url: str) -> Celery:
    """The application that a worker process runs."""
    app = make_app(redis_url)
    app.conf.update(
        # The message is an offer, not the truth: acknowledged at once, a crash is found by the lease, and a task that
        # kills its worker is not delivered for ever.
        task_acks_late=False,
        task_reject_on_worker_lost=False,
        # Nothing is hoarded while a task runs: who is free takes the next offer.
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        # The solo pool cannot end a running task; a lost connection must not make it try.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # Cold and soft shutdowns lose the running task of a solo pool; SIGTERM lets it finish.
        worker_soft_shutdown_timeout=0,
        # No remote control and no events: hundreds of workers would talk to each other all day.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        # Nobody should use an ETA (backoff is the ledger's); this bounds the harm.
        worker_eta_task_limit=16,
        # The process has its own structured log.
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        # Publishers give up a half-open connection after seconds; a consumer waits for ever.
        broker_transport_options=dict(app.conf.broker_transport_options) | {"socket_timeout": None},
    )
    return app


def worker_arguments(name: str, queues: Sequence[str]) -> list[str]:
    """The command line of `celery worker`: one task at a time in this very process, since CUDA and fork do not mix.

    Gossip, mingle and heartbeats are messages from every worker to every other; liveness is the ledger's.
    """
    return [
        "worker",
        "--pool=solo",
        f"--queues={','.join(queues)}",
        f"--hostname={name}",
        "--loglevel=WARNING",
        "--without-gossip",
        "--without-mingle",
        "--without-heartbeat",
    ]
