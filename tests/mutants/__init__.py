"""Mistakes put into copies of the code on purpose, one at a time: each must make a test fail.

    make mutants                                 # all, several side by side; minutes
    make mutants ARGS="-k settle"                # those whose name holds the word
    make mutants ARGS="--jobs 4 --json m.json"

A test that can't fail proves nothing. Run by hand or at night, and not in CI, where `tests/test_mutants.py` makes sure
that each of them can still be put into the code as it is.
"""
