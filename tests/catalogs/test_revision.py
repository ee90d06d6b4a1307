"""A catalog is brought up to date, and nothing that people decided is undone."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from jitgate.catalogs.revision import revised
from jitgate.core.catalog import CatalogRow
from jitgate.values import Risk

PROPOSED = CatalogRow(
    "POST",
    "/things/{id}",
    "changeThing",
    ("things.manage",),
    frozenset({"token", "pin"}),
    Risk.WRITE,
    (("notify", "true"),),
    json=True,
)
REVIEWED = replace(
    PROPOSED,
    risk=Risk.PRIVILEGED,
    secrets=frozenset({"token", "ours"}),
    parameters=(("force", None),),
    in_body=("all",),
    cleared=frozenset({"pin"}),
)


def test_what_was_reviewed_stays_and_what_would_be_proposed_is_told():
    found = revised([REVIEWED], [PROPOSED])
    assert found.rows == (REVIEWED,)
    assert (found.added, found.removed, found.changed) == ((), (), ())
    (differs,) = found.differing
    assert (differs.risk, differs.parameters) == (Risk.WRITE, ("notify=true",))


def test_facts_are_taken_from_the_description():
    facts = replace(
        PROPOSED,
        template="/things/{thingId}",
        action="things/change",
        scopes=("things.edit",),
        secrets=frozenset({"token", "key"}),
        json=False,
    )
    found = revised([REVIEWED], [facts])
    kept = replace(
        REVIEWED,
        template="/things/{thingId}",
        action="things/change",
        scopes=("things.edit",),
        secrets=frozenset({"token", "ours", "key"}),
    )
    assert found.rows == (kept,)
    assert found.changed == ((REVIEWED, kept),)


def test_a_risk_that_nobody_gave_is_proposed():
    before = replace(PROPOSED, risk=None)
    assert revised([before], [PROPOSED]).rows == (PROPOSED,)


def test_rows_come_and_go():
    other = replace(PROPOSED, method="GET", action="getThing")
    found = revised([REVIEWED], [other])
    assert (found.rows, found.added, found.removed) == ((other,), (other,), (REVIEWED,))


ROWS = st.lists(
    st.builds(
        CatalogRow,
        st.sampled_from(["GET", "POST"]),
        st.sampled_from(["/a", "/b/{c}", "/b/{d}"]),
        st.sampled_from(["x", "y"]),
        secrets=st.frozensets(st.sampled_from("abc")),
        risk=st.none() | st.sampled_from(Risk),
        parameters=st.sampled_from([(), (("p", None),)]),
        json=st.booleans(),
    ),
    max_size=4,
    unique_by=lambda row: (row.method, row.template[:2]),
)


@given(ROWS, ROWS)
def test_done_again_it_changes_nothing(present, proposed):
    once = revised(present, proposed)
    again = revised(once.rows, proposed)
    assert again.rows == once.rows
    assert (again.added, again.removed, again.changed) == ((), (), ())


@given(ROWS, ROWS)
def test_no_secret_is_lost_and_no_risk_that_was_given(present, proposed):
    after = {(row.method, row.template[:2]): row for row in revised(present, proposed).rows}
    for row in present:
        kept = after.get((row.method, row.template[:2]))
        if kept is not None:
            assert row.secrets <= kept.secrets
            assert row.risk in {None, kept.risk}
