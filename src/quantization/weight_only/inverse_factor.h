#pragma once

#include <cstdint>
#include <span>

namespace onnxport::quantization {

/// Replaces a symmetric, positive definite matrix A [size, size], of which the upper triangle is read, by the upper
/// triangular U with UᵀU = A⁻¹ and a positive diagonal: numpy.linalg.cholesky(inv(A)).T. On all cores, in place.
/// Returns false, and leaves anything in `matrix`, if A is not positive definite or holds NaN.
///
/// A is never inverted: A = R Rᵀ with R upper triangular, by the algorithm of Cholesky from the last row to the first,
/// and U = R⁻¹.
bool factor_inverse(std::span<double> matrix, std::int64_t size);

}  // namespace onnxport::quantization
