# SPDX-License-Identifier: Apache-2.0
"""Identifiers: names that come from files, options and models, on their way into C."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbv2gen import identifiers
from mbv2gen.errors import Mbv2genError


@given(st.text(max_size=60))
def test_every_file_stem_becomes_a_name_that_the_option_would_accept(stem: str) -> None:
    name = identifiers.network_name(stem)
    assert identifiers.check_network_name(name) == name


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("flowers_w035_r96", "flowers_w035_r96"),
        ("My Model-v2 (final)", "my_model_v2_final"),
        ("96px", "net_96px"),
        ("int", "net_int"),
        ("mbv2_net", "net_mbv2_net"),
        ("été", "t"),
        ("模型", "net"),
        ("", "net"),
        ("a" * 99, "a" * 40),
        ("x" * 39 + "-tail", "x" * 39),
    ],
)
def test_a_stem_becomes_this_name(stem: str, name: str) -> None:
    assert identifiers.network_name(stem) == name


@pytest.mark.parametrize("name", ["", "Flowers", "9lives", "a-b", "a b", "_a", "a\n", "while", "main", "é", "a" * 41])
def test_names_that_cannot_prefix_symbols_are_refused_in_one_line(name: str) -> None:
    with pytest.raises(Mbv2genError, match=r"^--name .*use a C identifier") as error:
        identifiers.check_network_name(name)
    assert "\n" not in str(error.value)


def test_the_prefix_of_the_kernels_is_refused() -> None:
    with pytest.raises(Mbv2genError, match="belongs to the shared kernels"):
        identifiers.check_network_name("mbv2_mine")


@given(st.text(max_size=200), st.integers(4, 120))
def test_a_comment_stays_one_line_of_printable_ascii_inside_its_comment(text: str, limit: int) -> None:
    comment = identifiers.comment(text, limit)
    assert len(comment) <= limit
    assert re.fullmatch(r"[ -~]*", comment)
    # Neither alone nor against the characters around it may it end the comment, start one, or form a trigraph.
    assert "*/" not in f"/* {comment} */"[2:-2]
    assert "/*" not in f"/* {comment} */"[2:]
    assert "??" not in comment
    assert "\\" not in comment


@pytest.mark.parametrize(
    "text", ["*/ int x; /*", "**//", "*/*/", "/*/", "//**", "*\\/", "?\\?/", "???/", "????", "*" * 9 + "/"]
)
def test_hostile_comments_do_not_close(text: str) -> None:
    comment = identifiers.comment(text)
    assert "*/" not in comment
    assert "/*" not in comment
    assert "??" not in comment
