"""Makes more of fixtures/tensorflow: families whose variables have names of their own, by the last releases of
transformers that have TensorFlow models. For each config.json, tf_model.h5 as save_pretrained writes it, and
expected.safetensors, the parameters that from_pretrained(from_tf=True) arrives at.

TensorFlow and current releases of PyTorch do not go into one process, so there are two steps, each in an environment of
its own; the second one runs the very function that from_pretrained does, on the variables of the file:

    python tests/checkpoint_formats/make_tensorflow_families.py write [NAME]...
        # transformers 4.57.6, tensorflow-cpu 2.19, tf-keras 2.19
    python tests/checkpoint_formats/make_tensorflow_families.py expect [NAME]...
        # transformers 4.57.6, torch, safetensors, h5py
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import pathlib
import shutil
import sys

import numpy
import transformers as T

ROOT = pathlib.Path(__file__).parent / "fixtures" / "tensorflow"
BERT = dict(vocab_size=29, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12,
            max_position_embeddings=20)
BART = dict(vocab_size=29, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=12, decoder_ffn_dim=12, pad_token_id=0, bos_token_id=1,
            eos_token_id=2, decoder_start_token_id=1, max_position_embeddings=20)
T5 = dict(vocab_size=29, d_model=8, d_kv=4, d_ff=12, num_layers=1, num_heads=2)
GPT2 = dict(vocab_size=29, n_embd=8, n_layer=1, n_head=2, n_positions=20)
IMAGE = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12, image_size=16,
             patch_size=8)
SPEECH = dict(vocab_size=11, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12,
              conv_dim=[4, 4], conv_kernel=[4, 3], conv_stride=[2, 2], num_feat_extract_layers=2,
              num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2)


def small(config_class, **sizes):
    return lambda: getattr(T, config_class)(**sizes)


MODELS = {
    "blenderbot": ("BlenderbotForConditionalGeneration", small("BlenderbotConfig", **BART)),
    "convnext": ("ConvNextForImageClassification",
                 small("ConvNextConfig", hidden_sizes=[4, 8], depths=[1, 1], num_stages=2, patch_size=4,
                       image_size=16)),
    "ctrl": ("CTRLLMHeadModel", small("CTRLConfig", **GPT2, dff=12)),
    "data2vec-vision": ("Data2VecVisionModel", small("Data2VecVisionConfig", **IMAGE)),
    "deberta": ("DebertaForMaskedLM", small("DebertaConfig", **BERT, relative_attention=True, max_relative_positions=8,
                                            pos_att_type=["p2c", "c2p"])),
    "deit": ("DeiTForImageClassificationWithTeacher", small("DeiTConfig", **IMAGE)),
    "encoder-decoder": ("EncoderDecoderModel", lambda: T.EncoderDecoderConfig.from_encoder_decoder_configs(
        T.BertConfig(**BERT), T.BertConfig(**BERT))),
    "esm": ("EsmForMaskedLM", small("EsmConfig", **BERT, pad_token_id=1, mask_token_id=3)),
    "flaubert": ("FlaubertWithLMHeadModel",
                 small("FlaubertConfig", vocab_size=29, emb_dim=8, n_layers=1, n_heads=2, max_position_embeddings=20)),
    "gptj": ("GPTJForCausalLM", small("GPTJConfig", **GPT2, rotary_dim=4, n_inner=12)),
    "hubert": ("HubertForCTC", small("HubertConfig", **SPEECH)),
    "layoutlmv3": ("LayoutLMv3ForTokenClassification",
                   small("LayoutLMv3Config", **BERT, coordinate_size=1, shape_size=1, max_2d_position_embeddings=12,
                         input_size=16, patch_size=8)),
    "led": ("LEDForConditionalGeneration",
            small("LEDConfig", **{key: value for key, value in BART.items() if key != "max_position_embeddings"},
                  max_encoder_position_embeddings=20, max_decoder_position_embeddings=20, attention_window=4)),
    "mistral": ("MistralForCausalLM", small("MistralConfig", **BERT, num_key_value_heads=1)),
    "mt5": ("MT5ForConditionalGeneration", small("MT5Config", **T5, feed_forward_proj="gated-gelu")),
    "openai-gpt": ("OpenAIGPTLMHeadModel", small("OpenAIGPTConfig", **GPT2)),
    "opt": ("OPTForCausalLM", small("OPTConfig", vocab_size=29, hidden_size=8, num_hidden_layers=1, ffn_dim=12,
                                    num_attention_heads=2, max_position_embeddings=20, word_embed_proj_dim=4)),
    "regnet": ("RegNetForImageClassification",
               small("RegNetConfig", embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], groups_width=4)),
    "rembert": ("RemBertForMaskedLM", small("RemBertConfig", **BERT, input_embedding_size=4, output_embedding_size=6)),
    "roformer": ("RoFormerForMaskedLM", small("RoFormerConfig", **BERT, embedding_size=4)),
    "segformer": ("SegformerForImageClassification",
                  small("SegformerConfig", hidden_sizes=[4, 8], depths=[1, 1], num_encoder_blocks=2, sr_ratios=[2, 1],
                        num_attention_heads=[1, 2], patch_sizes=[3, 3], strides=[2, 2], mlp_ratios=[2, 2])),
    "speech_to_text": ("Speech2TextForConditionalGeneration",
                       small("Speech2TextConfig", **{key: value for key, value in BART.items()
                                                     if key != "max_position_embeddings"},
                             max_source_positions=20, max_target_positions=20, input_feat_per_channel=4,
                             conv_channels=8)),
    "tapas": ("TapasForQuestionAnswering",
              small("TapasConfig", **BERT, type_vocab_sizes=[3, 4, 4, 2, 4, 4, 2], num_aggregation_labels=2)),
    "vision-encoder-decoder": ("VisionEncoderDecoderModel",
                               lambda: T.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
                                   T.ViTConfig(**IMAGE), T.GPT2Config(**GPT2))),
    "vit_mae": ("ViTMAEForPreTraining",
                small("ViTMAEConfig", **IMAGE, decoder_hidden_size=8, decoder_num_attention_heads=2,
                      decoder_num_hidden_layers=1, decoder_intermediate_size=12)),
    "xglm": ("XGLMForCausalLM", small("XGLMConfig", vocab_size=29, d_model=8, num_layers=1, attention_heads=2,
                                      ffn_dim=12, max_position_embeddings=20)),
}


def write(name):
    import tensorflow

    class_name, make_config = MODELS[name]
    directory = ROOT / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    tensorflow.keras.backend.clear_session()
    generator = numpy.random.default_rng(0)
    model = getattr(T, "TF" + class_name)(make_config())
    model.build_in_name_scope()
    for weight in model.weights:
        if weight.dtype.is_floating:
            weight.assign(generator.normal(size=weight.shape, scale=0.2).astype(weight.dtype.as_numpy_dtype))
    model.save_pretrained(directory)
    print(name, (directory / "tf_model.h5").stat().st_size, flush=True)


def read_variables(path):
    """As transformers' load_tf_weights_from_h5 finds them."""
    import h5py

    with h5py.File(path) as file:
        return {variable: file[layer][variable][()] for layer in file.attrs["layer_names"]
                for variable in file[layer].attrs["weight_names"]}


def load(model, variables):
    """Loads the variables and gives the names of the parameters that none was found for."""
    from transformers.modeling_tf_pytorch_utils import load_tf2_state_dict_in_pytorch_model

    _, info = load_tf2_state_dict_in_pytorch_model(model, variables, allow_missing_keys=True, output_loading_info=True)
    return set(info["missing_keys"])


def load_halves(model, variables):
    """As from_pretrained of (Vision)EncoderDecoderModel: both models by themselves, with one level less."""
    missing = set()
    for half in ("encoder", "decoder"):
        part = {name.split("/", 1)[1]: value for name, value in variables.items() if name.split("/")[1] == half}
        missing |= {f"{half}.{name}" for name in load(getattr(model, half), part)}
    rest = {name: value for name, value in variables.items() if name.split("/")[1] not in ("encoder", "decoder")}
    return missing if not rest else missing & load(model, rest)


def expect(name):
    from safetensors.torch import save_file

    directory = ROOT / name
    config = T.AutoConfig.from_pretrained(directory)
    config._attn_implementation = "eager"
    model = getattr(T, MODELS[name][0])(config)
    variables = read_variables(directory / "tf_model.h5")
    missing = (load_halves if name.endswith("encoder-decoder") else load)(model, variables)
    parameters = {key: tensor.detach().clone().contiguous() for key, tensor in model.named_parameters()
                  if key not in missing}
    save_file(parameters, directory / "expected.safetensors", metadata={"format": "pt"})
    print(name, len(parameters), "missing:", sorted(missing - {key for key, _ in model.named_buffers()}), flush=True)


if __name__ == "__main__":
    T.logging.set_verbosity_error()
    for model_name in sys.argv[2:] or MODELS:
        {"write": write, "expect": expect}[sys.argv[1]](model_name)
