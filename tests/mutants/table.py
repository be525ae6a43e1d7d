"""The mutants: what is changed where, which tests must notice, and what would go wrong in the field.

A text that is changed stands exactly once in its file: whoever changes that line mends the table, or takes the mutant
out with a reason.
"""

from __future__ import annotations

from dataclasses import dataclass

RUNS = "tests/unit/test_runs.py"
KEYS = "tests/integration/test_keys.py"
STORE = "tests/integration/test_store.py"
STEP = "tests/integration/test_step.py"
AHEAD = "tests/integration/test_run_ahead.py"
CREATE_ONCE = "tests/integration/test_create_once.py"
ANSWERS = "tests/field/test_answers.py"
SIGN_INS = "tests/field/test_sign_ins.py"
ACCOUNTS = "tests/field/test_accounts.py"
CONNECTIONS = "tests/field/test_connections.py"
OUTSIDE = "tests/unit/connectors/test_outside.py"
TENANTS = "tests/unit/web/api/test_tenants.py"
MAY_ASK = "tests/unit/web/api/test_who_may_ask.py"
REQUESTS = "tests/unit/web/api/test_requests.py"
WEBHOOKS = "tests/unit/web/api/test_webhooks.py"
PEOPLE = "tests/integration/test_people.py"
SHARES = "tests/integration/test_shares.py"


@dataclass(frozen=True, slots=True)
class Mutant:
    """In *file* *new* stands instead of *old*, so *harm* would come in the field; *test*, as pytest names it, fails."""

    file: str
    name: str
    harm: str
    old: str
    new: str
    test: str

    def applied(self, code: str) -> str:
        """Raises: ValueError where the code does not hold *old*, or holds it more than once."""
        count = code.count(self.old)
        if count != 1:
            raise ValueError(f"{self.name}: the old text stands {count} times in {self.file}. Mend tests/mutants.")
        return code.replace(self.old, self.new)


def _of(file: str, *rows: tuple[str, str, str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(file, *row) for row in rows)


MUTANTS = (
    *_of(
        "crmsync/domain/runs.py",
        (
            "a-quota-is-an-attempt",
            "a vendor whose quota is used up for an hour makes dead letters",
            "return Retry(wait * (1 + QUOTA_SPREAD * _share(jitter)), is_attempt=False)",
            "return Retry(wait * (1 + QUOTA_SPREAD * _share(jitter)))",
            f"{RUNS}::test_next_try",
        ),
        (
            "retry-after-is-undercut",
            "a vendor that asks for half a minute is called again after two seconds, and bans us",
            "return Retry(wait if asked is None else max(wait, asked + _share(jitter)))",
            "return Retry(wait)",
            f"{RUNS}::test_next_try",
        ),
        (
            "one-retry-too-many",
            "dead letters come later than promised",
            "if attempts >= policy.max_retries:",
            "if attempts > policy.max_retries:",
            f"{RUNS}::test_next_try",
        ),
        (
            "waits-that-do-not-double",
            "three retries within six seconds, and a fault of ten makes dead letters",
            "policy.backoff_seconds * 2**attempts *",
            "policy.backoff_seconds *",
            f"{RUNS}::test_next_try",
        ),
        (
            "an-outage-is-an-attempt",
            "a system that is down for a minute makes a dead letter of each deal",
            "(0.1 + 0.9 * _share(jitter)), is_attempt=False)",
            "(0.1 + 0.9 * _share(jitter)))",
            f"{RUNS}::test_a_system_that_is_down_is_waited_for_without_counting",
        ),
        (
            "a-lease-that-never-ends",
            "the chain of a run whose worker died ends for ever",
            "return self.leased_until is not None and self.leased_until > now",
            "return self.leased_until is not None",
            f"{RUNS}::test_a_message_that_may_not_start_its_step",
        ),
        (
            "a-chain-goes-on-too-early",
            "a message goes on to a step that waits for its vendor, and another does so again",
            "if is_next and run.due_at <= now + CLOCK_SLACK else",
            "if is_next else",
            f"{RUNS}::test_a_message_that_may_not_start_its_step",
        ),
        (
            "a-chain-skips-a-step",
            "old messages multiply: each sends the rest of its chain once more",
            "is_next = steps.index(run.step) == steps.index(step) + 1",
            "is_next = True",
            f"{RUNS}::test_a_message_ends_when_the_step_after_its_own_is_done_too",
        ),
    ),
    *_of(
        "crmsync/domain/ledger.py",
        (
            "no-look-before-sending-again",
            "an order whose answer was lost is posted twice",
            "return settled.get(entry.state, Move.PROBE)",
            "return settled.get(entry.state, Move.SEND)",
            f"{CREATE_ONCE}::test_a_document_whose_answer_was_lost_is_adopted",
        ),
        (
            "a-look-for-what-was-refused",
            "each deal that the ERP has refused once costs a search, and waits for nothing",
            "if entry is None or entry.state is EntryState.INTENT:",
            "if entry is None:",
            f"{CREATE_ONCE}::test_what_certainly_was_not_made_is_made_at_once",
        ),
        (
            "what-is-gone-is-taken-up",
            "an order that people have deleted is billed",
            "EntryState.GONE: Move.LEAVE}",
            "EntryState.GONE: Move.ADOPT}",
            f"{CREATE_ONCE}::test_a_document_that_is_gone_is_neither_taken_nor_made_again_under_its_reference",
        ),
        (
            "absence-is-certain-at-once",
            "an order that the ERP lists late is posted twice",
            "return max(0.0, (entry.certain_at - now).total_seconds())",
            "return 0.0",
            f"{CREATE_ONCE}::test_a_document_that_does_not_show_up_is_made_again_only_when_that_is_certain",
        ),
        (
            "numbers-are-compared-as-typed",
            "an order is not found by the number that people read off its print",
            'return number.strip().upper().lstrip("0")',
            "return number.strip().upper()",
            "crmsync/domain/ledger.py",
        ),
    ),
    *_of(
        "crmsync/store/ledger.py",
        (
            "a-late-refusal-counts",
            "what a stopped worker hears late lets another post its order twice",
            '_OF_SEND = (*_IS_KEY, ledger.c.sends == bindparam("of_send"), not_(_IS_KNOWN))',
            '_OF_SEND = (*_IS_KEY, ledger.c.sends >= bindparam("of_send") - 99, not_(_IS_KNOWN))',
            f"{STORE}::test_what_becomes_of_one_send_says_nothing_of_the_next",
        ),
        (
            "a-confirmed-row-is-lost",
            "a late failure makes an order unknown that was confirmed",
            'ledger.c.sends == bindparam("of_send"), not_(_IS_KNOWN))',
            'ledger.c.sends == bindparam("of_send"))',
            f"{STORE}::test_a_confirmed_document_stays_what_it_is",
        ),
        (
            "a-second-answer-replaces-the-first",
            "the deal gets the number of another order",
            "    .where(*_IS_KEY, not_(_IS_KNOWN))\n",
            "    .where(*_IS_KEY)\n",
            f"{STORE}::test_a_confirmed_document_stays_what_it_is",
        ),
        (
            "sends-are-not-counted",
            "nobody can tell the outcome of one send from that of the next",
            "sends=ledger.c.sends + 1,",
            "sends=ledger.c.sends,",
            f"{CREATE_ONCE}::test_a_late_refusal_says_nothing_of_anothers_send",
        ),
        (
            "generations-are-one",
            "an order that was taken back is never made again",
            ('    ledger.c.generation == bindparam("key_generation"),\n)'),
            ('    ledger.c.generation >= bindparam("key_generation") - 99,\n)'),
            f"{STORE}::test_the_next_generation_is_another_document",
        ),
        (
            "what-never-was-is-gone",
            "a document that may exist counts as gone, and the next is made beside it",
            "_GONE = update(ledger).where(*_IS_KEY, ledger.c.state == EntryState.CONFIRMED.value)",
            "_GONE = update(ledger).where(*_IS_KEY)",
            f"{STORE}::test_only_what_was_confirmed_can_be_gone",
        ),
        (
            "what-may-exist-counts-as-refused",
            "an order whose answer was lost is posted twice",
            "self._set(key, send, EntryState.UNKNOWN, certain_at=certain_at)",
            "self._set(key, send, EntryState.INTENT, certain_at=certain_at)",
            f"{CREATE_ONCE}::test_a_document_whose_answer_was_lost_is_adopted",
        ),
        (
            "an-earlier-intent-is-overlooked",
            "an order is posted again after its worker was killed",
            "        return None if _RESERVE.run(self._connection, values) else self.get(key)\n",
            "        _RESERVE.run(self._connection, values)\n        return None\n",
            f"{CREATE_ONCE}::test_what_is_confirmed_is_taken_from_the_ledger",
        ),
    ),
    *_of(
        "crmsync/store/runs.py",
        (
            "a-run-starts-before-it-is-due",
            "every wait is skipped by whoever sends a message",
            '"soon": self._now + CLOCK_SLACK,',
            '"soon": self._now + timedelta(days=9),',
            f"{STORE}::test_a_parked_run_is_not_claimed_before_it_is_due",
        ),
        (
            "a-held-run-is-taken",
            "two workers post the order of one deal",
            "return or_(runs.c.leased_until.is_(None), runs.c.leased_until <= now)",
            "return or_(runs.c.leased_until.is_(None), runs.c.leased_until <= now, runs.c.leased_until > now)",
            f"{STORE}::test_one_worker_gets_the_lease",
        ),
        (
            "a-claim-raises-no-fence",
            "a worker that was stopped and goes on writes over its successor",
            ("        fence=runs.c.fence + 1,\n        starts"),
            ("        fence=runs.c.fence,\n        starts"),
            f"{STORE}::test_a_worker_that_was_overtaken_can_write_nothing",
        ),
        (
            "an-overtaken-worker-writes",
            "a worker that was stopped and goes on writes over its successor",
            '_FENCED = update(runs).where(runs.c.id == bindparam("run_id"), runs.c.fence == bindparam("held_fence"))',
            '_FENCED = update(runs).where(runs.c.id == bindparam("run_id"), runs.c.fence >= bindparam("held_fence"))',
            f"{STORE}::test_a_worker_that_was_overtaken_can_write_nothing",
        ),
        (
            "an-overtaken-worker-renews-its-lease",
            "a worker that was stopped and goes on posts beside its successor",
            "_RENEW = Prepared(_FENCED.values(lease",
            '_RENEW = Prepared(update(runs).where(runs.c.id == bindparam("run_id"), '
            'runs.c.fence >= bindparam("held_fence")).values(lease',
            f"{CREATE_ONCE}::test_a_worker_that_was_overtaken_sends_nothing",
        ),
        (
            "starts-are-not-counted",
            "a deal that kills its worker kills all workers, again and again",
            "starts=runs.c.starts + 1,",
            "starts=runs.c.starts,",
            f"{STEP}::test_a_step_that_kills_its_worker_is_buried_after_five_starts",
        ),
        (
            "a-change-is-forgotten-at-any-step",
            "a deal that was changed while its order was made is never looked at",
            'again=case((runs.c.step == bindparam("first_step"), false()), else_=runs.c.again),',
            'again=case((runs.c.step == bindparam("first_step"), false()), else_=false()),',
            "tests/integration/test_starting.py::test_a_change_after_the_source_was_read_is_not_overlooked",
        ),
        (
            "the-last-step-overlooks-a-change",
            "a payment that comes while the one before is written never reaches the deal",
            "_FINISH_LAST = Prepared(_END.where(runs.c.again.is_(False)))",
            "_FINISH_LAST = Prepared(_END)",
            "tests/integration/test_starting.py::test_a_change_after_the_source_was_read_is_not_overlooked",
        ),
        (
            "a-new-lease-is-the-old-one",
            "a run that goes ahead is taken over in the middle of a call",
            "self._now, leased_until=self._now + timedelta(seconds=lease_seconds)",
            "self._now, leased_until=run.leased_until",
            f"{AHEAD}::test_the_next_step_has_a_whole_lease",
        ),
        (
            "a-step-is-blamed-for-its-neighbours",
            "a deal of many steps is taken for one that kills workers",
            '{**_STEP_ENDS, "starts": 1,',
            '{**_STEP_ENDS, "starts": runs.c.starts + 1,',
            f"{AHEAD}::test_starts_count_for_each_step",
        ),
        (
            "going-on-raises-no-fence",
            "who was overtaken between two steps goes on, and posts beside its successor",
            '"leased_until": bindparam("until"), "fence": runs.c.fence + 1}',
            '"leased_until": bindparam("until"), "fence": runs.c.fence}',
            f"{AHEAD}::test_who_is_overtaken_between_two_steps_goes_no_further",
        ),
        (
            "a-release-waits-for-nothing",
            "a system that asks for a pause is called without one",
            "due_at = self._now + timedelta(seconds=wait_seconds)",
            "due_at = self._now",
            f"{STEP}::test_a_passing_fault_is_counted_and_comes_back",
        ),
        (
            "a-replay-overtakes-nobody",
            "a run that was replayed is written over by the worker that it was taken from",
            ('"leased_until": None, "fence": runs.c.fence + 1}\n        at'),
            ('"leased_until": None}\n        at'),
            f"{STORE}::test_a_reopened_run_overtakes_whoever_held_it",
        ),
    ),
    *_of(
        "crmsync/worker/absence.py",
        (
            "no-settle-time-after-a-death",
            "an order that the ERP lists late is posted twice after its worker was killed",
            "seconds=behaviour.lease_seconds + behaviour.settle_seconds",
            "seconds=behaviour.lease_seconds",
            f"{CREATE_ONCE}::test_what_a_killed_worker_may_have_made_gets_its_settle_time_after_the_lease",
        ),
        (
            "what-comes-during-the-look-is-missed",
            "an order that is listed while the list is on its way is posted twice",
            "seconds_until_certain(entry, looked_at)",
            "seconds_until_certain(entry, using.store.clock())",
            f"{CREATE_ONCE}::test_what_comes_to_the_list_while_that_is_on_its_way_is_not_made_again",
        ),
    ),
    *_of(
        "crmsync/worker/attempt.py",
        (
            "a-first-send-is-certain-at-once",
            "an order is posted again while the killed worker's call is under way",
            "uow.ledger.reserve(key, self.run.id, certain_at=self.certain_at(uow.now))",
            "uow.ledger.reserve(key, self.run.id, certain_at=uow.now)",
            f"{CREATE_ONCE}::test_what_a_killed_worker_may_have_made_gets_its_settle_time_after_the_lease",
        ),
        (
            "a-later-send-is-certain-at-once",
            "the second send of an order is followed by a third while its call is under way",
            "uow.ledger.send_again(entry, self.run.id, certain_at=self.certain_at(uow.now))",
            "uow.ledger.send_again(entry, self.run.id, certain_at=uow.now)",
            f"{CREATE_ONCE}::test_what_a_killed_worker_may_have_made_gets_its_settle_time_after_the_lease",
        ),
        (
            "a-first-send-does-not-wait-for-the-disk",
            "after a power cut an order is posted again",
            "        with self.services.store.begin() as uow:\n            self.hold(uow)\n            entry",
            "        with self.services.store.begin(durable=False) as uow:\n"
            "            self.hold(uow)\n            entry",
            f"{AHEAD}::test_so_is_what_is_sent_by_a_message_of_its_own_and_what_is_sent_again",
        ),
        (
            "a-later-send-does-not-wait-for-the-disk",
            "after a power cut an order is posted a third time",
            "        with self.services.store.begin() as uow:\n            self.hold(uow)\n            if not",
            "        with self.services.store.begin(durable=False) as uow:\n"
            "            self.hold(uow)\n            if not",
            f"{AHEAD}::test_so_is_what_is_sent_by_a_message_of_its_own_and_what_is_sent_again",
        ),
        (
            "no-settle-time-after-a-lost-answer",
            "an order whose answer was lost, and that is listed late, is posted twice",
            "timedelta(seconds=under_way + behaviour.settle_seconds)",
            "timedelta(seconds=under_way)",
            f"{CREATE_ONCE}::test_a_document_that_does_not_show_up_is_made_again_only_when_that_is_certain",
        ),
        (
            "no-time-for-a-call-under-way",
            "an order is posted again while the ERP is at work on the first",
            "under_way = 0.0 if has_answered else behaviour.call_seconds",
            "under_way = 0.0",
            f"{CREATE_ONCE}::test_a_document_that_does_not_show_up_is_made_again_only_when_that_is_certain",
        ),
        (
            "a-gateway-speaks-for-the-vendor",
            "behind a gateway that gave up an order is posted twice",
            "has_answered = is_vendors and error.code not in GATEWAY_CODES",
            "has_answered = is_vendors",
            f"{CREATE_ONCE}::test_behind_a_gateway_that_gave_up_the_vendor_may_still_be_at_it",
        ),
        (
            "our-own-fault-speaks-for-the-vendor",
            "an order is posted again while the ERP is at work on the first",
            "is_vendors = error.code is not None and not isinstance(error, ProcessFaultError)",
            "is_vendors = error.code is not None",
            f"{CREATE_ONCE}::test_a_fault_of_this_process_in_the_middle_of_a_call_says_nothing_of_the_vendor",
        ),
        (
            "silence-is-a-refusal",
            "an order whose answer was lost is posted twice",
            "            if error.is_definite:\n",
            "            if error.is_definite or error.code is None:\n",
            f"{CREATE_ONCE}::test_a_document_whose_answer_was_lost_is_adopted",
        ),
        (
            "the-first-of-two-is-adopted",
            "two orders stand, and nobody is told",
            "if len(found) > 1:",
            "if len(found) > 2:",
            f"{CREATE_ONCE}::test_two_documents_under_one_reference_need_a_person",
        ),
        (
            "an-overtaken-worker-reserves",
            "a worker that was stopped and goes on posts beside its successor",
            ("            self.hold(uow)\n            entry = uow"),
            "            entry = uow",
            f"{CREATE_ONCE}::test_a_worker_that_was_overtaken_sends_nothing",
        ),
        (
            "an-overtaken-worker-sends-again",
            "a worker that was stopped while it looked posts beside its successor",
            ("            self.hold(uow)\n            if not uow"),
            "            if not uow",
            f"{CREATE_ONCE}::test_a_worker_that_is_overtaken_while_it_looks_sends_nothing",
        ),
        (
            "a-call-ends-after-its-lease",
            "a call that began late is under way when another worker takes the run over",
            "* LEASE_MARGIN - elapsed",
            "* LEASE_MARGIN",
            f"{CREATE_ONCE}::test_calls_end_before_the_lease_that_was_taken_for_them",
        ),
        (
            "a-call-ends-with-its-lease",
            "a call is under way when another worker takes the run over",
            "LEASE_MARGIN = 0.95",
            "LEASE_MARGIN = 1.05",
            f"{CREATE_ONCE}::test_calls_end_before_the_lease_that_was_taken_for_them",
        ),
        (
            "what-is-kept-alive-dies",
            "a comparison of many pages is taken over in its middle, again and again",
            "if not uow.runs.record_progress(self.run, self.progress, lease_seconds=seconds):",
            "if not uow.runs.record_progress(self.run, self.progress, lease_seconds=1):",
            f"{CREATE_ONCE}::test_work_that_goes_on_keeps_its_lease",
        ),
        (
            "an-earlier-send-counts-as-never-sent",
            "an order whose answer was lost is posted twice after a fault at the same step",
            "            if earlier is None:\n",
            "            if True:\n",
            f"{AHEAD}::test_a_row_of_an_earlier_attempt_stays_as_it_is_where_the_step_waits_before_it_sends",
        ),
        (
            "a-send-counts-as-never-sent",
            "an order whose answer was lost is posted twice",
            "self.reserved.pop(key) if",
            "self.reserved[key] if",
            f"{AHEAD}::test_an_answer_that_was_lost_is_looked_for",
        ),
        (
            "an-adopted-total-is-believed",
            "an order that somebody changed before it was adopted is billed unseen",
            "        self.has_adopted = True\n",
            "",
            f"{CREATE_ONCE}::test_a_document_whose_answer_was_lost_is_adopted",
        ),
        (
            "an-overtaken-worker-keeps-its-lock",
            "two attempts at one customer work at once, and make it twice",
            'owner = f"{self.run.id}:{self.run.fence}"',
            'owner = f"{self.run.id}"',
            f"{CREATE_ONCE}::test_the_lock_of_an_attempt_that_was_overtaken_is_not_its_successors",
        ),
    ),
    *_of(
        "crmsync/worker/step_end.py",
        (
            "a-wait-is-an-attempt",
            "a deal that waits for another's customer becomes a dead letter",
            "_release(attempt, error, Retry(error.wait_seconds, is_attempt=False)",
            "_release(attempt, error, Retry(error.wait_seconds)",
            f"{STEP}::test_waiting_for_an_outcome_is_no_attempt",
        ),
        (
            "an-intent-does-not-wait-for-the-disk",
            "after a power cut an order is posted again",
            "with attempt.services.store.begin(durable=is_durable) as uow:",
            "with attempt.services.store.begin(durable=False) as uow:",
            f"{AHEAD}::test_what_is_about_to_be_sent_is_on_the_disk_before",
        ),
        (
            "an-intent-is-certain-at-once",
            "an order is posted again while the killed worker's call is under way",
            "certain_at=attempt.certain_at(uow.now))",
            "certain_at=uow.now)",
            f"{AHEAD}::test_what_a_killed_worker_may_have_made_gets_its_settle_time_after_the_lease",
        ),
        (
            "what-was-made-is-not-told-to-the-next",
            "an order that was made is looked for, and its deal waits for a minute",
            ("        attempt.record_outcomes(uow)\n        onward"),
            "        onward",
            f"{AHEAD}::test_what_a_step_is_about_to_make_is_in_the_ledger_with_its_claim",
        ),
        (
            "what-was-made-is-not-told-at-the-end",
            "a mail that went out is looked for, and its deal waits for a minute",
            ("        attempt.record_outcomes(uow)\n        is_ours, begins_again"),
            "        is_ours, begins_again",
            f"{STEP}::test_what_a_step_has_made_is_confirmed_however_it",
        ),
        (
            "what-was-made-is-forgotten-by-a-fault",
            "an order is looked for although its answer had come",
            ("        attempt.record_outcomes(uow)\n        is_ours ="),
            "        is_ours =",
            f"{STEP}::test_what_a_step_has_made_is_confirmed_however_it",
        ),
        (
            "a-long-wait-keeps-its-message",
            "messages that wait longer than the broker's patience come again and again",
            "is_long = decision.wait_seconds > LONG_WAIT_SECONDS",
            "is_long = False",
            f"{STEP}::test_a_long_wait_ends_the_message",
        ),
        (
            "an-error-takes-its-cause-along",
            "a customer's data stands in Flower",
            "error.__cause__, error.__suppress_context__ = None, True",
            "error.__suppress_context__ = True",
            f"{STEP}::test_an_error_that_celery_shows_has_no_cause_that_may_hold_data",
        ),
    ),
    *_of(
        "crmsync/worker/ahead.py",
        (
            "a-worker-that-ends-goes-on",
            "a restart kills workers in the middle of a call",
            "if not self._is_allowed or is_stopping() or time",
            "if not self._is_allowed or time",
            f"{AHEAD}::test_a_worker_that_ends_hands_back_between_two_steps",
        ),
        (
            "a-message-that-lasts-for-ever",
            "the broker delivers a message again that is still being done",
            " or time.monotonic() > self._ends_at:",
            ":",
            f"{AHEAD}::test_a_message_is_done_before_the_broker_takes_it_for_lost",
        ),
        (
            "a-worker-does-what-it-does-not-serve",
            "a worker that was started for one system calls them all",
            "return task if task.queue in queues.consumed else None",
            "return task",
            f"{AHEAD}::test_what_another_worker_serves_is_handed_back",
        ),
        (
            "background-work-keeps-its-thread",
            "deals wait while all products are compared",
            "self._is_allowed = is_allowed and not flow.is_background",
            "self._is_allowed = is_allowed",
            f"{AHEAD}::test_background_work_gives_its_thread_back_after_each_step",
        ),
        (
            "what-is-handed-back-comes-at-once",
            "a system that asks for a pause is called without one",
            "run.id, undone, countdown=countdown)",
            "run.id, undone)",
            f"{AHEAD}::test_a_step_that_must_wait_is_handed_back_with_its_time",
        ),
    ),
    *_of(
        "crmsync/worker/task.py",
        (
            "a-killer-is-never-buried",
            "a deal that kills its worker kills all workers, again and again",
            "if attempt.run.starts > limit:",
            "if False:",
            f"{STEP}::test_a_step_that_kills_its_worker_is_buried_after_five_starts",
        ),
        (
            "calls-know-no-lease",
            "a call is under way when another worker takes the run over",
            "with deadline(attempt.calls_end_at(run.updated_at)), kind_of_work:",
            "with kind_of_work:",
            f"{STEP}::test_no_call_of_a_step_outlasts_the_lease_of_its_claim",
        ),
        (
            "a-lease-counts-from-when-it-is-looked-at",
            "a worker that was stopped after its claim calls beside its successor",
            "deadline(attempt.calls_end_at(run.updated_at))",
            "deadline(attempt.calls_end_at(using.store.clock()))",
            f"{STEP}::test_no_call_of_a_step_outlasts_the_lease_of_its_claim",
        ),
        (
            "any-message-replays",
            "who can write to the broker replays dead letters",
            "if queues.is_replayer:",
            "if True:",
            "tests/field/test_broker_commands.py::test_O2__a_message_that_says_it_is_a_dead_letter_replays_none",
        ),
    ),
    *_of(
        "crmsync/connectors/way_out/wire.py",
        (
            "a-body-has-no-deadline",
            "a vendor that trickles holds a worker's thread for ever",
            ("    def recv_into(self, *args: Any) -> int:\n        self.settimeout(_left(self.ends_at))\n"),
            "    def recv_into(self, *args: Any) -> int:\n",
            f"{ANSWERS}::test_T2__a_server_that_trickles_ends_on_time[a body]",
        ),
        (
            "a-tls-body-has-no-deadline",
            "a vendor that trickles over TLS holds a worker's thread for ever",
            ("    def read(self, *args: Any) -> Any:\n        self.settimeout(_left(self.ends_at))\n"),
            "    def read(self, *args: Any) -> Any:\n",
            f"{ANSWERS}::test_T2__a_server_that_trickles_through_TLS_ends_on_time[a body]",
        ),
        (
            "an-upload-has-no-deadline",
            "a vendor that takes nothing holds a worker's thread for ever",
            "        self.settimeout(_left(self.ends_at))  # for all of it, not for each piece\n",
            "",
            f"{ANSWERS}::test_T2__an_upload_over_a_connection_of_before_has_its_own_deadline",
        ),
        (
            "an-old-connection-is-trusted",
            "an order is sent into a connection that a firewall forgot, and waits a deadline",
            "return time.monotonic() - self._called_at < IDLE_SECONDS and super().is_connected",
            "return super().is_connected",
            f"{ANSWERS}::test_T1__a_connection_that_was_idle_is_not_trusted",
        ),
        (
            "a-connection-never-made-is-unknown",
            "a system that is down makes each order wait until its absence is certain",
            "raise NotConnectedError(self, type(error).__name__) from error",
            "raise",
            f"{ANSWERS}::test_T1__where_no_byte_has_left_the_outcome_is_known",
        ),
        (
            "a-hint-is-the-answer",
            "the answer to one call is read as that to the next",
            "return version, HTTPStatus.CONTINUE if 100 <= status < 200 else status, reason",
            "return version, status, reason",
            "tests/field/test_odd_answers.py::test_T1__what_comes_before_an_answer_is_not_taken_for_it",
        ),
    ),
    *_of(
        "crmsync/connectors/way_out/transport.py",
        (
            "a-write-is-sent-once-more",
            "an order is posted twice where a connection ends just then",
            "if request.method not in READS or not any(",
            "if not any(",
            f"{ANSWERS}::test_T1__a_write_over_it_is_of_unknown_outcome",
        ),
        (
            "a-body-without-end-is-taken",
            "one answer fills a worker's memory",
            "        if size > BODY_BYTES_MAX:\n",
            "        if False:\n",
            f"{ANSWERS}::test_T4__what_unpacks_to_gigabytes_needs_little_memory",
        ),
        (
            "a-cut-body-is-whole",
            "half of a list is taken for all of it",
            "        raise EOFError\n",
            "        return\n",
            f"{ANSWERS}::test_T13__a_packed_stream_that_is_cut_is_no_whole_list",
        ),
        (
            "a-line-without-end-is-taken",
            "one answer fills a worker's memory",
            "        if len(rest) > LINE_CHARS_MAX:\n",
            "        if False:\n",
            f"{ANSWERS}::test_T13__a_line_without_end_is_not_taken",
        ),
    ),
    *_of(
        "crmsync/connectors/way_out/lease.py",
        (
            "a-call-may-outlast-the-lease",
            "a call is under way when another worker takes the run over",
            "if limit is not None and time.monotonic() + seconds > limit:",
            "if False:",
            f"{ANSWERS}::test_a_call_begins_only_under_a_lease_that_outlasts_it",
        ),
        (
            "a-sign-in-takes-the-whole-lease",
            "after a slow sign-in no call of the step ever has time",
            "max(0.1, (limit - time.monotonic()) / 2)",
            "max(0.1, limit - time.monotonic())",
            f"{SIGN_INS}::test_T3__a_sign_in_leaves_half_of_a_short_lease_to_the_call",
        ),
    ),
    *_of(
        "crmsync/connectors/kit/http.py",
        (
            "an-edge-speaks-for-the-vendor",
            "a maintenance page is taken for an answer, or for a refusal",
            "            if self._is_foreign(reply, call):\n",
            "            if False:\n",
            f"{ANSWERS}::test_T6__what_is_not_the_applications_own_answer_is_an_outage",
        ),
    ),
    *_of(
        "crmsync/store/keys.py",
        (
            "secrets-stand-in-the-open",
            "who reads the database has the tokens",
            "return self._fernet.encrypt(text.encode()).decode()",
            "return text",
            f"{STORE}::test_a_token_at_rest_can_be_read_only_with_the_key",
        ),
        (
            "what-is-sealed-for-one-opens-for-another",
            "a row that is copied to another connection brings its secrets along",
            "text.encode(), belongs_to.encode())",
            "text.encode(), b'')",
            f"{KEYS}::test_what_is_sealed_for_one_opens_for_nobody_else",
        ),
    ),
    *_of(
        "crmsync/store/vault.py",
        (
            "a-token-of-other-credentials-is-used",
            "deals of one org are ordered with the credentials of another",
            "row.expires_at is None or not self._owners.is_mark_of(connection, row.credentials)",
            "row.expires_at is None",
            f"{ACCOUNTS}::test_P1__a_token_is_never_used_with_other_credentials",
        ),
        (
            "an-ended-token-is-used",
            "each call is made twice, and the vendor counts both",
            "if token is not None and token.value != stale and token.expires_at > self._store.clock():",
            "if token is not None and token.value != stale:",
            f"{STORE}::test_a_token_that_has_ended_is_replaced",
        ),
        (
            "a-refused-token-is-taken-again",
            "a token that was revoked stops all work until it ends by itself",
            "if token is not None and token.value != stale and token.expires_at",
            "if token is not None and token.expires_at",
            f"{STORE}::test_a_refused_token_is_replaced_only_if_nobody_else_did",
        ),
        (
            "no-look-before-signing-in",
            "each process signs in where one would do, and the vendor's limit is used up",
            "if token is None or token.value == stale or token.expires_at <= self._store.clock():",
            "if True:",
            f"{STORE}::test_who_may_sign_in_when_another_has_just_done_so_takes_its_token",
        ),
        (
            "a-sign-in-that-fails-keeps-its-turn",
            "after one failed sign-in all processes wait for half a minute",
            "uow.tokens.end_renewal(connection)",
            "uow.now",
            f"{STORE}::test_a_sign_in_that_fails_holds_up_no_other",
        ),
        (
            "one-token-too-many",
            "a vendor locks the client for ten minutes",
            "if len(recent) < limit.count:",
            "if len(recent) <= limit.count:",
            f"{STORE}::test_the_vendors_limit_of_tokens_is_kept_even_when_each_is_refused",
        ),
        (
            "a-refused-account-is-asked-again",
            "each call signs in to the wrong account once more, until the vendor's limit is used up",
            "                self._owners.admit(connection)\n",
            "",
            f"{ACCOUNTS}::test_P1__a_sandbox_that_was_refreshed_is_another_organization",
        ),
        (
            "an-account-is-not-told",
            "a sign-in that tells another account brings a token that is used",
            "                self._owners.signed_in(connection, token.account)\n",
            "",
            f"{ACCOUNTS}::test_P1__a_sandbox_that_was_refreshed_is_another_organization",
        ),
    ),
    *_of(
        "crmsync/store/tokens.py",
        (
            "two-renew-at-once",
            "each process signs in where one would do, and the vendor's limit is used up",
            "tokens.c.renewing_until <= self._now,",
            "tokens.c.renewing_until.is_not(None),",
            f"{STORE}::test_one_signs_in_at_a_time",
        ),
    ),
    *_of(
        "crmsync/flows/customers.py",
        (
            "no-lock-for-a-customer",
            "the second deal of a new customer waits for minutes, and SAP refuses its sales area",
            'with attempt.lock(f"customer:{bound.connection}:{work.source}:{deal.customer.key}"):',
            "if True:",
            "tests/field/test_customers.py::test_P3__the_second_deal_of_a_new_customer_waits_a_second_for_the_first",
        ),
        (
            "one-lock-for-all-customers",
            "all new customers of a system wait for each other",
            'f"customer:{bound.connection}:{work.source}:{deal.customer.key}"',
            'f"customer:{connection}"',
            "tests/field/test_customers.py::test_P3__two_new_customers_do_not_wait_for_each_other",
        ),
        (
            "a-new-customer-that-is-not-listed-is-gone",
            "a customer that another run has just made is made a second time",
            "absence.search(using, entry, lambda: self.connector.read_customers([made], keep_alive))",
            "self.connector.read_customers([made], keep_alive)",
            "tests/field/test_customers.py"
            "::test_a_customer_that_another_run_has_just_made_is_waited_for_until_it_is_listed",
        ),
    ),
    *_of(
        "crmsync/flows/invoice_to_deal.py",
        (
            "a-payment-before-the-numbers",
            "a deal says that it is paid, and has no invoice number",
            "if deal_run.status is RunStatus.STOPPED and not order_to_invoice.FLOW.is_complete(deal_run):",
            "if False:",
            "tests/integration/test_invoice_to_deal.py",
        ),
    ),
    *_of(
        "crmsync/flows/catch_up.py",
        (
            "payments-from-before-going-live",
            "payments of before going live are written to deals that were settled by hand",
            "return max(since, go_live), now",
            "return since, now",
            "tests/integration/test_catch_up.py::test_no_look_goes_back_before_going_live",
        ),
    ),
    *_of(
        "crmsync/flows/order_to_invoice.py",
        (
            "a-deal-carries-a-wrong-number",
            "people look for an order under the number of its invoice",
            "order_number=order, invoice_number=invoice, status=status",
            "order_number=invoice, invoice_number=invoice, status=status",
            "tests/integration/test_flow.py::test_a_deal_of_known_customers_costs_five_calls",
        ),
    ),
    *_of(
        "crmsync/worker/dead_letters.py",
        (
            "an-old-message-replays",
            "a worker on the queue of dead letters spins while the fault stays",
            " or letter.shown_at() > uow.now",
            "",
            "tests/field/test_watchdog.py::test_P10__a_message_of_a_letter_that_is_not_on_show_any_more_replays_nothing",
        ),
        (
            "what-was-made-is-forgotten-by-a-death",
            "an order that was made is looked for when its deal is replayed",
            "        attempt.record_outcomes(uow)\n",
            "",
            f"{STEP}::test_what_a_step_has_made_is_confirmed_however_it",
        ),
    ),
    *_of(
        "crmsync/domain/connections.py",
        (
            "an-address-is-not-sealed",
            "who can write to the database has a connection's secret sent to a host of their own",
            "json.dumps([connection_id, tenant, system, dict(addresses)]",
            "json.dumps([connection_id, tenant, system]",
            f"{CONNECTIONS}::test_an_address_that_was_changed_in_the_store_gets_no_secret",
        ),
        (
            "an-address-is-changed-without-its-secrets",
            "who may change a connection has its secret sent to a host of their own",
            "if dict(before) != dict(after) else []",
            "if False else []",
            f"{CONNECTIONS}::test_who_changes_an_address_gives_the_secrets_again",
        ),
        (
            "a-paused-connection-is-worked-with",
            "orders go to an ERP that a person has taken out of the way",
            "if self.why_not_now:",
            "if False:",
            f"{CONNECTIONS}::test_what_is_paused_refuses_with_the_reason_and_goes_on_when_it_is_resumed",
        ),
        (
            "another-account-takes-over",
            "what is remembered of one account is used with another",
            "if not known or not claim.identity or claim.identity == known:",
            "if True:",
            f"{CONNECTIONS}::test_other_settings_that_name_another_account_are_refused",
        ),
    ),
    *_of(
        "crmsync/store/connections.py",
        (
            "the-last-update-wins",
            "what one person has changed is undone by another who has not seen it",
            "mine = (connections.c.id == changed.id, connections.c.version == changed.version)",
            "mine = (connections.c.id == changed.id,)",
            f"{CONNECTIONS}::test_of_two_changes_at_once_one_is_refused",
        ),
        (
            "one-that-is-needed-is-deleted",
            "a run that has made an order knows nothing of it any more",
            "is_open = runs.c.status.not_in((RunStatus.DONE, RunStatus.DISCARDED))",
            "is_open = runs.c.status.in_(())",
            f"{CONNECTIONS}::test_one_that_runs_need_is_deleted_only_by_force",
        ),
    ),
    *_of(
        "crmsync/services.py",
        (
            "a-change-is-not-heard-of",
            "processes work on with settings and secrets that a person has replaced",
            "if self._versions.get(connection, 0) == version else None",
            "if True else None",
            f"{CONNECTIONS}::test_a_change_reaches_every_process_without_a_restart",
        ),
        (
            "a-connection-leads-inside",
            "who may make a connection reads what only this network may",
            "is_outside=known.is_outside and not self.settings.allow_private_addresses,",
            "is_outside=False,",
            f"{CONNECTIONS}::test_no_byte_goes_to_a_machine_of_this_network_unless_that_is_allowed",
        ),
    ),
    *_of(
        "crmsync/connectors/way_out/wire.py",
        (
            "an-address-of-this-network-is-called",
            "who may make a connection reads what only this network may",
            "if not all(map(_is_outside, addresses)):",
            "if False:",
            f"{OUTSIDE}::test_a_name_that_leads_inside_is_refused_before_a_byte_is_sent",
        ),
        (
            "an-address-inside-an-address",
            "the same, for an address of version 4 that is wrapped in one of version 6",
            "address = inner or address",
            "address = address",
            f"{OUTSIDE}::test_an_address_of_this_network_is_refused_however_it_is_written",
        ),
    ),
    *_of(
        "crmsync/web/api/tenancy.py",
        (
            "an-api-without-tenants",
            "a token of one company lists and changes what belongs to all others",
            "    return tenant\n",
            "    return None\n",
            f"{TENANTS}::test_a_list_has_what_is_the_tenants_own",
        ),
    ),
    *_of(
        "crmsync/store/run_lists.py",
        (
            "runs-of-everybody",
            "the dashboard of one company counts the runs of all",
            "return true() if tenant is None else runs.c.tenant == tenant",
            "return true()",
            f"{TENANTS}::test_the_dashboard_counts_what_is_the_tenants_own",
        ),
    ),
    *_of(
        "crmsync/store/audit.py",
        (
            "an-audit-of-everybody",
            "the admin of one company reads what people of another did, and why",
            "            query = query.where(audit.c.tenant == tenant)\n",
            "            pass\n",
            f"{PEOPLE}::test_the_audit_of_a_tenant_has_its_own_entries_alone",
        ),
    ),
    *_of(
        "crmsync/domain/access.py",
        (
            "a-token-sees-everybody",
            "whoever knows the id of another company's run reads and replays it",
            "return self.tenant is None or self.tenant == tenant\n\n    def may_grant",
            "return True\n\n    def may_grant",
            f"{TENANTS}::test_one_object_is_found_by_its_own_tenant_alone",
        ),
        (
            "a-tenant-is-granted-away",
            "the admin of one company makes a token for another",
            "return self.may(role) and (self.tenant is None or self.tenant == tenant)",
            "return self.may(role)",
            f"{MAY_ASK}::test_nobody_gives_more_than_they_have",
        ),
        (
            "a-token-never-ends",
            "a token that was revoked goes on opening the API",
            "return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)",
            "return self.expires_at is None or now < self.expires_at",
            f"{MAY_ASK}::test_a_token_that_is_over_opens_nothing",
        ),
    ),
    *_of(
        "crmsync/web/api/callers.py",
        (
            "roles-are-not-asked",
            "a viewer's token rotates secrets",
            "    if not g.caller.may(rule.role):\n",
            "    if False:\n",
            f"{MAY_ASK}::test_each_role_may_do_what_the_table_says",
        ),
        (
            "any-secret-is-right",
            "whoever knows a token's id has what it opens",
            '    is_right = hmac.compare_digest(fingerprint(secret), kept or "")\n',
            "    is_right = True\n",
            f"{MAY_ASK}::test_without_a_valid_token_there_is_nothing",
        ),
    ),
    *_of(
        "crmsync/domain/audit.py",
        (
            "entries-without-a-chain",
            "an entry of the audit is taken out, and nobody can tell",
            'return hashlib.sha256(f"{previous}\\n{text}".encode()).hexdigest()',
            "return hashlib.sha256(text.encode()).hexdigest()",
            "tests/unit/test_audit.py::test_whoever_also_mends_the_entry_behind_it_has_to_change_every_hash",
        ),
        (
            "a-changed-entry-passes",
            "somebody who writes to the database changes what a person did",
            "if entry.previous != previous or entry.hash != entry.expected_hash():",
            "if entry.previous != previous:",
            "tests/unit/test_audit.py::test_an_entry_that_was_changed_breaks_the_chain",
        ),
        (
            "secrets-in-the-audit",
            "a password's hash is kept for ever",
            "        if not any(word in name for word in _SECRET_WORDS)\n",
            "        if name\n",
            f"{PEOPLE}::test_what_is_read_back_has_the_hash_that_was_written",
        ),
    ),
    *_of(
        "crmsync/web/api/effects.py",
        (
            "a-request-is-done-twice",
            "a program that sends its request again after a timeout makes two of everything",
            "            if before is not None:\n                return _as_before",
            "            if False:\n                return _as_before",
            f"{REQUESTS}::test_a_request_that_is_sent_again_does_nothing",
        ),
        (
            "a-key-of-anybody",
            "one program gets the answer that was meant for another, with the secret in it",
            "    return str(g.caller.token_id)\n",
            '    return ""\n',
            f"{REQUESTS}::test_a_key_is_its_callers_own",
        ),
        (
            "a-key-for-any-request",
            "a request is answered with what another one did",
            "    if before.fingerprint not in asked:\n",
            "    if False:\n",
            f"{REQUESTS}::test_a_key_is_for_one_request",
        ),
        (
            "what-is-shown-once-is-kept",
            "who reads the database finds secrets in the answers that were given",
            "answer=services.vault.seal_for(text, _seal(key)))",
            "answer=text)",
            f"{REQUESTS}::test_what_is_shown_once_is_not_kept_readable",
        ),
    ),
    *_of(
        "crmsync/subscriptions.py",
        (
            "a-webhook-opens-with-anothers-secret",
            "a secret that was given to one sender opens the address of another",
            "return replace(settings, **{**none, **own})",
            "return settings",
            f"{WEBHOOKS}::test_only_its_own_secret_opens_it",
        ),
        (
            "a-webhook-is-opened-by-its-connections",
            "the connection's own secrets open every webhook's address as well",
            "return replace(settings, **{**none, **own})",
            "return replace(settings, **own)",
            f"{WEBHOOKS}::test_only_its_own_secret_opens_it",
        ),
        (
            "a-disabled-webhook-goes-on",
            "a sender that was shut out goes on starting runs",
            "if kept is None or kept.subscription.status is not SubscriptionStatus.ACTIVE:",
            "if kept is None:",
            f"{WEBHOOKS}::test_a_webhook_that_is_disabled_or_gone_lets_nothing_in",
        ),
    ),
    *_of(
        "crmsync/domain/connections.py",
        (
            "a-connection-is-not-sealed",
            "who can write to the database has one company's secrets used by another's connection",
            "json.dumps([connection_id, tenant, system, dict(addresses)]",
            "json.dumps([system, dict(addresses)]",
            f"{CONNECTIONS}::test_a_row_that_is_copied_to_another_connection_does_not_open",
        ),
    ),
    *_of(
        "crmsync/store/due.py",
        (
            "a-sweep-without-shares",
            "the sweeper puts a flood of ten thousand in front of another company's deal",
            "batch = select(runs.c.id).where(is_it).order_by(runs.c.due_at).limit(max(0, limit))",
            "batch = select(runs.c.id).where(is_it).order_by(runs.c.due_at)",
            f"{SHARES}::test_a_deal_waits_for_a_share_of_anothers_flood_and_not_for_the_flood",
        ),
        (
            "what-waits-takes-a-share",
            "a company whose ERP is down can start no new deal",
            "is_it = and_(runs.c.source == source, IS_ACTIVE, runs.c.due_at <= self._now)",
            "is_it = and_(runs.c.source == source, IS_ACTIVE)",
            f"{SHARES}::test_what_waits_for_its_time_takes_no_share",
        ),
    ),
    *_of(
        "crmsync/worker/shares.py",
        (
            "webhooks-without-shares",
            "each webhook of a flood gets its message at once",
            "given = max(0, min(wanted, share - known.on_their_way))",
            "given = wanted",
            f"{SHARES}::test_webhooks_beyond_the_share_are_stored_and_wait_for_their_message",
        ),
        (
            "a-flood-waits-for-sweeps",
            "workers idle between two sweeps while thousands wait",
            "    dead_letters.best_effort(partial(_refill, using, source))\n",
            "    pass\n",
            f"{SHARES}::test_the_flood_goes_on_without_a_sweep",
        ),
    ),
)
