#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "graph/lower_context.h"
#include "onnx/model.h"
#include "runtime/session.h"
#include "support/fixture.h"

/// decoder_model_merged of the fixtures: the decoders of an encoder-decoder in one file.
namespace onnxport::testing {

/// The files of one fixture's decoders with a cache.
struct DecoderPair {
  FixtureFile first;
  FixtureFile with_past;
};

inline void PrintTo(const DecoderPair& pair, std::ostream* out) {
  *out << pair.first.fixture << "/" << pair.first.task;
}

/// Of a test that goes over decoder_pairs().
std::string test_name(const ::testing::TestParamInfo<DecoderPair>& parameter);

std::vector<DecoderPair> decoder_pairs();
/// One of the two as it is exported alone: "decoder_model" or "decoder_with_past_model".
onnx::Model lower_decoder(const DecoderPair& pair, std::string_view name, const Target& target = {});
onnx::Model merge(const DecoderPair& pair, const Target& target = {});

/// nullptr if there is none of the name.
const Array* find(const NamedArrays& arrays, std::string_view name);
/// Floating point numbers in another type; integers stay.
Array converted(const Array& array, DataType type);
/// All that the merged model takes: the example's inputs, use_cache_branch, and for those that the other branch alone
/// has NaN, which would show if anything of it were read; `length` long, where a caller is free to choose.
NamedArrays branch_inputs(const Session& session, const NamedArrays& example, bool use_cache, std::int64_t length);

/// Runs a branch and compares its outputs with those of transformers; `tolerance` is that of the largest element, 1 at
/// least.
void expect_branch(const Session& session, const FixtureCase& example, bool use_cache, std::int64_t length,
                   double tolerance);

}  // namespace onnxport::testing
