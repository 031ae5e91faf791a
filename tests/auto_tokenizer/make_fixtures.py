#!/usr/bin/env python3
"""Makes tests/auto_tokenizer/fixtures: tiny tokenizer directories of every class, and what transformers does with them.

    python make_fixtures.py [NAME…]

Needs transformers 4.57.6, tokenizers, sentencepiece and jinja2. All vocabularies are trained here, on the sentences
below. Beside each directory NAME stands NAME.json with what AutoTokenizer makes of it; README.md gives the format.
With --existing DIR NAME only NAME.json is made, for a directory that lies elsewhere (tests/tokenizers/fixtures).
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import types
import warnings
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
warnings.filterwarnings("ignore")

import sentencepiece
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer

transformers.logging.set_verbosity(transformers.logging.CRITICAL)
HERE = Path(__file__).parent
FIXTURES = HERE / "fixtures"
# HerbertTokenizer wants it, but its fast version does not use it.
sys.modules.setdefault("sacremoses", types.ModuleType("sacremoses"))

SENTENCES = [
    "The quick brown fox jumps over the lazy dog, and the dog does not care.",
    "What am I using? Using DistilBERT with ONNX Runtime!",
    "In 1984, 1,234 people paid 3.50 for 20% of the newspapers.",
    "Où est la bibliothèque? Elle est à côté de l'école.",
    "Ein kleines Mädchen läuft über die große Straße.",
    "El niño comió piñas mañana por la mañana.",
    "Зимой солнце светит мало, но снег блестит.",
    "東京は日本の首都です。 北京是中国的首都。",
    "He said: ``don't'' — they've seen it, we're late, I'm sure she'll come.",
    "def main(args): return [x for x in args if x != 'none']",
    "tokens tokenize tokenizers tokenization tokenizing token",
    "straightforward international organisation of the organisations",
]

TEXTS = [
    "Hello, world! The quick brown fox.",
    "What am I using? It's the tokenizer, isn't it?",
    "  leading and trailing   spaces  ",
    "Ünïcödé ÀÉÎ straße ﬁne ２０％ a\u0301 e\u0301",
    "東京 tokens 1,234.5 and 北京市",
    "line one\nline two\ttabbed\r\nthird",
    "``quoted'' text, 20, 30, x1,",
    "emoji 😀 and zero\u200bwidth \u00a0nbsp ▁ mark",
    "<s> special </s> [MASK] <mask> <pad> [CLS]",
    "",
    "a",
    "don't they've we're <extra_id_0> <|endoftext|> <unk> done.",
]


# ---- Vocabularies ------------------------------------------------------------------------------------------------------


def sentencepiece_model(path, model_type, vocab_size, sentences=SENTENCES, **options):
    options = {"character_coverage": 0.999, **options}
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.txt"
        corpus.write_text("\n".join(sentences * 4), encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(
            input=str(corpus),
            model_prefix=str(Path(folder) / "m"),
            model_type=model_type,
            vocab_size=vocab_size,
            hard_vocab_limit=False,
            minloglevel=2,
            num_threads=1,
            **{"normalization_rule_name": "identity", **options},
        )
        path.write_bytes((Path(folder) / "m.model").read_bytes())


def small_rules(folder):
    """A normalization that makes a small charsmap: sentencepiece's own is a quarter of a megabyte."""
    path = Path(folder) / "rules.tsv"
    rules = {"\ufb01": "fi", "\uff12": "2", "\uff10": "0", "\uff05": "%", "e\u0301": "\u00e9", "a\u0301": "\u00e1",
             "\u00a0": " ", "\u200b": " ", "\t": " ", "\n": " ", "\r": " ", "\u2026": "..."}
    lines = [
        " ".join(f"{ord(c):X}" for c in source) + "\t" + " ".join(f"{ord(c):X}" for c in target)
        for source, target in rules.items()
    ]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def wordpiece_vocab(path, special_tokens, lowercase=True, size=260):
    tokenizer = Tokenizer(models.WordPiece(unk_token=special_tokens[0]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=special_tokens, show_progress=False, min_frequency=1
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    vocab = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    path.write_text("".join(token + "\n" for token, _ in vocab), encoding="utf-8")


def bpe_files(folder, special_tokens, suffix=None, byte_level=True, size=380, version_line=True, unk=None):
    options = {"end_of_word_suffix": suffix} if suffix else {}
    tokenizer = Tokenizer(models.BPE(unk_token=unk, **options))
    if byte_level:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        alphabet = []
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=special_tokens,
        show_progress=False,
        initial_alphabet=alphabet,
        **options,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    vocab = dict(sorted(model["vocab"].items(), key=lambda item: item[1]))
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2"] if version_line else []
    lines += [" ".join(merge) for merge in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


BERT = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
GPT2 = ["<|endoftext|>"]


def bert(**config):
    return lambda folder: (wordpiece_vocab(folder / "vocab.txt", BERT, config.get("do_lower_case", True)), config)[1]


def wordpiece(special_tokens, **config):
    return lambda folder: (wordpiece_vocab(folder / "vocab.txt", special_tokens), config)[1]


def byte_bpe(special_tokens, **config):
    return lambda folder: (bpe_files(folder, special_tokens), config)[1]


def spm(file_name, model_type="unigram", vocab_size=300, with_rules=False, train=None, **config):
    def make(folder):
        options = dict(train or {})
        with tempfile.TemporaryDirectory() as rules:
            if with_rules:
                options["normalization_rule_tsv"] = small_rules(rules)
            sentencepiece_model(folder / file_name, model_type, vocab_size, **options)
        return config

    return make


def marian(train=None, **config):
    """source.spm and target.spm, of which vocab.json has most pieces: under ids of its own, with languages' codes, and
    with one that is a piece of neither."""

    def make(folder):
        with tempfile.TemporaryDirectory() as rules:
            tsv = small_rules(rules)
            for name, size in (("source", 260), ("target", 220)):
                sentencepiece_model(folder / f"{name}.spm", "unigram", size, normalization_rule_tsv=tsv,
                                    character_coverage=0.98, sentences=SENTENCES[::1 if name == "source" else 2],
                                    **(train or {}))
        pieces = {}
        for name in ("source", "target"):
            model = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{name}.spm"))
            pieces[name] = [model.id_to_piece(i) for i in range(3, len(model))][: -20]
        shared = sorted(set(pieces["source"] + pieces["target"]))
        if config.get("separate_vocabs"):
            vocabularies = {"vocab.json": pieces["source"], "target_vocab.json": pieces["target"]}
        else:
            vocabularies = {"vocab.json": shared}
        for name, tokens in vocabularies.items():
            tokens = ["</s>", "<unk>"] + tokens + ["東京", ">>de<<", ">>fr<<", "<pad>"]
            tokens = list(dict.fromkeys(tokens))
            (folder / name).write_text(json.dumps({t: i for i, t in enumerate(tokens)}), encoding="utf-8")
        return config

    return make


def esm(folder):
    tokens = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO", ".", "-", "<null_1>", "<mask>"]
    (folder / "vocab.txt").write_text("\n".join(tokens))
    return {}


def suffix_bpe(special_tokens, byte_level, version_line=True, **config):
    def make(folder):
        bpe_files(folder, special_tokens, "</w>", byte_level, 420, version_line, unk=special_tokens[0])
        return config

    return make


def added(content, **flags):
    token = {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
             "special": True}
    token.update(flags)
    return token


CHAT = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
FAIRSEQ = {"bos_id": 1, "eos_id": 2, "unk_id": 0, "pad_id": -1}
T5_IDS = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
LLAMA = {"byte_fallback": True, "bos_id": 1, "eos_id": 2, "unk_id": 0, "pad_id": -1}
CLS_SEP = {"user_defined_symbols": ["[CLS]", "[SEP]", "[MASK]"]}
ALBERT_IDS = {"pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1, "control_symbols": ["[CLS]", "[SEP]", "[MASK]"]}


def directories():
    """NAME -> (tokenizer class, what makes its files and returns the rest of tokenizer_config.json)."""
    d = {}
    d["bert"] = ("BertTokenizer", bert(model_max_length=32))
    d["bert_cased"] = ("BertTokenizer", bert(do_lower_case=False, clean_up_tokenization_spaces=False))
    d["bert_accents"] = (
        "BertTokenizerFast",
        bert(strip_accents=False, tokenize_chinese_chars=False, padding_side="left", truncation_side="left",
             model_max_length=20),
    )
    d["bert_no_basic"] = ("BertTokenizer", bert(do_basic_tokenize=False, never_split=["tokens"]))
    for name in ["DistilBert", "Electra", "LayoutLM", "Lxmert", "MobileBert", "SqueezeBert", "ConvBert",
                 "RetriBert", "DPRReader"]:
        d[name.lower()] = (name + "Tokenizer", bert())
    d["mpnet"] = ("MPNetTokenizer", wordpiece(["[UNK]", "<pad>", "<s>", "</s>", "<mask>"]))
    d["funnel"] = ("FunnelTokenizer", wordpiece(["<unk>", "<pad>", "<cls>", "<sep>", "<mask>", "<s>", "</s>"]))
    d["splinter"] = ("SplinterTokenizer", wordpiece(BERT + ["[QUESTION]", "."]))

    d["gpt2"] = ("GPT2Tokenizer", byte_bpe(GPT2, model_max_length=24))
    d["gpt2_bos_pad"] = (
        "GPT2Tokenizer",
        byte_bpe(GPT2, add_bos_token=True, pad_token="<|pad|>", add_prefix_space=True, chat_template=CHAT),
    )
    d["codegen"] = ("CodeGenTokenizer", byte_bpe(GPT2, return_token_type_ids=True))
    for name in ["Roberta", "Bart", "LED", "Longformer", "Mvp", "Blenderbot"]:
        d[name.lower()] = (name + "Tokenizer", byte_bpe(ROBERTA))
    d["roberta_prefix"] = ("RobertaTokenizer", byte_bpe(ROBERTA, add_prefix_space=True, trim_offsets=False))
    d["layoutlmv3"] = ("LayoutLMv3Tokenizer", byte_bpe(ROBERTA))
    d["markuplm"] = ("MarkupLMTokenizer", byte_bpe(ROBERTA, tags_dict={"a": 0}))
    d["deberta"] = ("DebertaTokenizer", byte_bpe(["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]))
    d["qwen2"] = ("Qwen2Tokenizer", byte_bpe(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], chat_template=CHAT))
    whisper = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|zh|>", "<|de|>", "<|translate|>",
               "<|transcribe|>", "<|notimestamps|>", "<|startofprev|>"]
    d["whisper"] = ("WhisperTokenizer", byte_bpe(whisper))
    d["whisper_german"] = ("WhisperTokenizer", byte_bpe(whisper, language="german", task="translate"))
    d["clip"] = ("CLIPTokenizer", suffix_bpe(["<|endoftext|>", "<|startoftext|>"], True))
    d["openai_gpt"] = ("OpenAIGPTTokenizer", suffix_bpe(["<unk>"], False))
    d["herbert"] = ("HerbertTokenizer", suffix_bpe(["<unk>", "<s>", "</s>", "<pad>", "<mask>"], False, False))

    d["t5"] = ("T5Tokenizer", spm("spiece.model", train=T5_IDS, with_rules=True, extra_ids=10))
    d["t5_new"] = ("T5Tokenizer", spm("spiece.model", train=T5_IDS, legacy=False, extra_ids=100))
    d["mt5"] = ("MT5Tokenizer", spm("spiece.model", train=T5_IDS, extra_ids=0))
    d["udop"] = ("UdopTokenizer", spm("spiece.model", train=T5_IDS))
    d["albert"] = ("AlbertTokenizer", spm("spiece.model", train=ALBERT_IDS, with_rules=True))
    d["albert_accents"] = ("AlbertTokenizer", spm("spiece.model", train=ALBERT_IDS, keep_accents=True,
                                                  do_lower_case=False))
    d["fnet"] = ("FNetTokenizer", spm("spiece.model", train=ALBERT_IDS))
    d["xlm_roberta"] = ("XLMRobertaTokenizer", spm("sentencepiece.bpe.model", train=FAIRSEQ, with_rules=True))
    d["layoutxlm"] = ("LayoutXLMTokenizer", spm("sentencepiece.bpe.model", train=FAIRSEQ))
    d["camembert"] = ("CamembertTokenizer", spm("sentencepiece.bpe.model", train=FAIRSEQ))
    d["mbart"] = ("MBartTokenizer", spm("sentencepiece.bpe.model", train=FAIRSEQ, src_lang="de_DE", tgt_lang="fr_XX"))
    d["mbart50"] = ("MBart50Tokenizer", spm("sentencepiece.bpe.model", train=FAIRSEQ, src_lang="es_XX"))
    d["nllb"] = ("NllbTokenizer", spm("sentencepiece.bpe.model", "bpe", train=FAIRSEQ, src_lang="fra_Latn"))
    d["nllb_legacy"] = ("NllbTokenizer", spm("sentencepiece.bpe.model", "bpe", train=FAIRSEQ, legacy_behaviour=True))
    d["xglm"] = ("XGLMTokenizer", spm("sentencepiece.bpe.model", train=FAIRSEQ))
    d["seamless"] = ("SeamlessM4TTokenizer", spm("sentencepiece.bpe.model", "bpe", train=FAIRSEQ,
                                                 additional_special_tokens=["__eng__", "__fra__", "__deu__"],
                                                 src_lang="deu"))
    d["barthez"] = ("BarthezTokenizer", spm("sentencepiece.bpe.model",
                                            train={"bos_id": 0, "pad_id": 1, "eos_id": 2, "unk_id": 3}))
    d["big_bird"] = ("BigBirdTokenizer", spm("spiece.model", train={
        "pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3, "control_symbols": ["[SEP]", "[CLS]", "[MASK]"]}))
    d["deberta_v2"] = ("DebertaV2Tokenizer", spm("spm.model", train={
        "pad_id": 0, "unk_id": 3, "bos_id": 1, "eos_id": 2, "pad_piece": "[PAD]", "bos_piece": "[CLS]",
        "eos_piece": "[SEP]", "unk_piece": "[UNK]"}, with_rules=True))
    d["deberta_v2_punct"] = ("DebertaV2Tokenizer", spm("spm.model", train={
        "pad_id": 0, "unk_id": 3, "bos_id": 1, "eos_id": 2, "pad_piece": "[PAD]", "bos_piece": "[CLS]",
        "eos_piece": "[SEP]", "unk_piece": "[UNK]"}, do_lower_case=True, split_by_punct=True))
    d["pegasus"] = ("PegasusTokenizer", spm("spiece.model", train=T5_IDS, offset=20))
    d["reformer"] = ("ReformerTokenizer", spm("spiece.model", "bpe", train={"eos_id": 1, "unk_id": 2, "bos_id": -1,
                                                                            "pad_id": 0}))
    d["rembert"] = ("RemBertTokenizer", spm("sentencepiece.model", train={
        "pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1, "pad_piece": "[PAD]", "unk_piece": "[UNK]",
        "control_symbols": ["[CLS]", "[SEP]", "[MASK]"]}, keep_accents=False, do_lower_case=True))
    d["xlnet"] = ("XLNetTokenizer", spm("spiece.model", train={
        "unk_id": 0, "bos_id": 1, "eos_id": 2, "pad_id": 5, "control_symbols": ["<cls>", "<sep>"],
        "user_defined_symbols": ["<mask>", "<eod>", "<eop>"]}))
    d["llama"] = ("LlamaTokenizer", spm("tokenizer.model", "bpe", 600, train=LLAMA, legacy=True,
                                        model_max_length=1000000000000000019884624838656))
    d["llama_new"] = ("LlamaTokenizer", spm("tokenizer.model", "bpe", 600, train=LLAMA, legacy=False,
                                            add_eos_token=True, pad_token="</s>", chat_template=CHAT))
    d["llama_no_prefix"] = ("LlamaTokenizerFast", spm("tokenizer.model", "bpe", 600, train=LLAMA, legacy=False,
                                                      add_prefix_space=False, add_bos_token=False))
    d["llama_decoder"] = (
        "LlamaTokenizer",
        spm("tokenizer.model", "bpe", 600, train=LLAMA, bos_token=dict(added("<s>"), __type="AddedToken"),
            added_tokens_decoder={
                "0": added("<unk>"), "1": added("<s>"), "2": added("</s>"),
                "600": added("<|im_start|>"), "601": added("<tool>", special=False, lstrip=True, normalized=True)},
            additional_special_tokens=["<|im_start|>"]),
    )
    d["code_llama"] = ("CodeLlamaTokenizer", spm("tokenizer.model", "bpe", 600, train=LLAMA))
    d["gemma"] = ("GemmaTokenizer", spm("tokenizer.model", "bpe", 700, train={
        "byte_fallback": True, "pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3, "eos_piece": "<eos>",
        "bos_piece": "<bos>", "split_digits": True, "remove_extra_whitespaces": False, "add_dummy_prefix": False,
        "allow_whitespace_only_pieces": True,
        "user_defined_symbols": ["<mask>", "<start_of_turn>", "<end_of_turn>", "\n", "\t"]}))
    d["bert_split"] = ("BertTokenizer", bert(split_special_tokens=True, additional_special_tokens=["tokens"]))
    d["t5_split"] = ("T5Tokenizer", spm("spiece.model", train=T5_IDS, extra_ids=10, split_special_tokens=True))
    # In Python alone.
    d["marian"] = ("MarianTokenizer", marian(source_lang="en", target_lang="de"))
    d["marian_separate"] = ("MarianTokenizer", marian(separate_vocabs=True, model_max_length=20))
    d["marian_plain"] = ("MarianTokenizer", marian(
        train={"add_dummy_prefix": False, "remove_extra_whitespaces": False},
        additional_special_tokens=["<ent>"]))
    d["byt5"] = ("ByT5Tokenizer", lambda folder: {})
    d["byt5_few"] = ("ByT5Tokenizer", lambda folder: {"extra_ids": 0, "padding_side": "left", "model_max_length": 30})
    d["esm"] = ("EsmTokenizer", esm)
    return d


def with_legacy_files(folder, config):
    """bert with special_tokens_map.json and added_tokens.json as old versions wrote them."""
    wordpiece_vocab(folder / "vocab.txt", BERT)
    size = len((folder / "vocab.txt").read_text().splitlines())
    (folder / "special_tokens_map.json").write_text(json.dumps({
        "cls_token": {"content": "[CLS]", "lstrip": False, "normalized": True, "rstrip": False, "single_word": False},
        "additional_special_tokens": ["<ent>", {"content": "<rel>", "lstrip": True, "normalized": False,
                                                "rstrip": True, "single_word": False}],
        "mask_token": "[MASK]"}))
    (folder / "added_tokens.json").write_text(json.dumps({"<ent>": size, "<rel>": size + 1, "newword": size + 2}))


# ---- What transformers does --------------------------------------------------------------------------------------------


def call_cases(tokenizer):
    words = [["tokens", "quick brown", "don't"], ["東京", "x1,"]]
    batch = TEXTS[:4]
    pairs = [[TEXTS[0], TEXTS[1]], [TEXTS[4], ""], [TEXTS[2], TEXTS[6]]]
    cases = [{"text": text, "options": {}} for text in TEXTS]
    everything = {"return_offsets_mapping": True, "return_special_tokens_mask": True}
    cases += [
        {"text": TEXTS[0], "pair": TEXTS[1], "options": everything},
        {"text": TEXTS[0], "pair": "", "options": {}},
        {"text": TEXTS[3], "options": {**everything, "add_special_tokens": False}},
        {"texts": TEXTS, "options": {"padding": "longest", **everything}},
        {"texts": batch, "options": {"padding": "longest", "padding_side": "left"}},
        {"texts": batch, "options": {"padding": "longest", "pad_to_multiple_of": 8}},
        {"texts": batch, "options": {"padding": "max_length", "truncation": "longest_first", "max_length": 9}},
        {"texts": batch, "options": {"padding": "max_length", "max_length": 12}},
        {"texts": batch, "options": {"padding": "max_length"}},
        {"texts": batch, "options": {"max_length": 6}},
        {"texts": batch, "options": {"truncation": "longest_first"}},
        {"texts": batch, "options": {"padding": "longest", "truncation": "longest_first", "max_length": 9,
                                     "pad_to_multiple_of": 8}},
        {"texts": batch, "options": {"truncation": "only_first", "max_length": 10, "stride": 2,
                                     "return_overflowing_tokens": True, **everything}},
        {"pairs": pairs, "options": {"padding": "longest", **everything}},
        {"pairs": pairs, "options": {"truncation": "only_second", "max_length": 30, "stride": 3, "padding": "longest",
                                     "return_overflowing_tokens": True, **everything}},
        {"pairs": pairs, "options": {"truncation": "longest_first", "max_length": 14, "return_token_type_ids": True,
                                     "return_attention_mask": False}},
        {"words": words, "options": {"padding": "longest", **everything}},
        {"words": words, "word_pairs": [["a", "b"], ["The", "dog"]], "options": everything},
    ]
    if not tokenizer.is_fast:
        cases = slow_only_cases(cases, isinstance(tokenizer, transformers.ByT5Tokenizer))
    if type(tokenizer).__name__ == "CodeLlamaTokenizerFast":  # there a pair means infilling, which is refused
        cases = [case for case in cases if not case.get("pair")]
    for case in cases:
        case["expected"] = call(tokenizer, case)
    return cases


def slow_only_cases(cases, is_byt5):
    """Without offsets and windows, which tokenizers in Python do not have, and with texts of the target language."""
    mask = {} if is_byt5 else {"return_special_tokens_mask": True}  # too long in Python, if the text has an end
    texts = [">>de<< Hello, world!", ">>xx<<東京 tokens", "a >>fr<< b", ">>de<<>>fr<< x << y", "MKTVRQERLK <mask> x.-",
             "M K\tT<null_1>unknown", " <pad> 東京</s>  tokens </s>", "𝔘 é \u0000 \u0081 \u00e4</s>"]
    cases = cases + [{"text": text, "options": dict(mask)} for text in texts]
    cases = [case for case in cases if "return_overflowing_tokens" not in case["options"]]
    # An odd token goes to another of two texts than with fast tokenizers: see slow_only.h.
    cases = [case for case in cases if "pairs" not in case or "truncation" not in case["options"]]
    for case in cases:
        for name in ("return_offsets_mapping", "return_token_type_ids"):
            case["options"].pop(name, None)
        if "stride" in case["options"]:
            case["options"].pop("stride")
    targets = [{**case, "options": {**case["options"], "as_target": True}} for case in cases if "text" in case]
    whole = [{"text": text, "options": {"split_special_tokens": True}} for text in texts]
    return cases + [case for case in targets if "pair" not in case] + whole


def call(tokenizer, case):
    options = dict(case["options"])
    try:
        if options.pop("as_target", False):
            out = tokenizer(text_target=[case["text"]], **options)
        elif "text" in case:
            out = tokenizer([case["text"]] if "pair" not in case else case["text"], case.get("pair"), **options)
            if "pair" in case:
                out = {k: (v if v and isinstance(v[0], list) and k != "offset_mapping" else [v]) for k, v in out.items()}
        elif "texts" in case:
            out = tokenizer(case["texts"], **options)
        elif "pairs" in case:
            out = tokenizer([tuple(pair) for pair in case["pairs"]], **options)
        else:
            out = tokenizer(case["words"], case.get("word_pairs"), is_split_into_words=True, **options)
    except BaseException as error:  # pyo3 panics are no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        return {"error": str(error)[:200]}
    return {key: value for key, value in dict(out).items()}


def decode_cases(tokenizer):
    rng = random.Random(7)
    size = len(tokenizer)
    rows = [tokenizer(text)["input_ids"] for text in TEXTS[:8]] if not tokenizer.is_fast else [
        tokenizer.backend_tokenizer.encode(text).ids for text in TEXTS[:8]]
    rows += [[], [size + 5, 3]]
    if isinstance(tokenizer, transformers.ByT5Tokenizer):
        rows.pop()  # fails in Python
    rows += [[rng.randrange(size) for _ in range(12)] for _ in range(6)]
    cases = []
    for ids in rows:
        for skip in (False, True):
            for clean in (None, True, False):
                cases.append({"ids": ids, "skip_special_tokens": skip, "clean_up_tokenization_spaces": clean,
                              "text": tokenizer.decode(ids, skip_special_tokens=skip,
                                                       clean_up_tokenization_spaces=clean)})
    return cases


def attributes(tokenizer):
    names = [n for n in tokenizer.SPECIAL_TOKENS_ATTRIBUTES if n != "additional_special_tokens"]
    return {
        "class": type(tokenizer).__name__.removesuffix("Fast"),
        "model_max_length": tokenizer.model_max_length,
        "model_input_names": list(dict.fromkeys(tokenizer.model_input_names)),  # CodeGen's grow with each instance
        "padding_side": tokenizer.padding_side,
        "truncation_side": tokenizer.truncation_side,
        "special_tokens": {n: getattr(tokenizer, n) for n in names},
        "special_token_ids": {n: getattr(tokenizer, n + "_id") for n in names},
        "all_special_tokens": tokenizer.all_special_tokens,
        "all_special_ids": tokenizer.all_special_ids,
        "unknown_id": tokenizer.convert_tokens_to_ids("no such token"),
        "length": len(tokenizer),
    }


CHATS = [
    {"messages": [{"role": "user", "content": "Hello"}], "options": {"add_generation_prompt": True}},
    {"messages": [{"role": "user", "content": " Hi "}, {"role": "assistant", "content": "Well, "}],
     "options": {"continue_final_message": True}},
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Well,"}],
     "options": {"continue_final_message": True}},
    {"messages": [{"role": "user", "content": "Hi"}],
     "options": {"continue_final_message": True, "add_generation_prompt": True}},
    {"messages": [{"role": "user", "content": "Hi"}],
     "options": {"chat_template": "{{ messages[0].content }}{{ bos_token }}{{ tools | length }}",
                 "tools": [{"type": "function", "function": {"name": "f"}}]}},
    {"messages": [{"role": "user", "content": "Hi"}],
     "options": {"documents": [{"title": "a", "text": "b"}], "chat_template": "tool_use"}},
]


def chat_cases(tokenizer):
    cases = []
    for case in CHATS:
        case = dict(case)
        try:
            case["prompt"] = tokenizer.apply_chat_template(case["messages"], tokenize=False, **case["options"])
        except Exception as error:
            case["error"] = str(error)[:200]
        cases.append(case)
    return cases


def saved_files(tokenizer):
    with tempfile.TemporaryDirectory() as folder:
        files = tokenizer.save_pretrained(folder)
        # Not every class reads all that it has saved; one fails at it.
        try:
            if not tokenizer.is_fast:
                raise TypeError
            reloaded = json.loads(AutoTokenizer.from_pretrained(folder).backend_tokenizer.to_str())["added_tokens"]
        except TypeError:
            reloaded = None
        result = {"reloaded_added_tokens": reloaded, "returned": [str(Path(f).relative_to(folder)) for f in files], "files": {}}
        for path in sorted(Path(folder).rglob("*")):
            if path.is_dir():
                continue
            name = str(path.relative_to(folder))
            if name == "tokenizer.json" or path.suffix in (".model", ".spm"):
                result["files"][name] = None
            else:
                result["files"][name] = path.read_text(encoding="utf-8")
        return result


def shorten_charsmaps(value):
    """Replaces charsmaps, which are large, by their lengths."""
    for key, member in value.items() if isinstance(value, dict) else enumerate(value):
        if key == "precompiled_charsmap":
            value[key] = len(member)
        elif isinstance(member, (dict, list)):
            shorten_charsmaps(member)


def describe(folder, with_model):
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    # Some classes want the boxes of words.
    takes_text = not any(name in type(tokenizer).__name__ for name in ("LayoutLMv", "LayoutXLM", "MarkupLM", "Udop"))
    if takes_text:
        tokenizer("a")  # translating classes set themselves to the source language first when they are called
    document = json.loads(tokenizer.backend_tokenizer.to_str()) if tokenizer.is_fast else None
    result = {"attributes": attributes(tokenizer), "chats": chat_cases(tokenizer), "saved": saved_files(tokenizer)}
    if not with_model:
        document.pop("model")
        shorten_charsmaps(document)
        for name in ("vocab.txt", "vocab.json", "merges.txt"):
            if name in result["saved"]["files"]:
                result["saved"]["files"][name] = None
    if document is not None:
        result["tokenizer_json"] = document
    result["calls"] = call_cases(tokenizer) if takes_text else []
    result["decodes"] = decode_cases(tokenizer)
    return result


def write(name, result, folder=FIXTURES):
    path = folder / (name + ".json")
    path.write_text(json.dumps(result, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    print(name, path.stat().st_size)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--existing", type=Path)
    parser.add_argument("--output", type=Path, default=FIXTURES, help="where NAME.json of --existing goes")
    arguments = parser.parse_args()
    FIXTURES.mkdir(exist_ok=True)
    if arguments.existing:
        for name in arguments.names:
            result = describe(arguments.existing / name, with_model=False)
            write("existing_" + name, {"directory": name, **result}, arguments.output)
        return
    for name, (class_name, make) in directories().items():
        if arguments.names and name not in arguments.names:
            continue
        folder = FIXTURES / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            config = make(folder)
            if name == "distilbert":  # found by its model_type
                (folder / "config.json").write_text('{"model_type": "distilbert"}')
            else:
                config = {"tokenizer_class": class_name, **config}
                (folder / "tokenizer_config.json").write_text(json.dumps(config, ensure_ascii=False, indent=1))
            write(name, describe(folder, with_model=True))
        except Exception as error:
            print("FAILED", name, type(error).__name__, str(error)[:300])
            shutil.rmtree(folder, ignore_errors=True)
    if not arguments.names or "bert_legacy" in arguments.names:
        folder = FIXTURES / "bert_legacy"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        with_legacy_files(folder, {})
        (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "model_max_length": 512}')
        write("bert_legacy", describe(folder, with_model=True))


if __name__ == "__main__":
    main()
