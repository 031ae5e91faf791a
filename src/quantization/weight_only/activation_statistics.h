#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace onnxport::quantization {

/// What calibrated algorithms need to know of the rows x that a weight is multiplied with: sums over all of them, from
/// which the error of any other weight follows, since |xᵀδ|² summed over the rows is δᵀ(Σ x xᵀ)δ.
class ActivationStatistics {
 public:
  explicit ActivationStatistics(std::int64_t size);

  /// The rows of a sample, of `size` values each. On all cores.
  void add(std::span<const float> values);

  std::int64_t size() const { return size_; }
  std::int64_t samples() const { return samples_; }
  std::int64_t rows() const { return rows_; }
  /// Whether no value was infinite, NaN or so large that its square is.
  bool is_finite() const;
  /// Σ x xᵀ, [size, size], of which the upper triangle is there. Summed in double over what each call of add gave in
  /// float.
  const std::vector<double>& gram() const { return gram_; }
  std::vector<double> take_gram() { return std::move(gram_); }
  /// Mean |x|, [size].
  std::vector<double> mean_magnitudes() const;

 private:
  std::int64_t size_;
  std::int64_t samples_ = 0;
  std::int64_t rows_ = 0;
  std::vector<double> gram_;
  std::vector<double> magnitudes_;
};

}  // namespace onnxport::quantization
