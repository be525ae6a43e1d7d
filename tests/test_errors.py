"""Every error can be raised without words, survives pickling, and belongs to a group."""

from __future__ import annotations

import pickle

import pytest

from crmsync import errors
from crmsync.errors import CrmsyncError


def all_subclasses(of: type[CrmsyncError]) -> list[type[CrmsyncError]]:
    return [found for child in of.__subclasses__() for found in (child, *all_subclasses(child))]


ALL = [found for found in all_subclasses(CrmsyncError) if found.__module__ == "crmsync.errors"]


@pytest.mark.parametrize("error_type", ALL)
def test_survives_pickling_with_its_attributes(error_type: type[CrmsyncError]) -> None:
    error = error_type()
    error.system, error.code, error.field_errors = "SAP", "V1/042", {"Amount": "is wrong"}

    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is error_type
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)


@pytest.mark.parametrize("error_type", ALL)
def test_says_a_sentence_of_its_own(error_type: type[CrmsyncError]) -> None:
    assert str(error_type()).endswith(".")
    assert error_type.__doc__ != CrmsyncError.__doc__


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    documented = {word for word in (errors.__doc__ or "").split() if word.endswith("Error")}

    assert documented == {error_type.__name__ for error_type in ALL} | {"CrmsyncError"}


def test_fields_and_code_are_part_of_the_message() -> None:
    error = errors.RejectedError("Refused.", code="3062", field_errors={"Amount": "is negative"})

    assert str(error) == "Refused. Amount: is negative [3062]"
    assert error.cause == "RejectedError:3062"


def test_what_may_have_happened_is_never_called_definite() -> None:
    assert not errors.VendorUnavailableError().is_definite
    assert not errors.UnexpectedAnswerError().is_definite
    assert errors.VendorUnavailableError(is_definite=True).is_definite
    assert errors.RateLimitedError().is_definite
    assert errors.RejectedError().is_definite
