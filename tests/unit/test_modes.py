"""How a mode of the widget is found by what a bot, a model or a conversation's row calls it."""

from __future__ import annotations

import pytest

from vestibule.model.responder import Mode
from vestibule.responder.tools import mode_named

ORDERS = Mode("1", "Orders", "catalogue")
CATALOGUE = Mode("catalogue", "Shop")
SALES = Mode("Sales", "Offers")
MODES = (ORDERS, CATALOGUE, SALES)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("1", ORDERS),
        ("catalogue", CATALOGUE),
        ("Catalogue", ORDERS),
        ("orders", ORDERS),
        ("SHOP", CATALOGUE),
        ("sales", SALES),
        ("2", None),
        (1, None),
        (None, None),
    ],
)
def test_an_id_goes_before_what_else_it_may_be(wanted: object, found: Mode | None) -> None:
    assert mode_named(MODES, wanted) is found
