"""Components are built as Hydra builds them."""

from __future__ import annotations

from typing import Any

import pytest
from hydra.utils import instantiate
from hypothesis import assume, given
from hypothesis import strategies as st

from tiler.checks.targets import GROUPS, _components, own_component
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


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_tilers_own_components_are_those_that_hydra_finds(group: str) -> None:
    """They are looked up without Hydra, which takes 1 ms for each."""
    package, names = _components(group)
    assert names
    for name in names:
        target = f"{package}.{name}"
        own = own_component(target)
        assert own is instantiate({"_target_": target, "_partial_": True}).func
        assert getattr(own, "__name__", "") == name


@pytest.mark.parametrize(
    "target",
    [
        *(
            "tiler.files.os.remove",
            "tiler.files.write_whole",
            "tiler.masks.otsu.otsu",
            "tiler.masks",
        ),
        *("os.remove", "tiler.spec.Edge", "tiler.masks.OtsuMask.generate", "OtsuMask", ""),
    ],
)
def test_nothing_else_is_a_component(target: str) -> None:
    assert own_component(target) is None
