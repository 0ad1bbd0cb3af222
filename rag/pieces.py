"""Stage 3: a block too long for a chunk → pieces that fit (langchain-text-splitters lives here)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rag.text import plain_text, sentence_spans
from rag.types import Block, Document

SEPARATORS = ["\n\n", "\n", "。", "．", "！", "？", "；", "、", "，", ">", " ", "\u3000", ""]
MAX_CHARS_PER_TOKEN = 8
"""Mark-up is not embedded, but no chunk is a page of it either."""
MIN_PART_CHARS = 40
"""Shorter sentences are counted together with the next ones."""
TokenCounter = Callable[[Sequence[str]], list[int]]


def sentences_of(text: str) -> list[tuple[int, int, str]]:
    """(start, end, text as a reader sees it) of each sentence that shows anything."""
    return [
        (start, end, readable)
        for start, end in sentence_spans(text)
        if (readable := plain_text(text[start:end]))
    ]


def readable_text(text: str) -> str:
    """The text as it is embedded: a sentence a line, without mark-up."""
    return "\n".join(readable for _, _, readable in sentences_of(text))


def token_sizes(texts: Sequence[str], count_tokens: TokenCounter) -> list[int]:
    """Tokens of each text as it is embedded, without what every text has: prefix, end token."""
    empty, *counts = count_tokens(["", *map(readable_text, texts)])
    return [
        max(count - empty, len(" ".join(text.split())) // MAX_CHARS_PER_TOKEN, 1)
        for text, count in zip(texts, counts, strict=True)
    ]


def split_block(
    document: Document, block: Block, room: int, count_tokens: TokenCounter
) -> Iterator[tuple[Block, int]]:
    """(piece, tokens) of a block too long by itself; each is owned by what the block is."""
    text = document.text[block.start_index : block.end_index]
    starts = [0]
    for start, _ in sentence_spans(text):
        if start - starts[-1] >= max(min(room // 2, MIN_PART_CHARS), 1):
            starts.append(start)
    sentences = [text[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]
    parts: list[str] = []
    sizes: list[int] = []
    for sentence, size in zip(sentences, token_sizes(sentences, count_tokens), strict=True):
        pieces = [sentence] if size <= room else _split_sentence(sentence, room, size)
        parts.extend(pieces)
        sizes.extend(max(size * len(piece) // len(sentence), 1) for piece in pieces)
    position = block.start_index
    for first, last in pack(sizes, room):
        length = sum(map(len, parts[first : last + 1]))
        yield Block(position, position + length, block.owners), sum(sizes[first : last + 1])
        position += length


def _split_sentence(sentence: str, room: int, size: int) -> list[str]:
    """Consecutive pieces that make the sentence up again, of about `room` of its `size` tokens."""
    from langchain_text_splitters import RecursiveCharacterTextSplitter  # slow, and seldom needed

    splitter = RecursiveCharacterTextSplitter(
        separators=SEPARATORS,
        keep_separator="end",
        chunk_size=max(room * len(sentence) // size, 1),
        chunk_overlap=0,
        strip_whitespace=False,
    )
    parts = splitter.split_text(sentence)
    if "".join(parts) == sentence:
        return parts
    step = max(room * len(sentence) // size, 1)
    return [sentence[start : start + step] for start in range(0, len(sentence), step)]


def pack(sizes: Sequence[int], room: int) -> Iterator[tuple[int, int]]:
    """(first, last) of runs that fit into `room` and are about equally large."""
    total = sum(sizes)
    wanted = total / max(1, -(-total // room))
    first, filled = 0, 0
    for index, size in enumerate(sizes):
        if filled and (filled + size > room or filled + size / 2 > wanted):
            yield first, index - 1
            first, filled = index, 0
        filled += size
    if sizes:
        yield first, len(sizes) - 1
