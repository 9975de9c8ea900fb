"""Text that others wrote, on its way to people: every format escapes by itself; what no format may carry ends here."""

import re

# What no eye sees and a terminal or an editor obeys: control characters, C0 but the end of a line, and C1; formats,
# of which some turn the order of letters around; separators of lines; halves of characters, which no file can hold.
CONTROL = re.compile(
    "[\0-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb\ufffe\uffff"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)
BREAK = re.compile("[\t-\r\x85\u2028\u2029]+")


def printable(text: str) -> str:
    """Text whose control characters are shown by their numbers, as \\x1b or \\u202e; lines stay lines."""
    return CONTROL.sub(lambda found: numbered(ord(found[0])), text)


def one_line(text: str, most: int | None = None) -> str:
    """`printable` text with spaces for its line breaks and tabs; with an ellipsis for what is beyond `most` letters."""
    if most is not None and len(text) > most:
        text = text[: most - 1] + "…"
    return printable(BREAK.sub(" ", text))


def numbered(code: int) -> str:
    """A character by its number, as Python writes it."""
    return (
        f"\\x{code:02x}"
        if code < 0x100
        else f"\\u{code:04x}"
        if code < 0x10000
        else f"\\U{code:08x}"
    )
