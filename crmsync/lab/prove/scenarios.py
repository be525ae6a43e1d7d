"""The faults themselves: each sets something going, breaks the system meanwhile, and leaves it whole."""

from __future__ import annotations

from collections.abc import Mapping

from crmsync.lab.prove.at_companies import companies_at_once
from crmsync.lab.prove.at_machine import (
    clock_jumps,
    database_readonly,
    database_restarted,
    disk_full,
    messages_doubled,
    other_release,
    packets_dropped,
    receiver_killed,
    redis_emptied,
    redis_restarted,
    two_beats,
    webhooks_reordered,
    webhooks_repeated,
)
from crmsync.lab.prove.at_people import deals_won_again, documents_taken_back
from crmsync.lab.prove.at_random import kill_at_random
from crmsync.lab.prove.at_steps import kill, worker_stopped
from crmsync.lab.prove.at_upgrade import upgraded
from crmsync.lab.prove.at_vendors import (
    answers_broken,
    lists_late,
    org_moves,
    sign_ins_failing,
    slack_closed,
    tokens_expired,
)
from crmsync.lab.prove.plan import Case
from crmsync.lab.prove.scene import Scenario, Scene, Tools


def play(tools: Tools, case: Case) -> Scene:
    return SCENARIOS[case.fault](tools, case)


SCENARIOS: Mapping[str, Scenario] = {
    "kill": kill,
    "lost-answers": answers_broken,
    "slow-answers": answers_broken,
    "cut-answers": answers_broken,
    "stalled-answers": answers_broken,
    "trickling-answers": answers_broken,
    "foreign-answers": answers_broken,
    "worker-stopped": worker_stopped,
    "repeated-webhooks": webhooks_repeated,
    "reordered-webhooks": webhooks_reordered,
    "doubled-messages": messages_doubled,
    "redis-emptied": redis_emptied,
    "redis-restarted": redis_restarted,
    "receiver-killed": receiver_killed,
    "database-restarted": database_restarted,
    "packets-dropped": packets_dropped,
    "database-readonly": database_readonly,
    "two-beats": two_beats,
    "clock-jumps": clock_jumps,
    "other-release": other_release,
    "upgraded": upgraded,
    "disk-full": disk_full,
    "tokens-expired": tokens_expired,
    "failing-sign-ins": sign_ins_failing,
    "org-moved": org_moves,
    "late-lists": lists_late,
    "documents-taken-back": documents_taken_back,
    "deals-won-again": deals_won_again,
    "slack-closed": slack_closed,
    "two-companies": companies_at_once,
    "random-kill": kill_at_random,
}
