#pragma once

#include <string>

#include "architectures/build.h"
#include "onnx/model.h"
#include "runtime/session.h"
#include "support/fixture.h"

namespace onnxport::testing {

/// The graph of a fixture's ONNX file.
BuiltModel build_fixture(const FixtureFile& file, const OutputRequest& outputs = {});
/// A session of a fixture's model.
Session load_fixture(const FixtureFile& file, const onnx::Model& model);
/// The array of a name, or nullptr.
const Array* find(const NamedArrays& arrays, const std::string& name);
/// Fails the running test unless shape and type are those expected and no element differs by more than
/// max(atol, 1e-4 * max(1, max|expected|)).
void expect_close(const Array& actual, const Array& expected, double atol, const std::string& what);

}  // namespace onnxport::testing
