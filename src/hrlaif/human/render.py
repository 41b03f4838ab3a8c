"""How is a text of unknown origin shown? As Markdown, code and math, with nothing in it alive.

Raw HTML is escaped, images become their description, links become text beside their address, math
becomes MathML, and a whitelist has the last word: no attribute but a style class survives. Code
that is not fenced keeps its indentation, and the signs that Markdown would take out of it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from typing import Any

import nh3
from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock, heading, paragraph
from markdown_it.rules_inline import StateInline, newline
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin

_TEXT = """p br hr em strong s del code pre blockquote ul ol li h1 h2 h3 h4 h5 h6 table thead tbody
tr th td span div mark"""
_MATH = """math mrow mi mn mo ms mtext mspace msup msub msubsup mfrac msqrt mroot mover munder
munderover mtable mtr mtd mstyle mpadded mphantom menclose mmultiscripts"""
_TAGS = {*_TEXT.split(), *_MATH.split()}
_ATTRIBUTES = {"span": {"class"}, "div": {"class"}, "math": {"display"}}
_LONGEST = 40_000
_TEX = re.compile(r"\\\((.{1,1000}?)\\\)|\\\[(.{1,1000}?)\\\]", re.S)
_WORDS = re.compile(r"\s+|[A-Za-z0-9_']+|[^A-Za-z0-9_'\s]")
_MOST_WORDS = 2_500
# Python's __init__ and 2**3, and a backslash at a line's end, are no emphasis and no line break.
_CODE = re.compile(r"__\w+__|(?<=[\w)\]])\*\*(?=[\w(])|\\(?=\n)", re.ASCII)


@lru_cache(maxsize=8192)
def shown(text: str, *, breaks: bool = True) -> str:
    """Safe HTML of a Markdown text; without `breaks`, a line's end and indentation are a space."""
    if len(text) > _LONGEST:  # Markdown of a huge text is slow; as plain text it is all there.
        return f'<div class="plain">{escape(text)}</div>'
    return nh3.clean(_markdown(breaks).render(text), tags=_TAGS, attributes=_ATTRIBUTES)


def difference(text: str, other: str) -> str:
    """The text as plain safe HTML; what the other does not have stands in <mark>."""
    mine, theirs = _pieces(text), _pieces(other)
    if max(len(mine), len(theirs)) > _MOST_WORDS:
        mine, theirs = text.splitlines(keepends=True), other.splitlines(keepends=True)
    matcher = difflib.SequenceMatcher(None, mine, theirs, autojunk=len(mine) > _MOST_WORDS)
    parts = []
    for kind, begin, end, _, _ in matcher.get_opcodes():
        piece = escape("".join(mine[begin:end]))
        parts.append(piece if kind in ("equal", "insert") or not piece else f"<mark>{piece}</mark>")
    return f'<div class="plain">{"".join(parts)}</div>'


def _pieces(text: str) -> list[str]:
    return _WORDS.findall(text)


@lru_cache(maxsize=2)
def _markdown(breaks: bool) -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "breaks": breaks, "maxNesting": 40})
    markdown.enable(["table", "strikethrough"])
    markdown.use(dollarmath_plugin, renderer=_math, allow_digits=False, double_inline=True)
    markdown.inline.ruler.before("escape", "tex_brackets", _tex_brackets)
    markdown.add_render_rule("image", _image)
    markdown.add_render_rule("link_open", _link_open)
    markdown.add_render_rule("link_close", _link_close)
    markdown.add_render_rule("fence", _fence)
    if breaks:
        markdown.inline.ruler.at("newline", _newline)
        markdown.inline.ruler.before("escape", "code_signs", _code_signs)
        markdown.block.ruler.at("paragraph", _paragraph)
        markdown.block.ruler.at(
            "heading", _heading, {"alt": ["paragraph", "reference", "blockquote"]}
        )
        markdown.add_render_rule("indent", _indent)
        markdown.add_render_rule("code_block", _code_block)
    return markdown


def _newline(state: StateInline, silent: bool) -> bool:
    """A line's end, and the spaces that begin the next line, which Markdown would drop."""
    begin = state.pos + 1
    if not newline(state, silent):
        return False
    if not silent and state.pos > begin:
        state.push("indent", "span", 0).content = state.src[begin : state.pos]
    return True


def _code_signs(state: StateInline, silent: bool) -> bool:
    found = _CODE.match(state.src, state.pos)
    if found is None:
        return False
    if not silent:
        state.pending += found[0]
    state.pos = found.end()
    return True


def _paragraph(state: StateBlock, begin: int, end: int, silent: bool) -> bool:
    """A paragraph whose first line keeps its indentation too, unless it is in a list."""
    inside = len(state.tokens) + 1
    done = paragraph(state, begin, end, silent)
    if state.blkIndent == 0 and (spaces := " " * state.sCount[begin]):
        state.tokens[inside].children = [Token("indent", "span", 0, content=spaces)]
    return done


def _heading(state: StateBlock, begin: int, end: int, silent: bool) -> bool:
    """A heading is not indented: what is, is a comment in code."""
    return state.sCount[begin] == state.blkIndent and heading(state, begin, end, silent)


def _indent(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return f'<span class="indent">{tokens[index].content}</span>'


def _code_block(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any
) -> str:
    """Indented lines after an empty one: of one piece with those before it."""
    lines = "\n".join(f"    {line}" for line in tokens[index].content.rstrip("\n").split("\n"))
    return f'<div class="plain">{escape(lines)}</div>\n'


def _math(source: str, options: dict[str, Any]) -> str:
    try:
        found: str = convert(source, display="block" if options.get("display_mode") else "inline")
    except Exception:  # the converter raises whatever its parser meets; the source is then shown
        return f"<code>{escape(source)}</code>"
    return found


def _tex_brackets(state: Any, silent: bool) -> bool:
    r"""`\(...\)` and `\[...\]`, which Markdown would take for escaped brackets."""
    found = _TEX.match(state.src, state.pos)
    if found is None:
        return False
    if not silent:
        token = state.push("math_inline" if found[1] else "math_inline_double", "math", 0)
        token.content = found[1] or found[2]
    state.pos = found.end()
    return True


def _image(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return f'<span class="picture">[picture: {escape(tokens[index].content)}]</span>'


def _link_open(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any
) -> str:
    env.setdefault("links", []).append(str(tokens[index].attrGet("href") or ""))
    return '<span class="link">'


def _link_close(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any
) -> str:
    target = env["links"].pop()
    text = tokens[index - 1].content if index else ""
    return "</span>" if text == target else f"</span> ({escape(target)})"


def _fence(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return f"<pre><code>{escape(tokens[index].content)}</code></pre>\n"
