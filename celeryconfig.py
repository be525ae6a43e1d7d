"""Celery's settings, made from crmsync's own; each one that differs from Celery's default says why."""

from __future__ import annotations

from kombu import Exchange, Queue

from crmsync.broker_address import QUEUE_ARGUMENTS, Address
from crmsync.embedded import embedded_url, ensure_running
from crmsync.settings import Settings

_settings = Settings.from_env()


def _queue(name: str) -> Queue:
    # Without an exchange and key of its own a queue is bound to the default ones and receives others' messages.
    return Queue(name, Exchange(name), routing_key=name, queue_arguments=QUEUE_ARGUMENTS)


if not _settings.broker_address:
    ensure_running(_settings.home)
_address = _settings.broker_address or Address(embedded_url(_settings.home))
broker_url, broker_use_ssl = _address.kombu()
broker_read_url = broker_write_url = broker_url  # Celery prefers CELERY_BROKER_URL as it is written to broker_url
broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # a worker waits for its broker for ever
broker_pool_limit = 10
broker_transport_options = (
    {}
    if broker_url.startswith("amqp")
    else {
        "visibility_timeout": 900,  # longer than any step and than any countdown: those end at a minute
        "unacked_restore_interval": 5,  # a killed worker's messages come back in seconds, not in a minute and a half
        "unacked_restore_throttle": 1,
        "socket_timeout": 30,
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "max_retries": 1,  # a publish to a dead broker fails at once: the sweeper repeats it
        "interval_start": 0,
        "interval_step": 0,
        "interval_max": 0,
    }
)

task_queues = [_queue(name) for name in ("crm", "erp", "books", "background", "housekeeping", "dead_letter")]
task_default_queue = "housekeeping"
task_default_exchange = "housekeeping"
task_default_routing_key = "housekeeping"

task_acks_late = True  # a killed worker's message is delivered again
task_reject_on_worker_lost = True
task_ignore_result = True  # the truth is in the store; results would put it into Redis as well
task_serializer = "json"
accept_content = ["json"]
worker_prefetch_multiplier = 1
worker_cancel_long_running_tasks_on_connection_loss = False
worker_send_task_events = False  # Flower switches events on while it runs; they cost a seventh of a worker
task_send_sent_event = False
worker_hijack_root_logger = False
worker_max_tasks_per_child = 5000  # prefork only
worker_soft_shutdown_timeout = 0
timezone = "UTC"

_periods = (
    _settings.behaviour.inventory_seconds,
    _settings.behaviour.catch_up_seconds,
    _settings.behaviour.compare_seconds,
    _settings.behaviour.compare_invoices_seconds,
)
_period_seconds = min([60.0, *(float(seconds) for seconds in _periods if seconds)])

beat_schedule = {
    "sweep": {
        "task": "housekeeping.sweep",
        "schedule": _settings.behaviour.sweep_seconds,
        "options": {"expires": _settings.behaviour.sweep_seconds},  # sweeps of an outage do not pile up
    },
    # Looks often whether a period has begun, so that a late beat misses none; the store sees to it that each is once.
    "start_periods": {
        "task": "housekeeping.start_periods",
        "schedule": _period_seconds,
        "options": {"expires": _period_seconds},
    },
}
beat_scheduler = "crmsync.beat:Scheduler"
