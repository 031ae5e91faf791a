"""Makes fixtures/tensorflow: for each model config.json, tf_model.h5 as TensorFlow's save_pretrained writes it, and
expected.safetensors, the parameters that from_pretrained(from_tf=True) arrives at (tied ones once). For some of them
also the shards, TensorFlow's safetensors, the same file with names that lack the model's (as of a model that was built
but never called), and the same parameters as pytorch_model.bin in both formats of torch.save.

Needs transformers 4.37 (the last releases with TensorFlow), tensorflow 2.15, torch, h5py.

    python tests/checkpoint_formats/make_tensorflow_fixtures.py [NAME]...
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import pathlib
import shutil
import sys
import tempfile

import h5py
import numpy
import tensorflow
import torch
import transformers as T
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).parent / "fixtures" / "tensorflow"
BERT = dict(vocab_size=29, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12,
            max_position_embeddings=20)
BART = dict(vocab_size=29, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=12, decoder_ffn_dim=12, pad_token_id=0, bos_token_id=1,
            eos_token_id=2, decoder_start_token_id=1)
T5 = dict(vocab_size=29, d_model=8, d_kv=4, d_ff=12, num_layers=1, num_heads=2)
GPT2 = dict(vocab_size=29, n_embd=8, n_layer=1, n_head=2, n_positions=40)
IMAGE = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12, image_size=16,
             patch_size=8)
TEXT = dict(BERT, projection_dim=4)

MODELS = {
    "albert": ("AlbertForMaskedLM", T.AlbertConfig(**BERT, embedding_size=4)),
    "bart": ("BartForConditionalGeneration", T.BartConfig(**BART, max_position_embeddings=20)),
    "bart-base": ("BartModel", T.BartConfig(**BART, max_position_embeddings=20)),
    "bert": ("BertForMaskedLM", T.BertConfig(**BERT)),
    "bert-base": ("BertModel", T.BertConfig(**BERT)),
    "clip": ("CLIPModel", T.CLIPConfig.from_text_vision_configs(T.CLIPTextConfig(**TEXT), T.CLIPVisionConfig(**IMAGE),
                                                                projection_dim=4)),
    "convbert": ("ConvBertForMaskedLM", T.ConvBertConfig(**BERT, embedding_size=8)),
    "deberta-v2": ("DebertaV2ForSequenceClassification",
                   T.DebertaV2Config(**BERT, relative_attention=True, position_buckets=8, pos_att_type=["p2c", "c2p"],
                                     share_att_key=True, norm_rel_ebd="layer_norm")),
    "distilbert": ("DistilBertForQuestionAnswering",
                   T.DistilBertConfig(vocab_size=29, dim=8, n_layers=1, n_heads=2, hidden_dim=12,
                                      max_position_embeddings=20)),
    "electra": ("ElectraForSequenceClassification", T.ElectraConfig(**BERT, embedding_size=4)),
    "gpt2": ("GPT2LMHeadModel", T.GPT2Config(**GPT2)),
    "gpt2-base": ("GPT2Model", T.GPT2Config(**GPT2)),
    "longformer": ("LongformerForMaskedLM", T.LongformerConfig(**BERT, attention_window=8)),
    "marian": ("MarianMTModel", T.MarianConfig(**BART, max_position_embeddings=20)),
    "mobilebert": ("MobileBertForMaskedLM",
                   T.MobileBertConfig(**BERT, embedding_size=8, true_hidden_size=8, intra_bottleneck_size=8,
                                      num_feedforward_networks=2)),
    "mpnet": ("MPNetModel", T.MPNetConfig(**BERT)),
    "resnet": ("ResNetForImageClassification",
               T.ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1])),
    "roberta": ("RobertaForTokenClassification", T.RobertaConfig(**BERT)),
    "swin": ("SwinForImageClassification",
             T.SwinConfig(embed_dim=4, depths=[1, 1], num_heads=[2, 2], window_size=2, image_size=16)),
    "t5": ("T5ForConditionalGeneration", T.T5Config(**T5)),
    "t5-gated": ("T5ForConditionalGeneration",
                 T.T5Config(**T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False)),
    "vit": ("ViTForImageClassification", T.ViTConfig(**IMAGE)),
    "wav2vec2": ("Wav2Vec2ForCTC",
                 T.Wav2Vec2Config(vocab_size=11, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                                  intermediate_size=12, conv_dim=[4, 4], conv_kernel=[4, 3], conv_stride=[2, 2],
                                  num_feat_extract_layers=2, num_conv_pos_embeddings=4,
                                  num_conv_pos_embedding_groups=2)),
    "whisper": ("WhisperForConditionalGeneration",
                T.WhisperConfig(**BART, num_mel_bins=4, max_source_positions=10, max_target_positions=10)),
    "xlm": ("XLMWithLMHeadModel", T.XLMConfig(vocab_size=29, emb_dim=8, n_layers=1, n_heads=2,
                                              max_position_embeddings=20)),
    "xlnet": ("XLNetLMHeadModel", T.XLNetConfig(vocab_size=29, d_model=8, n_layer=1, n_head=2, d_inner=12)),
}
ALL_FORMATS = {"bert", "distilbert", "gpt2", "t5", "vit"}


def randomize(model):
    for weight in model.weights:
        if weight.dtype.is_floating:
            weight.assign(tensorflow.random.normal(weight.shape, stddev=0.2, dtype=weight.dtype))


def without_duplicates(model):
    """As save_pretrained keeps one of the names of tied parameters."""
    first = {}
    kept = {}
    for name, tensor in model.state_dict().items():
        key = (tensor.data_ptr(), tensor.shape)
        if tensor.numel() and key in first:
            continue
        first[key] = name
        kept[name] = tensor.contiguous().clone()
    return kept


def check_read(tf_model, parameters):
    """from_tf only warns when it finds nothing in the file: all but variables that PyTorch's model lacks must be there."""
    known = {numpy.sort(tensor.numpy().ravel()).tobytes() for tensor in parameters.values()}
    unread = [weight.name for weight in tf_model.weights if weight.dtype.is_floating and "moving_" not in weight.name
              and numpy.sort(weight.numpy().ravel()).tobytes() not in known]
    if len(unread) > 3:
        raise SystemExit(f"not read: {unread}")
    if unread:
        print("  not in PyTorch's model:", unread)


def drop_model_name(source, destination):
    with h5py.File(source) as old, h5py.File(destination, "w") as new:
        new.attrs["layer_names"] = old.attrs["layer_names"]
        for layer in old.attrs["layer_names"]:
            group = new.create_group(layer)
            names = []
            for name in old[layer].attrs["weight_names"]:
                root, rest = name.split("/", 1) if "/" in name else ("", name)
                short = rest if root.startswith("tf") else name
                group.create_dataset(short, data=old[layer][name][()])
                names.append(short)
            group.attrs["weight_names"] = names


def make(name):
    class_name, config = MODELS[name]
    directory = ROOT / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    tensorflow.keras.backend.clear_session()
    tensorflow.random.set_seed(0)
    torch.manual_seed(0)
    tf_model = getattr(T, "TF" + class_name)(config)
    tf_model(tf_model.dummy_inputs)
    randomize(tf_model)
    tf_model.save_pretrained(directory)

    model, info = getattr(T, class_name).from_pretrained(directory, from_tf=True, output_loading_info=True)
    missing = [key for key in info["missing_keys"] if "running_" in key or "num_batches" in key]
    parameters = {key: tensor for key, tensor in without_duplicates(model).items() if key not in missing}
    check_read(tf_model, parameters)
    save_file(parameters, directory / "expected.safetensors", metadata={"format": "pt"})
    if name in ALL_FORMATS:
        state = model.state_dict()
        torch.save(state, directory / "pytorch_model.bin")
        torch.save(state, directory / "pytorch_model.legacy.bin", _use_new_zipfile_serialization=False)
        drop_model_name(directory / "tf_model.h5", directory / "unnamed.h5")
        with tempfile.TemporaryDirectory() as scratch:
            tf_model.save_pretrained(scratch, max_shard_size="3KB")
            for file in pathlib.Path(scratch).glob("tf_model*"):
                shutil.copy(file, directory)
            tf_model.save_pretrained(scratch, safe_serialization=True)
            shutil.copy(pathlib.Path(scratch) / "model.safetensors", directory / "tf.safetensors")
    print(name, sum(file.stat().st_size for file in directory.iterdir()), info["missing_keys"][:3])


if __name__ == "__main__":
    T.logging.set_verbosity_error()
    for model_name in sys.argv[1:] or MODELS:
        make(model_name)
