"""Every exception of crmsync, grouped by what happens next.

    CrmsyncError
    ├── ConfigurationError            the process must not start
    ├── NotNowError                   nothing is wrong: come back later, not an attempt (wait_seconds)
    │   ├── OutcomeSettlingError      a create's answer was lost: search again when the vendor's lists have settled
    │   ├── LockedByOtherRunError     another run holds what this one needs
    │   ├── BusyError                 as many calls as the system allows at once are under way
    │   ├── OtherAccountError         the credentials are not those of the account that the store belongs to
    │   ├── ConnectionPausedError     a person has paused the connection
    │   ├── WaitsForOtherRunError     another run must come to its end first
    │   ├── NotYetError               what was announced is not to be seen yet
    │   ├── NewerReleaseError         what the run has learned only a newer release can read
    │   └── ProcessFaultError         this process or its machine is at fault, and no run
    │       └── StoreUnavailableError our own database does not answer, or can't write
    ├── RetryableError                try the same thing later (retry_after_seconds)
    │   ├── VendorUnavailableError    no answer, 5xx, connection broken
    │   ├── CertificateError          no connection, for the certificate can't be verified: a person must act
    │   ├── RateLimitedError          the vendor said slow down
    │   └── ConcurrentUpdateError     the record moved under us, or is locked
    ├── PermanentError                trying again cannot help → dead letter
    │   ├── AuthenticationError       a permission is missing
    │   │   └── AccountRefusedError   the account itself is refused: one alert, all runs wait, and go on by themselves
    │   ├── UnexpectedAnswerError     the vendor's answer is not what its documentation says
    │   ├── BugError                  crmsync itself is wrong
    │   └── BadDataError              somebody must correct a record (field_errors); a new webhook revives the run
    │       ├── InvalidDealError
    │       ├── NoAddressError        or a person mails the invoice (replay with --accept)
    │       ├── RejectedError         the vendor refused the data
    │       ├── RecordNotFoundError
    │       └── MappingError          a field or value has no counterpart
    ├── ReviewNeededError             a person must choose → dead letter of kind `review`
    │   ├── AmbiguousMatchError
    │   ├── AmountMismatchError
    │   ├── DealChangedError
    │   ├── DocumentGoneError
    │   ├── AlreadyOrderedError
    │   ├── HeldDealError             many at once: reported and answered as one
    │   │   ├── OldDealError
    │   │   └── UnusualBurstError
    │   ├── OrderHeldError
    │   ├── NoStockError
    │   └── OutcomeUnknownError
    ├── LeaseLostError                another worker took the run over: this attempt's result is dropped
    └── WebhookError                  answered at the door, never queued (status_code)
        ├── MalformedWebhookError 400
        ├── SignatureError        401
        ├── NoDoorError           404
        ├── WrongMethodError      405
        ├── BodyTooLargeError     413
        ├── WrongTypeError        415
        └── NotStoredError        503

The docstring of a class is the sentence that an operator reads when nothing more exact is known.
No message may hold a secret, a person, an address or a vendor's raw text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence


class CrmsyncError(Exception):
    """Something went wrong in crmsync."""

    is_definite = True
    """False when the vendor may have done what it was asked although we hold no proof."""

    is_outage = False
    """True when the fault is the system's and not this run's. While the system's breaker is open such a failure uses
    up no attempt, and a run that died of one goes on by itself when the system is back."""

    is_told_once = False
    """True where one alert tells of it, however many deals it stops, and one answer does for all."""

    needs_own_answer = False
    """True where `--accept` answers this error alone, and no other that the same step may raise."""

    is_of_deal = False
    """True where its fields at fault are those of a deal, by their paths in the domain, such as `lines[1].total`."""

    words: str
    """The vendor's own, which may hold personal data: sealed with the run's dead letter, shown nowhere else."""

    def __init__(
        self,
        message: str | None = None,
        *,
        system: str | None = None,
        operation: str | None = None,
        code: str | None = None,
        field_errors: Mapping[str, str] | None = None,
        advice: str | None = None,
    ) -> None:
        super().__init__(message if message is not None else _sentence(type(self)))
        self.system = system
        self.connection = ""  # that was asked; "" where none was, or an error is not of a call
        self.operation = operation
        self.code = code
        self.field_errors = dict(field_errors or {})
        self.field_labels: dict[str, str] = {}
        self.advice = advice
        self.words = ""

    def __reduce__(self) -> tuple[object, ...]:
        """Without the vendor's words: what is pickled travels through the broker."""
        return type(self), self.args, {**self.__dict__, "words": ""}

    def __str__(self) -> str:
        """The sentence, then the fields at fault, then the vendor's own code."""
        parts = [str(self.args[0]) if self.args else _sentence(type(self))]
        if self.field_errors:
            parts.append("; ".join(f"{label}: {problem}" for label, problem in self.labelled_fields.items()))
        text = " ".join(parts)
        return f"{text} [{self.code}]" if self.code else text

    @property
    def labelled_fields(self) -> dict[str, str]:
        """The fields at fault as people call them, and what is wrong with each."""
        return {self.field_labels.get(field, field): problem for field, problem in self.field_errors.items()}

    def label_fields(self, label_of: Callable[[str], str]) -> None:
        """Call the fields of a deal as people see them in the CRM."""
        if self.is_of_deal:
            self.field_labels = {field: label_of(field) for field in self.field_errors}

    @property
    def with_advice(self) -> str:
        """What happened, and what a person can do about it."""
        return " ".join(filter(None, (str(self), self.advice)))

    @property
    def cause(self) -> str:
        """What makes two failures one incident: the class, the system, the vendor's code."""
        return ":".join(part for part in (type(self).__name__, self.system, self.code) if part)


def _sentence(error_type: type[CrmsyncError]) -> str:
    return (error_type.__doc__ or error_type.__name__).strip().split("\n", maxsplit=1)[0]


class ConfigurationError(CrmsyncError):
    """The configuration is incomplete or wrong."""


class NotNowError(CrmsyncError):
    """The step can't run yet; it comes back by itself."""

    wait_seconds = 1.0

    def __init__(
        self,
        message: str | None = None,
        *,
        wait_seconds: float | None = None,
        system: str | None = None,
        code: str | None = None,
        advice: str | None = None,
    ) -> None:
        super().__init__(message, system=system, code=code, advice=advice)
        if wait_seconds is not None:
            self.wait_seconds = wait_seconds


class OutcomeSettlingError(NotNowError):
    """The answer to a create was lost; crmsync looks for the document until its absence is certain."""


class LockedByOtherRunError(NotNowError):
    """Another run is working on the same customer."""


class BusyError(NotNowError):
    """As many calls as the system allows at the same time are under way."""


class OtherAccountError(NotNowError):
    """The credentials belong to another account than everything that the store remembers."""

    wait_seconds = 300.0


class ConnectionPausedError(NotNowError):
    """The connection is paused; its runs wait until it is resumed."""

    wait_seconds = 60.0


class WaitsForOtherRunError(NotNowError):
    """Another run of crmsync must come to its end first."""


class NotYetError(NotNowError):
    """What was announced is not to be seen yet."""


class NewerReleaseError(NotNowError):
    """What the run has learned was written by a newer release of crmsync, and this one can't read it."""

    wait_seconds = 300.0


class ProcessFaultError(NotNowError):
    """The machine that crmsync runs on lacks something; the runs wait until it is there."""

    is_definite = False  # it may come after the call that it belongs to
    wait_seconds = 10.0


class StoreUnavailableError(ProcessFaultError):
    """The database of crmsync does not answer."""


class RetryableError(CrmsyncError):
    """A passing fault; crmsync tries again by itself."""

    def __init__(
        self,
        message: str | None = None,
        *,
        retry_after_seconds: float | None = None,
        is_definite: bool | None = None,
        system: str | None = None,
        operation: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, system=system, operation=operation, code=code)
        self.retry_after_seconds = retry_after_seconds
        if is_definite is not None:
            self.is_definite = is_definite


class VendorUnavailableError(RetryableError):
    """The system does not answer, or answers with an internal error."""

    is_definite = False
    is_outage = True


class CertificateError(RetryableError):
    """The certificate of the system can't be verified."""

    is_outage = True


class RateLimitedError(RetryableError):
    """The system's limit of calls is used up."""


class ConcurrentUpdateError(RetryableError):
    """The record is locked or was changed by somebody else at the same moment."""


class PermanentError(CrmsyncError):
    """Trying again cannot help."""


class AuthenticationError(PermanentError):
    """The system refused the credentials or a permission is missing; run `crmsync doctor`."""


class AccountRefusedError(AuthenticationError):
    """The system refuses the account as a whole, whatever the record; its runs wait until that is put right."""

    is_outage = True


class UnexpectedAnswerError(PermanentError):
    """The system's answer is not what its documentation describes."""

    is_definite = False


class BugError(PermanentError):
    """An unexpected error inside crmsync; the log has the place, please report it."""

    is_definite = False


class BadDataError(PermanentError):
    """A record must be corrected at its source."""


class InvalidDealError(BadDataError):
    """The deal can't be synced as it stands in the CRM."""

    is_of_deal = True


class NoAddressError(BadDataError):
    """The deal has no e-mail address to which its invoice can be mailed."""

    is_of_deal = True

    needs_own_answer = True


class RejectedError(BadDataError):
    """The system refused the data."""


class RecordNotFoundError(BadDataError):
    """The record does not exist in the system, or crmsync may not see it."""


class MappingError(BadDataError):
    """A field or value has no counterpart in the other system."""

    is_of_deal = True


class ReviewNeededError(CrmsyncError):
    """A person must decide before this run goes on."""


class AmbiguousMatchError(ReviewNeededError):
    """More than one customer fits, or only the name does."""


class AmountMismatchError(ReviewNeededError):
    """The amounts of the two systems differ."""


class DealChangedError(ReviewNeededError):
    """The deal changed after documents were made from it."""


class DocumentGoneError(ReviewNeededError):
    """An order or invoice was deleted, voided or rejected after it was made."""


class AlreadyOrderedError(ReviewNeededError):
    """The deal already carries an order or invoice number that crmsync did not write."""


class HeldDealError(ReviewNeededError):
    """The deal is held until a person says that it is meant."""

    is_told_once = True
    needs_own_answer = True


class OldDealError(HeldDealError):
    """The deal was won long ago."""


class UnusualBurstError(HeldDealError):
    """Far more deals are announced than usual."""


class OrderHeldError(ReviewNeededError):
    """The order was made, but it can't be delivered or billed as it stands."""


class NoStockError(ReviewNeededError):
    """All stock is gone at once."""


class OutcomeUnknownError(ReviewNeededError):
    """It can't be established whether the document exists."""


class LeaseLostError(CrmsyncError):
    """Another worker has taken this run over; the result of this attempt was dropped."""


class WebhookError(CrmsyncError):
    """The webhook was refused."""

    status_code = 400
    reason = "malformed"

    def __init__(
        self, message: str | None = None, *, reason: str = "", field_errors: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, field_errors=field_errors)
        self.reason = reason or type(self).reason


class MalformedWebhookError(WebhookError):
    """The body can't be read."""


class SignatureError(WebhookError):
    """The webhook is not authentic."""

    status_code = 401
    reason = "mismatch"


class BodyTooLargeError(WebhookError):
    """The body is too large."""

    status_code = 413
    reason = "too_large"


class WrongTypeError(WebhookError):
    """The content type is not supported."""

    status_code = 415
    reason = "type"


class WrongMethodError(WebhookError):
    """This address is for senders that use another method."""

    status_code = 405
    reason = "method"

    def __init__(self, message: str | None = None, *, methods: Sequence[str] = ()) -> None:
        wanted = f"Set the webhook to {methods[0]}: this address is for senders, not for browsers." if methods else None
        super().__init__(message or wanted)
        self.methods = methods


class NoDoorError(WebhookError):
    """There is no door at this address."""

    status_code = 404
    reason = "address"


class NotStoredError(WebhookError):
    """The webhook can't be stored now; send it again."""

    status_code = 503
    reason = "not_stored"
