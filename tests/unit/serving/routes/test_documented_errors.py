from __future__ import annotations

from subjectwise.serving.routes.documented_errors import ASKING, refusals
from subjectwise.serving.schemas import Refused, RefusedWithId


def test_each_status_has_a_reason() -> None:
    documented = refusals(*ASKING, 424, 409)
    assert set(documented) == {*ASKING, 424, 409}
    assert all(entry["description"].endswith(".") and entry["model"] is Refused for entry in documented.values())
    assert refusals(401, model=RefusedWithId)[401]["model"] is RefusedWithId
