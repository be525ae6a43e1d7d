"""Every hour: writes the ERP's stock to the products that sales people quote from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from crmsync.alerts.content import stock_digest
from crmsync.connectors.base import JOB_LOST
from crmsync.domain import stock
from crmsync.domain.learned import CatalogueRead, LevelsWritten, StockRead
from crmsync.domain.runs import LONG_WAIT_SECONDS
from crmsync.domain.steps import About
from crmsync.domain.stock import Known, Plan, Rejection, StockLevel, Total
from crmsync.errors import CrmsyncError, LeaseLostError, NoStockError, NotNowError, VendorUnavailableError
from crmsync.store import UnitOfWork
from crmsync.worker import dead_letters
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import Flow
from crmsync.worker.task import step

QUEUE = "background"
FLOW = Flow(
    "inventory",
    subject="inventory",
    steps=("read_catalogue", "read_stock", "write_levels"),
    repeats=True,
    every=lambda options: options.inventory_seconds,
    roles=("catalogue", "stock"),
    subject_role="catalogue",
    bound_as="inventory",
)

WHOLE_EVERY = timedelta(hours=24)
OVERLAP = timedelta(minutes=15)  # a change may become visible this much later than its stamp says
SHOWN = 10
DIGEST = "inventory:"  # in front of its catalogue and when that was read: what an hour's digest is told under
JOB_WAIT_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
ROWS_PER_SECOND = 10_000  # a job of many rows is polled later: each poll is a call


@step(FLOW, queue=QUEUE, learns=CatalogueRead, about=About(doing="reading the catalogue"))
def read_catalogue(attempt: Attempt) -> CatalogueRead:
    """Read the products: once a day all of them with what they say, else those that changed."""
    since, count, catalogue = _since(attempt), 0, attempt.company.catalogue.connection
    for page in attempt.company.catalogue.api.products(since):
        with attempt.services.store.begin(durable=False) as uow:
            uow.products.saw(catalogue, page, seen_at=attempt.started_at, trust=since is None)
        count += len(page)
        attempt.record_progress(products=count)
    with attempt.services.store.begin(durable=False) as uow:
        if since is None:
            uow.products.retire_unseen(catalogue, attempt.started_at)
            uow.facts.set(_fact("whole_at", catalogue), attempt.started_at.isoformat())
        uow.facts.set(_fact("read_at", catalogue), attempt.started_at.isoformat())
    return CatalogueRead(count, since is None, attempt.started_at.isoformat())


@step(FLOW, queue=QUEUE, learns=StockRead, about=About(doing="reading the stock"))
def read_stock(attempt: Attempt) -> StockRead:
    """Add up the stock of each material, and note what each product shall say."""
    totals, catalogue = dict[str, Total](), attempt.company.catalogue.connection
    for page in attempt.company.stock.api.stock():
        stock.add_up(totals, page)
        attempt.record_progress(materials=len(totals))
    with attempt.services.store.read() as uow:
        _refuse_nothing(attempt, uow, totals)
        made = stock.plan(uow.products.active(catalogue), totals, attempt.company.options.low_stock_threshold)
    unknown = _ask(attempt, made)
    with attempt.services.store.begin(durable=False) as uow:
        attempt.hold(uow)
        blocked_before = uow.products.known_problems(catalogue)
        uow.products.want(catalogue, made.levels)
        uow.products.unknown(catalogue, (product.key for product in unknown))
        uow.products.blocked(catalogue, made.mixed)
    news = sorted(product.code for product in unknown if product.is_known is None)
    return StockRead(
        materials=len(totals),
        unknown=len(news),
        first_unknown=tuple(news[:SHOWN]),
        mixed_units=len(made.mixed),
        newly_mixed=sum(blocked_before.get(each.product_key) != each.reason for each in made.mixed),
    )


@step(FLOW, queue=QUEUE, learns=LevelsWritten, about=About(doing="writing what changed"))
def write_levels(attempt: Attempt) -> LevelsWritten:
    """Write what changed, and alert people to what became low; a row that is refused stops no other."""
    with attempt.services.store.read() as uow:
        levels = uow.products.to_write(attempt.company.catalogue.connection)
    try:
        rejections = _write(attempt, levels)
    except CrmsyncError as error:
        if not _is_short_wait(attempt, error):
            _tell_unwritten(attempt)
        raise
    with attempt.services.store.begin() as uow:
        attempt.hold(uow)
        outcome = _settle(attempt, uow, levels, rejections)
    dead_letters.tell_soon()
    return outcome


def _fact(name: str, catalogue: str) -> str:
    return f"catalogue.{name}.{catalogue}"


def _since(attempt: Attempt) -> datetime | None:
    """From when on the catalogue's changes are unknown to us; None: read all of it."""
    with attempt.services.store.read() as uow:
        whole_at, read_at = (
            uow.facts.instant(_fact(name, attempt.company.catalogue.connection)) for name in ("whole_at", "read_at")
        )
    if not whole_at or not read_at or attempt.started_at - whole_at >= WHOLE_EVERY:
        return None
    return read_at - OVERLAP


def _refuse_nothing(attempt: Attempt, uow: UnitOfWork, totals: Mapping[str, Total]) -> None:
    """Raises: NoStockError where all stock is gone at once: a wrong filter is likelier than an empty house."""
    if totals or attempt.is_accepted() or not uow.products.is_any_stocked(attempt.company.catalogue.connection):
        return
    raise NoStockError(
        f"{attempt.company.stock.system} lists no stock at all, but products were in stock before.",
        system=attempt.company.stock.system,
        advice="Check the plants and stock types that are configured. If there really is no stock left, replay "
        "with --accept.",
    )


def _ask(attempt: Attempt, made: Plan) -> list[Known]:
    """Tell materials without stock, which are added to the plan, from codes that the ERP does not know: returned.

    Codes found unknown are asked for again when the whole catalogue is read.
    """
    is_whole = attempt.result(read_catalogue).is_whole
    asked = [product for product in made.absent if is_whole or product.is_known is None]
    codes = [product.code for product in asked]
    known = attempt.company.stock.api.known_materials(codes, attempt.keep_alive) if asked else set()
    threshold = attempt.company.options.low_stock_threshold
    made.levels.extend(stock.level(product, stock.NOTHING, threshold) for product in asked if product.code in known)
    return [product for product in asked if product.code not in known]


def _write(attempt: Attempt, levels: Sequence[StockLevel]) -> list[Rejection]:
    catalogue = attempt.company.catalogue.api
    if not levels:
        return []
    attempt.record_progress(changed=len(levels))
    if attempt.progress.get("job") or len(levels) > catalogue.bulk_above:
        return _through_a_job(attempt, levels)
    return catalogue.write_levels(levels, attempt.keep_alive)


def _through_a_job(attempt: Attempt, levels: Sequence[StockLevel]) -> list[Rejection]:
    """Raises: NotNowError while the job is at work; nobody waits for it meanwhile."""
    if not attempt.progress.get("job"):
        job = attempt.company.catalogue.api.start_bulk(levels, attempt.keep_alive)
        attempt.record_progress(job=job, looks=0)
        raise NotNowError("The catalogue is processing the update.", wait_seconds=_job_wait(0, len(levels)))
    try:
        rejections = attempt.company.catalogue.api.bulk_rejections(attempt.progress["job"], attempt.keep_alive)
    except VendorUnavailableError as error:
        if error.code == JOB_LOST:  # not where only the poll failed: two jobs at once could write in any order
            attempt.record_progress(job="")
        raise
    if rejections is None:
        looks = attempt.progress["looks"] + 1
        attempt.record_progress(looks=looks)
        raise NotNowError("The catalogue is still processing the update.", wait_seconds=_job_wait(looks, len(levels)))
    return rejections


def _job_wait(looks: int, rows: int) -> float:
    """
    >>> _job_wait(0, 5_000), _job_wait(9, 100_000)
    (1.5, 40.0)
    """
    return JOB_WAIT_SECONDS[min(looks, len(JOB_WAIT_SECONDS) - 1)] + rows / ROWS_PER_SECOND


def _settle(
    attempt: Attempt, uow: UnitOfWork, levels: Sequence[StockLevel], rejections: Sequence[Rejection]
) -> LevelsWritten:
    """Keep what was written, and put the digest into the outbox with it."""
    refused = {rejection.product_key for rejection in rejections}
    catalogue = attempt.company.catalogue.connection
    before = uow.products.known_problems(catalogue)
    low, told = uow.products.newly_low(catalogue), attempt.progress.get("told_low", 0)
    uow.products.written(catalogue, levels, rejections)
    uow.products.told_low(catalogue)
    newly_refused = sum(before.get(each.product_key) != each.reason for each in rejections)
    outcome = LevelsWritten(
        changed=len(levels),
        written=len(levels) - len(refused),
        refused=len(refused),
        reasons=dict(stock.by_reason(rejections)) | _mixed(attempt),
        newly_refused=newly_refused + attempt.result(read_stock).newly_mixed,
        newly_low=told + len(low),
        **_lowest(low, [level for level in low if level.product_key in refused]),
    )
    _tell(attempt, uow, outcome, newly_low=len(low))
    _describe(attempt, uow, outcome)
    return outcome


def _lowest(low: Sequence[StockLevel], unwritten: Sequence[StockLevel]) -> dict[str, Any]:
    """The first of those that are newly low, and of those among them that the catalogue does not show as low."""
    return {
        "lowest": tuple((level.code, str(level.available)) for level in low[:SHOWN]),
        "low_unwritten": len(unwritten),
        "first_low_unwritten": tuple(level.code for level in unwritten[:SHOWN]),
    }


def _is_short_wait(attempt: Attempt, error: CrmsyncError) -> bool:
    """Whether nothing is wrong with the writing: a job is at work, or it goes on in a moment."""
    is_soon = isinstance(error, NotNowError) and error.wait_seconds <= LONG_WAIT_SECONDS
    return is_soon or isinstance(error, LeaseLostError) or bool(attempt.progress.get("job"))


def _tell_unwritten(attempt: Attempt) -> None:
    """What was read and is low reaches people, although nothing could be written."""
    with attempt.services.store.begin() as uow:
        attempt.hold(uow)
        low = uow.products.newly_low(attempt.company.catalogue.connection)
        uow.products.told_low(attempt.company.catalogue.connection)
        if low:
            outcome = LevelsWritten(changed=0, newly_low=len(low), **_lowest(low, low))
            _add_digest(attempt, uow, outcome, unknown=0, first_unknown=(), part=":read")
    if low:
        attempt.record_progress(told_low=attempt.progress.get("told_low", 0) + len(low))
        dead_letters.tell_soon()


def _mixed(attempt: Attempt) -> dict[str, int]:
    count = attempt.result(read_stock).mixed_units
    return {stock.MIXED_UNITS: count} if count else {}


def _tell(attempt: Attempt, uow: UnitOfWork, outcome: LevelsWritten, *, newly_low: int) -> None:
    """One digest for an hour in which something changed, *newly_low* not yet reported; none for an hour without."""
    read = attempt.result(read_stock)
    if newly_low or outcome.newly_refused or read.unknown:
        news = replace(outcome, newly_low=newly_low)
        _add_digest(attempt, uow, news, unknown=read.unknown, first_unknown=read.first_unknown)


def _add_digest(
    attempt: Attempt,
    uow: UnitOfWork,
    news: LevelsWritten,
    *,
    unknown: int,
    first_unknown: Sequence[str],
    part: str = "",
) -> None:
    using = attempt.services
    content = stock_digest(
        news,
        unknown=unknown,
        first_unknown=first_unknown,
        threshold=attempt.company.options.low_stock_threshold,
        link=f"{using.settings.tower_url}/stock",
        command=using.settings.pasteable("crmsync inventory show"),
    )
    _close_digests(attempt, uow)
    connection = attempt.company.catalogue.connection
    cause = f"{DIGEST}{connection}:{attempt.result(read_catalogue).at}{part}"
    uow.alerts.add_once(attempt.run.tenant, cause, content, connection=connection)


def _close_digests(attempt: Attempt, uow: UnitOfWork) -> None:
    """A newer digest takes their place, or nothing is low, refused or unknown any more; that is no news."""
    connection = attempt.company.catalogue.connection
    for cause in uow.alerts.open_causes(attempt.run.tenant, DIGEST, connection=connection):
        uow.alerts.close(cause, is_told=False)


def _describe(attempt: Attempt, uow: UnitOfWork, outcome: LevelsWritten) -> None:
    counts = uow.products.counts(attempt.company.tenant, connection=attempt.company.catalogue.connection)
    if not (counts.low or counts.refused or counts.unknown):
        _close_digests(attempt, uow)
    attempt.describe(title=f"Stock of {counts.active:,} products, {counts.low:,} low")
    attempt.remark = f"{outcome.written:,} written, {outcome.refused:,} refused, {outcome.newly_low:,} newly low"
