"""The names under which Zoho calls are counted and made to fail."""

OPERATIONS = (
    "token",
    "organizations",
    "settings",
    *("find_customer", "get_customer", "create_customer", "update_customer", "delete_customer"),
    *("find_item", "get_item", "create_item", "update_item", "delete_item"),
    *("find_invoice", "get_invoice", "create_invoice", "update_invoice", "delete_invoice"),
    *("send_invoice", "mark_sent", "void_invoice", "draft_invoice"),
    *("find_payment", "get_payment", "create_payment", "update_payment", "delete_payment", "refund_payment"),
    *("find_creditnote", "get_creditnote", "create_creditnote", "update_creditnote"),
    "other",
)
