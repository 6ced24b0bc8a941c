"""Components are built as Hydra builds them."""

from __future__ import annotations

from typing import Any

from hydra.utils import instantiate
from hypothesis import assume, given
from hypothesis import strategies as st

from tiler.config.instantiation import instantiated

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.sampled_from("abc"), below, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["x", "y", "size", "path"]), PLAIN), st.booleans())
def test_a_component_gets_the_values_that_hydra_would_give_it(
    values: dict[str, Any], partial: bool
) -> None:
    """Texts with ${ are the exception: Hydra would resolve them a second time."""
    assume("${" not in str(values))
    node = {"_target_": "types.SimpleNamespace", **values}
    found = instantiated(node, _partial_=partial)
    expected = instantiate({**node, "_partial_": partial, "_convert_": "all"})
    if partial:
        assert found.func is expected.func
        found, expected = found(), expected()
    assert repr(found) == repr(expected)
