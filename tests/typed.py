"""Texts as somebody might type them."""

from hypothesis import strategies as st

# Any text of one line, with more of the characters that Hydra's grammar uses.
typed = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]) | st.sampled_from("=,.:[]{}()\"'\\$~+@#/ "))
