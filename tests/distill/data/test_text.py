import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.data.text import clean, scrub, title_leak, words


@pytest.mark.parametrize(
    ("text", "label", "expected"),
    [
        ("Sailing Boat", "boat", True),
        ("sailboat", "boat", False),
        ("two boats", "boat", False),
        ("BOAT-house", "boat", True),
        ("Map of North America", "north_america", True),
        ("America, north of it", "north_america", False),
        ("animal: a mammal", "animal-mammal", False),
        ("Straße", "STRASSE", True),
        ("", "boat", False),
        ("boat", "", False),
        ("boat", "_-_", False),
    ],
)
def test_a_text_contains_a_label_as_equal_words_in_order(text: str, label: str, expected: bool):
    assert title_leak([text], [[label]]) == float(expected)


def test_leak_is_the_share_of_items_that_contain_one_of_their_own_tags():
    texts = ["a boat", "a boat", "a flag and a boat", "nothing"]
    assert title_leak(texts, [["boat"], ["flag"], ["flag", "boat"], []]) == 0.5
    assert title_leak([], []) == 0.0
    with pytest.raises(ValueError):
        title_leak(["a"], [])


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("A boat on the sea", ["boat"], "A on the sea"),
        ("Boat", ["boat"], ""),
        ("north north america america", ["north_america"], ""),
        ("dark_blue_boat-2", ["boat"], "dark_blue_ -2"),
        ("flag: France", ["flag"], "France"),
        ("A  spaced  text.", ["boat"], "A  spaced  text."),
    ],
)
def test_scrub(text: str, labels: list[str], expected: str):
    assert scrub(text, labels) == expected


_word = st.sampled_from(["a", "b", "Ab", "a_b", "b-a", "ß", "1", ".", " ", "É"])


@given(st.lists(_word).map("".join), st.lists(st.lists(_word).map("".join), max_size=3))
def test_scrub_leaves_no_label_and_only_takes_words_away(text: str, labels: list[str]):
    scrubbed = scrub(text, labels)
    assert title_leak([scrubbed], [labels]) == 0
    remaining = iter(words(text))
    assert all(word in remaining for word in words(scrubbed))  # a subsequence
    assert scrub(scrubbed, labels) == scrubbed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("saint_helena", "saint helena"),
        ("Pen &amp;amp; Pencil", "Pen & Pencil"),
        ("Gelato all&amp;#39;italiana", "Gelato all'italiana"),
        ("  two\n lines\t", "two lines"),
        ("bee, write to an.author@example.co.uk", "bee, write to"),
        ("converted from  http://aiga.org", "converted from"),
        ("Mikol\x9a", "Mikol"),
        ("", ""),
    ],
)
def test_clean(text: str, expected: str):
    assert clean(text) == expected


@given(st.text())
def test_clean_is_one_line_without_underscores(text: str):
    cleaned = clean(text)
    assert cleaned == " ".join(cleaned.split())
    assert cleaned.isprintable()
    assert "_" not in cleaned
