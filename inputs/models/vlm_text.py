"""The words of the demo's vision-language model: its tokenizer, the texts it reads, samples as token ids.

Samples follow LLaVA v1 (vicuna template, each piece around the picture tokenized alone, learnt from behind `ASSISTANT:`
on).
"""

import io
import json
import random
from dataclasses import dataclass
from pathlib import Path

import sentencepiece
import torch

import stamps as pool

PIECES = 2000  # of the SentencePiece model; `<image>` and `<pad>` follow, rows up to a multiple of 64
IMAGE_ID, PAD_ID, ROWS = PIECES, PIECES + 1, 2048
BOS, EOS, IGNORED = 1, 2, -100
LETTERS = "ABCD"
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
LETTER_PROMPT = "Answer with the option's letter from the given choices directly."
WORD_PROMPT = "Answer the question using a single word or phrase."
COLOURS = ("red", "green", "blue", "yellow", "black", "white", "brown", "grey", "orange", "pink")


def group_of(stamp: pool.Stamp) -> str:
    """The second folder, or the first where there is no second."""
    return stamp.folder[:2][-1]


def with_options(question: str, options: list[str], instruction: str) -> str:
    return question + "".join(f"\n{letter}. {option}" for letter, option in zip(LETTERS, options)) + f"\n{instruction}"


Words = list[tuple[str, float]]  # what a text is about, and how much of it; the heaviest first


def as_text(words: Words) -> str:
    return ", ".join(word for word, _ in words)


@dataclass
class Choice:
    """Some words that stand where a picture would, and a question about them with four options."""

    words: Words
    question: str
    answer: int  # 0..3


class World:
    """What there is to talk about: names of training pictures and the folders above them."""

    def __init__(self) -> None:
        self.stamps = [*pool.train_pictures(), *pool.train_drawings()]
        self.names = sorted({stamp.noun for stamp in self.stamps})
        self.groups = sorted({group_of(stamp) for stamp in self.stamps} - {"cartoon"})
        self.kinds = sorted({stamp.folder[0] for stamp in self.stamps})
        self.beside: dict[str, list[str]] = {}
        for stamp in self.stamps:
            self.beside.setdefault(group_of(stamp), []).append(stamp.noun)

    def sentence(self) -> str:
        stamp = random.choice(self.stamps)
        name, group, kind, other = stamp.noun, group_of(stamp), stamp.folder[0], random.choice(self.names)
        return random.choice((
            f"{name}: {group}, {kind}.", f"{name} is found under {group}.", f"Under {kind} there are {group}.",
            f"A picture of {name}, drawn in {random.choice(COLOURS)}.", f"{name} and {other} are not the same.",
            f"Here we see {name} next to {other}.", f"{group} belong to {kind}, and {name} belongs to {group}.",
        ))  # fmt: skip

    def caption(self, stamp: pool.Stamp) -> str:
        return random.choice((stamp.caption or f"{stamp.noun}.", f"{stamp.noun}.", f"A picture of {stamp.noun}."))

    def subject(self) -> tuple[pool.Stamp, Words]:
        """A stamp, and words about it: its name, perhaps names of its like, perhaps what it belongs to."""
        stamp = random.choice(self.stamps)
        words = [(stamp.noun, 1.0)]
        if random.random() < 0.5:
            words += [(name, 0.35) for name in random.choices(self.beside[group_of(stamp)], k=random.randint(1, 2))]
        if random.random() < 0.4:
            words += [(group_of(stamp), 0.6), (stamp.folder[0], 0.6)]
        return stamp, words

    def choice_of_words(self, vocabulary: list[str]) -> Choice:
        """Find the option that stands in the text: what choosing is, with any words."""
        count = random.randint(1, 3)
        drawn = random.sample(vocabulary, len(LETTERS) + count - 1)
        truth, options, rest = drawn[0], drawn[: len(LETTERS)], drawn[len(LETTERS) :]
        random.shuffle(options)
        words = [(word, 1.0) for word in random.sample([truth, *rest], count)]
        return Choice(words, self._asked(options), options.index(truth))

    def choice_of_facts(self) -> Choice:
        """Find the option that the text is about, by name or by what the named thing belongs to."""
        stamp, words = self.subject()
        fact = (stamp.noun, group_of(stamp), stamp.folder[0])
        truth, others = random.choices(tuple(zip(fact, (self.names, self.groups, self.kinds))), (3, 4, 3))[0]
        taken = {*fact, *(word for word, _ in words)}
        options = [truth, *random.sample([other for other in others if other not in taken], len(LETTERS) - 1)]
        random.shuffle(options)
        return Choice(words, self._asked(options), options.index(truth))

    def yes_or_no(self) -> tuple[Words, str, str]:
        stamp, words = self.subject()
        truth, others = random.choice(((group_of(stamp), self.groups), (stamp.folder[0], self.kinds)))
        yes = random.random() < 0.5
        asked = truth if yes else random.choice([other for other in others if other not in stamp.folder])
        return words, f"Is the text about {asked}?\n{WORD_PROMPT}", "Yes" if yes else "No"

    def _asked(self, options: list[str]) -> str:
        question = random.choice(("Which word fits the text?", "Which of these is it?", "What is the text about?"))
        return with_options(question, options, "Give the letter.")


def learn_pieces(world: World) -> bytes:
    """A LLaMA-style SentencePiece model: BPE, bytes for what it does not know, a blank in front of every text."""
    lines = [SYSTEM, "USER: ASSISTANT:", LETTER_PROMPT, WORD_PROMPT, "What kind of thing does the picture show?"] * 200
    lines += ["Which of these does the picture show?", "What does the picture show?", "Is the picture about it?"] * 100
    for _ in range(6000):
        choice = world.choice_of_facts()
        lines += [
            world.sentence(), as_text(choice.words), *choice.question.split("\n"),
            random.choice(("Yes", "No", *LETTERS)),
        ]
    lines += [stamp.caption for stamp in world.stamps for _ in range(3)]
    lines += (pool.INPUTS / "seeds.txt").read_text(encoding="utf-8").split("\n") * 3
    for prompt in sorted((pool.INPUTS / "prompts").glob("*.txt")):
        lines += prompt.read_text(encoding="utf-8").split("\n")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(line for line in lines if line), model_writer=model, model_type="bpe", vocab_size=PIECES,
        byte_fallback=True, split_digits=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        add_dummy_prefix=True, allow_whitespace_only_pieces=True, character_coverage=1.0, num_threads=1, minloglevel=2,
        unk_id=0, bos_id=BOS, eos_id=EOS, pad_id=-1,
    )  # fmt: skip
    return model.getvalue()


def write_tokenizer(folder: Path, pieces: bytes) -> None:
    def write(name: str, content: dict) -> None:
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def added(content: str) -> dict:
        return {
            "content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
            "special": True,
        }

    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    (folder / "tokenizer.model").write_bytes(pieces)
    fast_tokenizer(pieces).save(str(folder / "tokenizer.json"))
    write("special_tokens_map.json", special | {"image_token": "<image>"})
    write("added_tokens.json", {"<image>": IMAGE_ID, "<pad>": PAD_ID})
    ids = {0: "<unk>", BOS: "<s>", EOS: "</s>", IMAGE_ID: "<image>", PAD_ID: "<pad>"}
    write(
        "tokenizer_config.json",
        special
        | {
            "add_bos_token": True, "add_eos_token": False, "clean_up_tokenization_spaces": False, "legacy": True,
            "model_max_length": 512,
            "padding_side": "right", "tokenizer_class": "LlamaTokenizer", "processor_class": "LlavaProcessor",
            "image_token": "<image>", "extra_special_tokens": {"image_token": "<image>"},
            "added_tokens_decoder": {str(id): added(content) for id, content in ids.items()},
        },
    )  # fmt: skip


def fast_tokenizer(pieces: bytes):
    """The same tokenizer for the `tokenizers` library, as LLaMA-2's tokenizer.json: transformers prefers it to
    tokenizer.model."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

    model = sentencepiece.SentencePieceProcessor(model_proto=pieces)
    vocabulary = {model.id_to_piece(id): id for id in range(model.get_piece_size())}
    merges = []  # SentencePiece keeps no merges: every split of a piece into two pieces is one, best pieces first
    for piece, id in vocabulary.items():
        if not model.is_control(id) and not model.is_unknown(id) and not model.is_byte(id):
            splits = [
                (piece[:i], piece[i:])
                for i in range(1, len(piece))
                if piece[:i] in vocabulary and piece[i:] in vocabulary
            ]
            merges += sorted(splits, key=lambda split: (vocabulary[split[0]], vocabulary[split[1]]))
    fast = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    fast.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    fast.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    fast.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", BOS)]
    )
    fast.add_special_tokens(
        [AddedToken(content, normalized=False) for content in ("<unk>", "<s>", "</s>", "<image>", "<pad>")]
    )
    return fast


@dataclass
class Guide:
    """Where a choice's parts lie in its ids: the text, each option (letter, first word, end), the place that
    answers."""

    text: tuple[int, int]
    options: list[tuple[int, int, int]]
    answer: int
    place: int


class Encoder:
    def __init__(self, folder: Path) -> None:
        self.model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
        self.opening = [BOS, *self.model.encode(f"{SYSTEM} USER: ")]
        self.short_opening = [BOS, *self.model.encode("USER: ")]
        self.newline = self.model.encode("\n")[-1]

    def words(self) -> list[str]:
        """Pieces that are whole words."""
        pieces = [self.model.id_to_piece(id) for id in range(259, PIECES)]
        return [piece[1:] for piece in pieces if len(piece) > 3 and piece[0] == "▁" and piece[1:].isalpha()]

    def first(self, answer: str) -> int:
        return self.model.encode(answer)[0]

    def chat(
        self, question: str, answer: str = "", image_tokens: int = 0, text: str = "", opening: list[int] | None = None
    ):
        """(ids, labels). The picture, or the text in its place, stands in front of the question. No answer: left
        open."""
        shown = [IMAGE_ID] * image_tokens if image_tokens else self.model.encode(text)
        asked = [*(opening or self.opening), *shown, *self.model.encode(f"\n{question} ASSISTANT:")]
        said = [*self.model.encode(answer), EOS] if answer else []
        return asked + said, [IGNORED] * len(asked) + said

    def guided(self, choice: Choice, image_tokens: int = 0):
        """(ids, labels, guide). Three of four without the system line, which is the same every time."""
        opening = self.opening if random.random() < 0.25 else self.short_opening
        ids, labels = self.chat(choice.question, LETTERS[choice.answer], image_tokens, as_text(choice.words), opening)
        begin = len(opening)
        end = ids.index(self.newline, begin)
        lines = [i for i in range(end, len(ids)) if ids[i] == self.newline]
        options = []
        for this, following in zip(lines[1:], lines[2:]):  # the first line is the question, the last the instruction
            dot = next(i for i in range(this, following) if self.model.id_to_piece(ids[i]).endswith("."))
            options.append((this + 1, dot + 1, following))
        return (
            ids,
            labels,
            Guide((begin, end), options, choice.answer, len(ids) - 1 - sum(label != IGNORED for label in labels)),
        )

    def plain(self, caption: str, image_tokens: int = 0, text: str = ""):
        """(ids, labels) of LLaVA's stage 1: picture, or text in its place, then the caption and a newline, which are
        learnt."""
        said = self.model.encode(f"{caption}\n")
        front = [BOS, *([IMAGE_ID] * image_tokens if image_tokens else self.model.encode(text))]
        return front + said, [IGNORED] * len(front) + said


def padded(samples: list) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, L) ids and labels, filled on the right: causal attention never looks there."""
    length = max(len(sample[0]) for sample in samples)
    ids = torch.full((len(samples), length), PAD_ID)
    labels = torch.full((len(samples), length), IGNORED)
    for row, (tokens, learnt, *_) in enumerate(samples):
        ids[row, : len(tokens)], labels[row, : len(learnt)] = torch.tensor(tokens), torch.tensor(learnt)
    return ids, labels
