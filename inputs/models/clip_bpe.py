"""CLIP's byte-level BPE, learned from a small corpus: vocab.json and merges.txt in the layout of OpenAI's.

Ids: 256 byte symbols, the same with `</w>` (end of word), one per merge, `<|startoftext|>`, `<|endoftext|>`. Words are
what CLIP's tokenizer splits: lower case, letters together, digits singly, other signs together.
"""

import json
from collections import Counter
from pathlib import Path

import regex

START, END = "<|startoftext|>", "<|endoftext|>"
WORD = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")


def byte_symbols() -> list[str]:
    """A printable character for each byte, in GPT-2's order: printable Latin-1 stands for itself, the rest follows from
    U+0100 on."""
    itself = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    moved = [byte for byte in range(256) if byte not in itself]
    return [chr(byte) for byte in itself] + [chr(256 + n) for n in range(len(moved))]


def symbol_of_byte() -> dict[int, str]:
    symbols = byte_symbols()
    itself = [ord(symbol) for symbol in symbols if ord(symbol) < 256]
    moved = [byte for byte in range(256) if byte not in itself]
    return dict(zip([*itself, *moved], symbols, strict=True))


def learn_clip_bpe(texts: Counter, merges_wanted: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """The usual greedy merges, ties by spelling. `texts` counts each text."""
    to_symbol = symbol_of_byte()
    words: Counter = Counter()
    for text, count in texts.items():
        for word in WORD.findall(text.lower()):
            symbols = [to_symbol[byte] for byte in word.encode()]
            words[(*symbols[:-1], symbols[-1] + "</w>")] += count

    merges: list[tuple[str, str]] = []
    while len(merges) < merges_wanted:
        pairs: Counter = Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        if pairs[best] < 2:
            break
        merges.append(best)
        words = Counter({merged(word, best): count for word, count in words.items()})

    alphabet = byte_symbols()
    names = [*alphabet, *(symbol + "</w>" for symbol in alphabet), *(a + b for a, b in merges), START, END]
    vocabulary = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return vocabulary, merges


def merged(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    out: list[str] = []
    i = 0
    while i < len(word):
        if word[i : i + 2] == pair:
            out.append(word[i] + word[i + 1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return tuple(out)


def write_clip_tokenizer(folder: Path, vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> None:
    def write(name: str, content: dict, **options) -> None:
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, **options) + "\n", encoding="utf-8")

    write("vocab.json", vocabulary)
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges), encoding="utf-8")
    special = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}
    write("special_tokens_map.json", special, indent=2)
    write(
        "tokenizer_config.json",
        special | {
            "add_prefix_space": False, "do_lower_case": True, "errors": "replace", "model_max_length": 77,
            "tokenizer_class": "CLIPTokenizer",
        },
        indent=2,
    )
