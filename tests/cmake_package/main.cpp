#include <iostream>

#include <onnxport/error.h>

int main() {
  try {
    throw onnxport::Error(onnxport::ErrorKind::InvalidArgument, "thrown and caught");
  } catch (const onnxport::Error& error) {
    std::cout << onnxport::to_string(error.kind()) << ": " << error.what() << '\n';
  }
}
