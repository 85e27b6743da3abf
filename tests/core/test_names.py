"""Names of models as values: what they say, in one way only."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.errors import UserError
from bench.core.names import ModelName, Part, split_names

WORD = st.text("abcz019.-", min_size=1, max_size=5).filter(lambda text: re.fullmatch(r"[a-z0-9][a-z0-9.-]*", text))
PARTS = st.builds(
    Part,
    base=WORD,
    size=st.sampled_from(["", "S", "L", "7B", "*"]),
    parameters=st.sampled_from([(), (("layer", "8"),), (("block", "2"), ("t", "261")), (("layer", "*"),)]),
    variants=st.sampled_from([(), ("jbu",), ("jbu", "untrained")]),
)
NAMES = st.lists(PARTS, min_size=1, max_size=3, unique=True).map(tuple).map(ModelName)


@given(NAMES)
def test_a_name_survives_its_text(name: ModelName) -> None:
    assert ModelName.parse(str(name)) == name


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_a_list_with_commas_is_parted_between_names_only(names: list[ModelName]) -> None:
    assert split_names(",".join(map(str, names))) == [str(name) for name in names]


def test_equal_models_have_one_text() -> None:
    assert (
        str(ModelName.parse("sd@jbu@t=261,block=2"))
        == str(ModelName.parse("sd@block=2,t=261@jbu"))
        == "sd@block=2,t=261@jbu"
    )
    assert ModelName.parse("a@y@x").parts[0].variants == ("x", "y")


def test_the_questions_that_the_suite_asks_of_a_name() -> None:
    joined = ModelName.parse("dino@jbu+iuvrgb+aliked:n32@untrained")
    assert joined.is_joined
    assert joined.bases == ("dino", "iuvrgb", "aliked")
    assert joined.untrained
    assert str(joined.trained) == "dino@jbu+iuvrgb+aliked:n32"
    assert ModelName.parse("dino").is_plain
    assert not ModelName.parse("dino:S").is_plain
    assert ModelName.parse("dinov2:*").parts[0].is_pattern
    assert str(ModelName.parse("dinov2:g@layer=18@jbu").parts[0].model) == "dinov2:g@layer=18"
    assert str(Part("dino").with_variant("untrained")) == "dino@untrained"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a name is missing"),
        ("dino+", "a name is missing"),
        ("dino+dino", "only once"),
        ("Dino", "'Dino'"),
        ("dino@", "'dino@'"),
        ("dino:", "'dino:'"),
        ("dino@layer=", "key=value"),
        ("dino@layer=1,layer=2", "given twice"),
        ("dino@a b", "no variant"),
    ],
)
def test_a_malformed_name_is_refused(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        ModelName.parse(text)
