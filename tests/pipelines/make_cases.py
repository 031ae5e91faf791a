#!/usr/bin/env python3
"""Makes tests/pipelines/fixtures with the real pipelines of transformers:

    tests/pipelines/make_cases.py [NAME...]

Every fixture is a directory with a tiny model of one architecture (its tensors as formulas, see tests/golden/README.md),
a tokenizer trained on the sentences below, and cases.jsonl. A row is one call of one pipeline:

    {"task": ..., "inputs": ..., "kwargs": {...}, "expected": ...}     or "error": the exception's text

The weights of the heads are larger than usual, so that no two scores lie so close that rounding could swap them.
cases.jsonl of minilm is computed with the real all-MiniLM-L6-v2 (.deps/all-MiniLM-L6-v2) and sentence-transformers.

Needs transformers, sentence-transformers and torch (made with 4.57.6, 5.7.0, 2.15.0); building and testing do not.
"""

import copy
import dataclasses
import json
import math
import pathlib
import re
import shutil
import sys
import tempfile
import warnings

import numpy as np
import tokenizers
import torch
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = pathlib.Path(__file__).resolve().parent / "fixtures"
MINILM = ROOT / ".deps" / "all-MiniLM-L6-v2"
sys.path.insert(0, str(ROOT / "tests" / "golden" / "tools"))
import fixture_io  # noqa: E402

transformers.logging.set_verbosity_error()
warnings.filterwarnings("ignore")
torch.set_num_threads(1)

SENTENCES = [
    "The ferry to Helsinki leaves at half past nine.",
    "Anna Lindqvist bought three cameras in Malmö and sold two of them in Oslo.",
    "I did not like the film, but the music was wonderful!",
    "Why would anybody pay 1,250 euros for a broken bicycle?",
    "Rain is expected in the north; the south stays dry and warm.",
    "Dr. Okafor works for the Institute of Marine Biology in Lagos.",
    "The committee will meet again on Thursday, 14 March.",
    "Übermut tut selten gut, sagte die Großmutter aus Köln.",
    "El niño comió una manzana en la plaza de Sevilla.",
    "Le café près de la gare de Montréal est fermé.",
    "Переводчик живёт в Казани и работает в Москве.",
    "東京の天気は晴れです。",
    "She'd never seen the sea before; it's bigger than she'd thought.",
    "Engine No. 4 failed at 03:20, so the crew of the Aurora returned to Bergen.",
    "Good coffee, bad service, terrible prices.",
    "A quick brown fox jumps over the lazy dog.",
    "The old library holds more than forty thousand books about the history of navigation.",
    "No tickets were left for the concert in Vienna.",
    "Send the report to maria@example.org before Friday.",
    "My neighbour Yusuf repairs violins 🎻 and sings in the choir.",
]
LONG = (
    "The harbour of Norvik was built in 1887 by the engineer Ingrid Solberg. At first it served only the fishing boats of"
    " the village. In 1923 a shipyard was founded by two brothers, Olaf and Henrik Dahl, who had learned their trade in"
    " Hamburg. The yard built forty-one ships before it closed in 1961. Today the old crane is a museum, and the pier is"
    " used by the ferry to Aldersund, which sails twice a day in summer. Every August the town celebrates the Day of the"
    " Sea with a regatta, a concert and far too much fried herring. The mayor, Sofia Berg, wants to build a new pier for"
    " larger ships, but the people of Norvik are not convinced."
)
CONTEXT = (
    "Café Zoë stands in the Rue de l'Église in Montréal. Its owner, Zoë Tremblay, bakes the bread herself every morning at"
    " four o'clock; the croissants cost 2.50 dollars."
)


# ---- Tokenizers, trained on the sentences ---------------------------------------------------------------------------


def corpus() -> list[str]:
    return [*SENTENCES, LONG, CONTEXT, "This example is about travel, music, food, weather, business or politics."]


def word_piece() -> tuple[transformers.PreTrainedTokenizerFast, int]:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(
        corpus(), trainers.WordPieceTrainer(vocab_size=500, special_tokens=special, show_progress=False, limit_alphabet=60)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.BertTokenizerFast(tokenizer_object=tokenizer), tokenizer.get_vocab_size()


def byte_level() -> tuple[transformers.PreTrainedTokenizerFast, int]:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=800,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return transformers.RobertaTokenizerFast(tokenizer_object=tokenizer), tokenizer.get_vocab_size()


def unigram() -> tuple[transformers.PreTrainedTokenizerFast, int]:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = tokenizers.Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(tokenizers.Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=500, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return transformers.XLMRobertaTokenizerFast(tokenizer_object=tokenizer), tokenizer.get_vocab_size()


TOKENIZERS = {
    "bert": word_piece,
    "convbert": word_piece,
    "distilbert": word_piece,
    "longformer": byte_level,
    "roberta": byte_level,
    "xlm-roberta": unigram,
}
TOKENIZER_CLASSES = {
    "convbert": transformers.ConvBertTokenizerFast,
    "distilbert": transformers.DistilBertTokenizerFast,
    "longformer": transformers.LongformerTokenizerFast,
}

# ---- Models ---------------------------------------------------------------------------------------------------------

POSITIONS = 96


def config_of(model_type: str, vocab_size: int, **more) -> transformers.PretrainedConfig:
    sizes = {
        "vocab_size": vocab_size,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": POSITIONS,
    }
    if model_type == "distilbert":
        sizes = {
            "vocab_size": vocab_size,
            "dim": 32,
            "n_layers": 2,
            "n_heads": 4,
            "hidden_dim": 48,
            "max_position_embeddings": POSITIONS,
        }
    if model_type == "convbert":
        more = {"embedding_size": 16, "conv_kernel_size": 3, **more}
    if model_type == "longformer":
        more = {"attention_window": 8, "sep_token_id": 2, **more}
    if model_type in ("longformer", "roberta", "xlm-roberta"):  # positions begin behind the padding token's id
        sizes.update(max_position_embeddings=POSITIONS + 2, type_vocab_size=1)
        more = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, **more}
    return transformers.AutoConfig.for_model(model_type, **{**sizes, **more})


HEADS = re.compile(r"^(classifier|qa_outputs|pre_classifier|vocab_projector|cls\.|lm_head)")


def weights_of(model: torch.nn.Module, head_scale: float, seed: str) -> list[dict]:
    """Entries as in tests/golden. The name of a tensor decides its values, so `seed` turns the scale a little."""
    turn = 1 + (sum(seed.encode()) % 64) / 256
    state = model.state_dict()
    tied = set(getattr(model, "_tied_weights_keys", None) or [])
    entries = []
    for name in sorted(state):
        tensor = state[name]
        if name in tied or tensor.dtype != torch.float32:
            continue
        if tensor.ndim >= 2:
            fan_in = int(np.prod(tensor.shape[1:]))
            scale, offset = math.sqrt(3.0 / fan_in) * turn, 0.0
            if HEADS.match(name):
                scale *= head_scale
        elif "norm" in name.lower() and name.endswith("weight"):
            scale, offset = 0.1, 1.0
        else:
            scale, offset = 0.1, 0.0
        scale = float(np.float32(scale))
        entries.append({"name": name, "shape": list(tensor.shape), "dtype": "F32", "scale": scale, "offset": offset})
    return entries


# ---- Fixtures and their cases ---------------------------------------------------------------------------------------


@dataclasses.dataclass
class Fixture:
    model_type: str
    model_class: str  # BertForSequenceClassification without "Bert"
    task: str  # of the export
    config: dict
    cases: list  # (pipeline, inputs, kwargs)
    head_scale: float = 3.0
    tokenizer: dict = dataclasses.field(default_factory=dict)  # arguments of the tokenizer


def labels(*names: str) -> dict:
    return {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}


TEXTS = [SENTENCES[i] for i in (0, 2, 7, 11, 14, 19)]
MANY = SENTENCES + [" ".join(SENTENCES[i : i + 2]) for i in range(0, 4)]
CLASSIFY = "text-classification"
NER = "token-classification"
QA = "question-answering"
FILL = "fill-mask"
FEATURES = "feature-extraction"
ZERO_SHOT = "zero-shot-classification"

classification_cases = [
    *((CLASSIFY, text, {}) for text in TEXTS[:3]),
    (CLASSIFY, "", {}),
    (CLASSIFY, [], {}),
    (CLASSIFY, TEXTS, {}),
    (CLASSIFY, MANY, {}),
    (CLASSIFY, TEXTS[0], {"top_k": 1}),
    (CLASSIFY, TEXTS[0], {"top_k": 2}),
    (CLASSIFY, TEXTS[:2], {"top_k": 2}),
    (CLASSIFY, TEXTS[0], {"top_k": None}),
    (CLASSIFY, TEXTS, {"top_k": None}),
    (CLASSIFY, TEXTS[0], {"top_k": 99}),
    (CLASSIFY, TEXTS[0], {"return_all_scores": True}),
    (CLASSIFY, TEXTS[0], {"return_all_scores": False}),
    *((CLASSIFY, TEXTS[1], {"function_to_apply": name, "top_k": None}) for name in ("none", "softmax", "sigmoid")),
    (CLASSIFY, TEXTS[1], {"function_to_apply": "none"}),
    (CLASSIFY, {"text": TEXTS[0], "text_pair": TEXTS[1]}, {}),
    (CLASSIFY, {"text": TEXTS[0]}, {}),
    (CLASSIFY, [{"text": TEXTS[0], "text_pair": TEXTS[1]}, {"text": TEXTS[2], "text_pair": ""}], {"top_k": None}),
    (CLASSIFY, [[[TEXTS[0], TEXTS[1]]]], {}),
    (CLASSIFY, [[TEXTS[0], TEXTS[1]]], {}),
    (CLASSIFY, LONG, {"truncation": True, "max_length": 48}),
    (CLASSIFY, {"text": LONG, "text_pair": TEXTS[0]}, {"truncation": "only_first", "max_length": 60}),
    (CLASSIFY, LONG, {}),
    (CLASSIFY, TEXTS[0], {"function_to_apply": "tanh"}),
]


def token_cases(long_texts: bool) -> list:
    strategies = ("none", "simple", "first", "average", "max")
    cases = [(NER, text, {"aggregation_strategy": name}) for text in SENTENCES[::2] for name in strategies]
    cases += [(NER, text, {"aggregation_strategy": name, "ignore_labels": []}) for text in TEXTS for name in strategies]
    cases += [
        (NER, TEXTS[1], {}),
        (NER, SENTENCES[:4], {}),
        (NER, SENTENCES[:4], {"aggregation_strategy": "simple", "ignore_labels": ["PER", "O"]}),
        (NER, TEXTS[1], {"ignore_labels": ["B-PER", "I-LOC"]}),
        (NER, "", {}),
        (NER, [], {}),
        (NER, ["", TEXTS[0]], {"aggregation_strategy": "simple"}),
        (NER, "  leading and  double  spaces ", {"aggregation_strategy": "first", "ignore_labels": []}),
        (NER, SENTENCES[1].split(), {"is_split_into_words": True, "aggregation_strategy": "simple"}),
        (NER, SENTENCES[1].split(), {"is_split_into_words": True, "aggregation_strategy": "first", "ignore_labels": []}),
        (NER, SENTENCES[1].split(), {"is_split_into_words": True, "delimiter": "--", "ignore_labels": []}),
        (
            NER,
            [SENTENCES[i].split() for i in (0, 7)],
            {"is_split_into_words": True, "aggregation_strategy": "max", "ignore_labels": []},
        ),
        (NER, TEXTS[0], {"aggregation_strategy": "median"}),
    ]
    if long_texts:
        cases += [(NER, LONG, {"aggregation_strategy": name}) for name in strategies]
        cases += [
            (NER, LONG, {"aggregation_strategy": name, "stride": stride})
            for name in strategies[1:]
            for stride in (0, 8, 20)
        ]
        cases += [
            (NER, [LONG, TEXTS[0], LONG + " " + CONTEXT], {"aggregation_strategy": "simple", "stride": 10}),
            (NER, LONG, {"aggregation_strategy": "simple", "stride": 8, "ignore_labels": []}),
            (NER, LONG, {"aggregation_strategy": "none", "stride": 8}),
            (NER, LONG, {"aggregation_strategy": "simple", "stride": 1000}),
        ]
    return cases


def question(text: str, context: str) -> dict:
    return {"question": text, "context": context}


def question_cases() -> list:
    questions = ["Who built the harbour?", "When was the shipyard founded?", "What costs 2.50 dollars?", "Where is Café Zoë?"]
    cases = [(QA, question(text, context), {}) for text in questions for context in (LONG, CONTEXT)]
    long_question = question(questions[0], LONG)
    short_question = question(questions[3], CONTEXT)
    for kwargs in (
        {"top_k": 5},
        {"top_k": 3, "max_answer_len": 3},
        {"max_answer_len": 1},
        {"max_answer_len": 40, "top_k": 4},
        {"align_to_words": False},
        {"align_to_words": False, "top_k": 4},
        {"handle_impossible_answer": True},
        {"handle_impossible_answer": True, "top_k": 6},
        {"doc_stride": 8},
        {"doc_stride": 20, "max_seq_len": 70, "top_k": 3},
        {"max_seq_len": 60},
        {"max_seq_len": 20},
        {"max_question_len": 3},
        {"top_k": 0},
        {"max_answer_len": 0},
        {"doc_stride": 100, "max_seq_len": 50},
    ):
        cases += [(QA, long_question, kwargs), (QA, short_question, kwargs)]
    cases += [
        (QA, question(SENTENCES[10], SENTENCES[10] + " " + SENTENCES[11]), {"top_k": 2}),
        (QA, question("Who?", SENTENCES[19]), {"top_k": 3}),
        (QA, question("Who?", "  Anna \n and\tBo  "), {}),
        (QA, [long_question, short_question], {}),
        (QA, [short_question], {}),
        (QA, {"question": [questions[0], questions[2]], "context": [LONG, CONTEXT]}, {}),
        (QA, question("", CONTEXT), {}),
        (QA, question("Who?", ""), {}),
        (QA, {"question": "Who?"}, {}),
        (QA, [], {}),
    ]
    return cases


def mask_cases(mask: str) -> list:
    one = [f"The ferry to {mask} leaves at half past nine.", f"Good {mask}, bad service.", mask, f"Le {mask} près de la gare"]
    two = f"A {mask} brown fox {mask} over the dog."
    return [
        *((FILL, text, {}) for text in one),
        (FILL, one, {}),
        (FILL, one[:1], {}),
        (FILL, two, {}),
        (FILL, two, {"top_k": 2}),
        (FILL, [one[0], two], {"top_k": 1}),
        (FILL, one[0], {"top_k": 1}),
        (FILL, one[0], {"top_k": 20}),
        (FILL, one[0], {"targets": ["the", "and"]}),
        (FILL, one[0], {"targets": "in"}),
        (FILL, one[0], {"targets": ["the", "Montreal", "unbelievable"], "top_k": 2}),
        (FILL, two, {"targets": ["the", "and", "of"], "top_k": 2}),
        (FILL, one[0], {"targets": []}),
        (FILL, "", {}),
        (FILL, "no mask in here", {}),
        (FILL, [one[0], "no mask in here"], {}),
        (FILL, [], {}),
        (FILL, one[0] + " " + LONG, {}),
        (FILL, one[0] + " " + LONG, {"tokenizer_kwargs": {"truncation": True, "max_length": 40}}),
        (FILL, LONG + " " + one[0], {"tokenizer_kwargs": {"truncation": True, "max_length": 40}}),
        (FILL, one[0], {"top_k": 100000}),
    ]


feature_cases = [
    (FEATURES, TEXTS[0], {}),
    (FEATURES, TEXTS[:3], {}),
    (FEATURES, "", {}),
    (FEATURES, [], {}),
    (FEATURES, LONG, {"truncation": True, "tokenize_kwargs": {"max_length": 12}}),
    (FEATURES, LONG, {}),
]


def zero_shot_cases() -> list:
    topics = ["travel", "music", "food", "weather"]
    return [
        (ZERO_SHOT, SENTENCES[0], {"candidate_labels": topics}),
        (ZERO_SHOT, SENTENCES[:3], {"candidate_labels": topics}),
        (ZERO_SHOT, SENTENCES[2:3], {"candidate_labels": "travel, music ,food,"}),
        (ZERO_SHOT, SENTENCES[4], {"candidate_labels": topics, "multi_label": True}),
        (ZERO_SHOT, SENTENCES[4], {"candidate_labels": ["weather"]}),
        (ZERO_SHOT, SENTENCES[7], {"candidate_labels": topics, "hypothesis_template": "Es geht um {}."}),
        (ZERO_SHOT, SENTENCES[7], {"candidate_labels": topics, "hypothesis_template": "{0} or {0} {{x}}"}),
        (ZERO_SHOT, LONG, {"candidate_labels": topics}),
        (ZERO_SHOT, LONG, {"candidate_labels": topics, "multi_label": True}),
        (ZERO_SHOT, SENTENCES[0], {"candidate_labels": []}),
        (ZERO_SHOT, SENTENCES[0], {"candidate_labels": topics, "hypothesis_template": "no place"}),
        (ZERO_SHOT, "", {"candidate_labels": topics}),
        (ZERO_SHOT, [], {"candidate_labels": topics}),
    ]


TAGS = labels("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG")
NLI = labels("contradiction", "neutral", "entailment")
LIMIT = {"model_max_length": POSITIONS}

FIXTURES_BY_NAME = {
    "bert_classifier": Fixture(
        "bert", "ForSequenceClassification", CLASSIFY, labels("negative", "neutral", "positive"), classification_cases
    ),
    "roberta_multi_label": Fixture(
        "roberta",
        "ForSequenceClassification",
        CLASSIFY,
        {"problem_type": "multi_label_classification", **labels("travel", "music", "food", "sport")},
        classification_cases,
        tokenizer=LIMIT,
    ),
    "distilbert_regression": Fixture(
        "distilbert",
        "ForSequenceClassification",
        CLASSIFY,
        {"problem_type": "regression", "num_labels": 1},
        classification_cases,
    ),
    "xlm-roberta_one_label": Fixture(
        "xlm-roberta", "ForSequenceClassification", CLASSIFY, {"num_labels": 1}, classification_cases
    ),
    "bert_tagger": Fixture("bert", "ForTokenClassification", NER, TAGS, token_cases(True), tokenizer=LIMIT),
    "roberta_tagger": Fixture(
        "roberta",
        "ForTokenClassification",
        NER,
        TAGS,
        token_cases(True),
        tokenizer={**LIMIT, "add_prefix_space": True},
    ),
    "xlm-roberta_tagger": Fixture(
        "xlm-roberta", "ForTokenClassification", NER, labels("O", "PER", "LOC", "I-ORG"), token_cases(True), tokenizer=LIMIT
    ),
    "distilbert_reader": Fixture("distilbert", "ForQuestionAnswering", QA, {}, question_cases(), 4.0, LIMIT),
    "roberta_reader": Fixture("roberta", "ForQuestionAnswering", QA, {}, question_cases(), 4.0, LIMIT),
    "xlm-roberta_reader": Fixture("xlm-roberta", "ForQuestionAnswering", QA, {}, question_cases(), 4.0, LIMIT),
    "bert_left_reader": Fixture(
        "bert", "ForQuestionAnswering", QA, {}, question_cases(), 4.0, {**LIMIT, "padding_side": "left"}
    ),
    # Some of the question's tokens attend to all others.
    "longformer_reader": Fixture("longformer", "ForQuestionAnswering", QA, {}, question_cases()[:14], 4.0, LIMIT),
    "longformer_classifier": Fixture(
        "longformer",
        "ForSequenceClassification",
        CLASSIFY,
        labels("negative", "neutral", "positive"),
        classification_cases[:10],
        tokenizer=LIMIT,
    ),
    # Padding would change what its convolution gives.
    "convbert_classifier": Fixture(
        "convbert",
        "ForSequenceClassification",
        CLASSIFY,
        labels("negative", "neutral", "positive"),
        classification_cases[:10],
        tokenizer=LIMIT,
    ),
    "bert_masked": Fixture("bert", "ForMaskedLM", FILL, {}, mask_cases("[MASK]"), tokenizer=LIMIT),
    "roberta_masked": Fixture("roberta", "ForMaskedLM", FILL, {}, mask_cases("<mask>"), tokenizer=LIMIT),
    "xlm-roberta_masked": Fixture("xlm-roberta", "ForMaskedLM", FILL, {}, mask_cases("<mask>"), tokenizer=LIMIT),
    "bert_features": Fixture("bert", "Model", FEATURES, {"hidden_size": 8}, feature_cases, tokenizer=LIMIT),
    "bert_nli": Fixture("bert", "ForSequenceClassification", CLASSIFY, NLI, zero_shot_cases(), tokenizer=LIMIT),
    "roberta_nli": Fixture(
        "roberta",
        "ForSequenceClassification",
        CLASSIFY,
        labels("Entailment", "neutral", "contradiction"),
        zero_shot_cases(),
        tokenizer=LIMIT,
    ),
    "distilbert_nli_unlabelled": Fixture(
        "distilbert", "ForSequenceClassification", CLASSIFY, {"num_labels": 3}, zero_shot_cases()[:5], tokenizer=LIMIT
    ),
}


def make_tokenizer(fixture: Fixture, directory: pathlib.Path) -> int:
    tokenizer, vocab_size = TOKENIZERS[fixture.model_type]()
    tokenizer_class = TOKENIZER_CLASSES.get(fixture.model_type, type(tokenizer))
    tokenizer.save_pretrained(directory)
    # Loaded and saved again, so that the arguments act as they do for a user.
    tokenizer_class.from_pretrained(directory, **fixture.tokenizer).save_pretrained(directory)
    for name in ("vocab.txt", "vocab.json", "merges.txt", "added_tokens.json"):
        (directory / name).unlink(missing_ok=True)
    return vocab_size


def rounded(value):
    """Scores in six digits: the tests compare with a tolerance."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, (np.floating, np.integer)):
        return rounded(value.item())
    if isinstance(value, dict):
        return {key: rounded(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(member) for member in value]
    return value


def run_case(pipe, inputs, kwargs: dict) -> dict:
    if isinstance(inputs, dict) and "question" in inputs and pipe.task == QA:
        call = lambda: pipe(**inputs, **kwargs)  # noqa: E731: how the documentation calls it
    else:
        call = lambda: pipe(inputs, **kwargs)  # noqa: E731
    row = {"task": pipe.task, "inputs": inputs, "kwargs": copy.deepcopy(kwargs)}  # some pipelines write into them
    try:
        return {**row, "expected": rounded(call())}
    except BaseException as error:  # whatever the library throws, Rust's panics among it
        return {**row, "error": f"{type(error).__name__}: {error}"[:300]}


def write_rows(path: pathlib.Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def make_fixture(name: str, fixture: Fixture) -> None:
    directory = FIXTURES / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    vocab_size = make_tokenizer(fixture, directory)
    config = config_of(fixture.model_type, vocab_size, **fixture.config)
    prefix = {
        "bert": "Bert",
        "convbert": "ConvBert",
        "distilbert": "DistilBert",
        "longformer": "Longformer",
        "roberta": "Roberta",
        "xlm-roberta": "XLMRoberta",
    }
    architecture = prefix[fixture.model_type] + fixture.model_class
    model = getattr(transformers, architecture)(config)
    entries = weights_of(model, fixture.head_scale, name)
    (directory / "weights.json").write_text("[\n" + ",\n".join(map(json.dumps, entries)) + "\n]\n")
    config.architectures = [architecture]
    config.save_pretrained(directory)

    with tempfile.TemporaryDirectory() as checkpoint:
        for file in directory.glob("*.json"):
            shutil.copy(file, checkpoint)
        tensors = {entry["name"]: fixture_io.tensor_values(entry) for entry in entries}
        fixture_io.save_safetensors(tensors, f"{checkpoint}/model.safetensors", {"format": "pt"})
        rows, pipes = [], {}
        for task, inputs, kwargs in fixture.cases:
            if task not in pipes:
                pipes[task] = transformers.pipeline(task, model=checkpoint, framework="pt", device="cpu")
            rows.append(run_case(pipes[task], inputs, kwargs))
    write_rows(directory / "cases.jsonl", rows)
    failed = sum("error" in row for row in rows)
    print(f"{name}: {len(rows)} cases, {failed} of them errors, vocabulary of {vocab_size}")


def make_minilm() -> None:
    """Embeddings of the real model. One row holds a list of texts; values in five digits are enough for 1e-4."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(MINILM), device="cpu")
    directory = FIXTURES / "minilm"
    directory.mkdir(parents=True, exist_ok=True)
    texts = [*SENTENCES[:6], SENTENCES[11], "", "  spaces \n around ", LONG * 3]
    embeddings = [[float(f"{value:.5f}") for value in row] for row in model.encode(texts).tolist()]
    rows = [
        {"task": "embeddings", "inputs": texts, "kwargs": {}, "expected": embeddings},
        {"task": "embeddings", "inputs": [], "kwargs": {}, "expected": []},
    ]
    source, sentences = SENTENCES[0], [*SENTENCES[1:5], "A boat to Finland departs at 9:30."]
    cosines = model.similarity(model.encode([source]), model.encode(sentences))[0].tolist()
    inputs = {"source_sentence": source, "sentences": sentences}
    rows.append({"task": "sentence-similarity", "inputs": inputs, "kwargs": {}, "expected": rounded(cosines)})
    pipe = transformers.pipeline(FEATURES, model=str(MINILM), framework="pt", device="cpu")
    values = np.asarray(pipe("Hello world!"), dtype=np.float64)
    rows.append(
        {
            "task": FEATURES,
            "inputs": "Hello world!",
            "kwargs": {},
            "expected": [[[float(f"{value:.5f}") for value in token] for token in row] for row in values.tolist()],
        }
    )
    write_rows(directory / "cases.jsonl", rows)
    print(f"minilm: {len(rows)} cases")


def main() -> None:
    names = sys.argv[1:] or [*FIXTURES_BY_NAME, "minilm"]
    for name in names:
        if name == "minilm":
            make_minilm()
        else:
            make_fixture(name, FIXTURES_BY_NAME[name])


if __name__ == "__main__":
    main()
