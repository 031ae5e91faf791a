"""make_expected.py QA_DIRECTORY CLASSIFIER_DIRECTORY: prints what examples_test.cpp expects, as transformers has it.

The directories are those that the tests make: the golden fixtures distilbert (question-answering) and bert
(text-classification) as checkpoints, each with vocab.txt beside them.
"""
import sys

import torch
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    BertTokenizerFast,
    DistilBertTokenizerFast,
)

QUESTIONS = [
    ("What am I using?", "Using DistilBERT with ONNX Runtime!"),
    ("Where is it?", "You use the library to open a model."),
]
TEXTS = ["Using the model.", "Open the ONNX library with Python, or without!"]


@torch.no_grad()
def main(qa_directory, classifier_directory):
    tokenizer = DistilBertTokenizerFast.from_pretrained(qa_directory)
    model = AutoModelForQuestionAnswering.from_pretrained(qa_directory).eval()
    for question, context in QUESTIONS:
        inputs = tokenizer(question, context, return_tensors="pt")
        outputs = model(**inputs)
        start, end = outputs.start_logits.argmax().item(), outputs.end_logits.argmax().item()
        ids = inputs["input_ids"][0]
        print(f"tokens: {len(ids)}\nstart: {start}\nend: {end}\nanswer: {tokenizer.decode(ids[start:end + 1])}")

    tokenizer = BertTokenizerFast.from_pretrained(classifier_directory)
    model = AutoModelForSequenceClassification.from_pretrained(classifier_directory).eval()
    logits = model(**tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")).logits
    print("logits:", *logits.shape, "begins with", logits[0, 0].item())


if __name__ == "__main__":
    main(*sys.argv[1:])
