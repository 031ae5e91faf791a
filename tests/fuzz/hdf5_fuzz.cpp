#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include "checkpoint/hdf5.h"
#include "onnxport/error.h"

/// Any bytes either are refused with Error or describe arrays that lie within them, asked as a file of Keras is asked.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    onnxport::Hdf5File file(std::as_bytes(std::span(data, size)), "fuzz.h5");
    for (const std::string& layer : file.strings("", "layer_names")) {
      for (const std::string& variable : file.strings(layer, "weight_names")) {
        const onnxport::Hdf5Dataset dataset = file.dataset(layer + "/" + variable);
        if (dataset.offset > size || dataset.size > size - dataset.offset) std::abort();
      }
    }
  } catch (const onnxport::Error& error) {
    if (error.kind() != onnxport::ErrorKind::InvalidCheckpoint) std::abort();
  }
  return 0;
}
