"""Cases from the field: what happens to people who run this kind of integration, one test or more for each.

A test is named by its case and what must hold: `test_T3__a_trickling_sign_in_holds_up_only_itself`.
"""
