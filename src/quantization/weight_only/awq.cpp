#include "quantization/weight_only/awq.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <mutex>
#include <string_view>

#include "core/parallel_for.h"
#include "ops/gemm.h"
#include "quantization/weight_only/weight_vectors.h"

namespace onnxport::quantization {
namespace {

constexpr int kScaleSteps = 20;
constexpr int kClipSteps = 10;
constexpr double kStep = 1.0 / 20;
constexpr double kSmallestScale = 1e-4;
constexpr float kSmallestRange = 1e-5F;
/// Vectors that a thread takes at once.
constexpr std::int64_t kColumns = 64;

/// Σ x xᵀ over the rows' number, complete and in float: what errors are measured with.
std::vector<float> mean_products(const ActivationStatistics& activations) {
  const std::int64_t size = activations.size();
  const double rows = static_cast<double>(std::max<std::int64_t>(activations.rows(), 1));
  std::vector<float> products(static_cast<std::size_t>(size * size));
  for (std::int64_t i = 0; i < size; ++i) {
    for (std::int64_t j = i; j < size; ++j) {
      const auto value = static_cast<float>(activations.gram()[static_cast<std::size_t>(i * size + j)] / rows);
      products[static_cast<std::size_t>(i * size + j)] = value;
      products[static_cast<std::size_t>(j * size + i)] = value;
    }
  }
  return products;
}

/// Rounds blocks to nearest and gives back what they stand for. With zero points as pseudo_quantize_tensor of the
/// authors does it, but for ranges that leave 0 out, where that fails; without, which it cannot do, as MatMulNBits'
/// quantizer.
class BlockRounder {
 public:
  explicit BlockRounder(const BlockSettings& settings)
      : settings_(settings),
        integers_(static_cast<std::size_t>(settings.block_size)),
        packed_(static_cast<std::size_t>(settings.block_size * settings.bits / 8)),
        rounded_(integers_.size()) {
    settings_.method = BlockMethod::RoundToNearest;
  }

  /// `block` of block_size values. What is returned holds until the next call.
  std::span<const float> round(std::span<const float> block) {
    if (settings_.is_symmetric) {
      quantize_blocks(settings_, block, {packed_.data(), &scale_, &zero_point_, &error_});
      unpack();
    } else {
      quantize(block);
    }
    for (std::size_t i = 0; i < rounded_.size(); ++i)
      rounded_[i] = scale_ * static_cast<float>(static_cast<int>(integers_[i]) - static_cast<int>(zero_point_));
    return rounded_;
  }

  /// Of the block that was rounded last.
  std::span<const std::uint8_t> packed() {
    if (!settings_.is_symmetric) pack_bits(integers_, settings_.bits, packed_.data());
    return packed_;
  }
  float scale() const { return scale_; }
  std::uint8_t zero_point() const { return zero_point_; }

 private:
  void quantize(std::span<const float> block) {
    const auto largest = static_cast<float>((1 << settings_.bits) - 1);
    float low = 0;
    float high = 0;
    for (const float value : block) {
      low = std::min(low, value);
      high = std::max(high, value);
    }
    scale_ = round_scale(std::max(high - low, kSmallestRange) / largest, settings_.scale_type);
    if (scale_ == 0) scale_ = 1;  // what Float16 cannot tell from 0
    const float zero_point = std::clamp(std::nearbyint(-low / scale_), 0.0F, largest);
    zero_point_ = static_cast<std::uint8_t>(zero_point);
    for (std::size_t i = 0; i < block.size(); ++i) {
      const float integer = std::nearbyint(block[i] / scale_) + zero_point;
      integers_[i] = static_cast<std::uint8_t>(integer > 0 ? std::min(integer, largest) : 0.0F);  // NaN becomes 0
    }
  }

  void unpack() {
    const auto per_byte = static_cast<std::size_t>(8 / settings_.bits);
    const int mask = (1 << settings_.bits) - 1;
    for (std::size_t i = 0; i < integers_.size(); ++i)
      integers_[i] =
          static_cast<std::uint8_t>(packed_[i / per_byte] >> (static_cast<int>(i % per_byte) * settings_.bits) & mask);
  }

  BlockSettings settings_;
  std::vector<std::uint8_t> integers_;
  std::vector<std::uint8_t> packed_;
  std::vector<float> rounded_;
  float scale_ = 0;
  std::uint8_t zero_point_ = 0;
  BlockError error_;
};

/// A block of one vector: its rows begin at `begin` and are `rows` many, the rest of it is zeros.
struct Block {
  std::int64_t begin;
  std::int64_t rows;
  std::span<const float> values;
};

/// Some vectors of a weight, times the scales.
class ScaledVectors {
 public:
  ScaledVectors(const WeightVectors& vectors, std::int64_t block_size, std::span<const float> scales,
                std::int64_t first, std::int64_t last)
      : columns_(last - first),
        size_(vectors.vector_size()),
        values_(static_cast<std::size_t>(size_ * columns_)),
        block_(static_cast<std::size_t>(block_size)) {
    vectors.read(first, last, values_);
    if (scales.empty()) return;
    for (std::int64_t k = 0; k < size_; ++k)
      for (std::int64_t column = 0; column < columns_; ++column)
        values_[static_cast<std::size_t>(k * columns_ + column)] *= scales[static_cast<std::size_t>(k)];
  }

  std::span<const float> values() const { return values_; }  ///< [K, columns]

  Block block(std::int64_t column, std::int64_t index) {
    const auto block_size = std::ssize(block_);
    const std::int64_t begin = index * block_size;
    const std::int64_t rows = std::min(block_size, size_ - begin);
    for (std::int64_t k = 0; k < rows; ++k)
      block_[static_cast<std::size_t>(k)] = values_[static_cast<std::size_t>((begin + k) * columns_ + column)];
    std::fill(block_.begin() + rows, block_.end(), 0.0F);
    return {begin, rows, block_};
  }

 private:
  std::int64_t columns_;
  std::int64_t size_;
  std::vector<float> values_;
  std::vector<float> block_;
};

std::int64_t block_count(const WeightVectors& vectors, const WeightSettings& settings) {
  return (vectors.vector_size() + settings.block.block_size - 1) / settings.block.block_size;
}

/// Calls use(first, last) for a few vectors at a time, on all cores.
template <typename Use>
void for_vectors(const WeightVectors& vectors, const Use& use) {
  parallel_for(vectors.vectors(), kColumns / 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t first = begin; first < end; first += kColumns) use(first, std::min(first + kColumns, end));
  });
}

// ---- Scales ---------------------------------------------------------------------------------------------------------

std::vector<float> scales_of(const std::vector<double>& magnitudes, double power) {
  std::vector<float> scales;
  for (const double magnitude : magnitudes)
    scales.push_back(static_cast<float>(std::max(std::pow(magnitude, power), kSmallestScale)));
  const auto [least, largest] = std::minmax_element(scales.begin(), scales.end());
  const float middle = std::sqrt(*least * *largest);
  for (float& scale : scales) scale /= middle;
  return scales;
}

/// The mean square of what the product loses when the weight times `scales` is rounded.
double product_error(const AwqWeight& weight, std::span<const float> scales, const std::vector<float>& products) {
  const WeightVectors vectors(weight.weight, weight.settings.layout);
  const std::int64_t size = vectors.vector_size();
  const std::int64_t blocks = block_count(vectors, weight.settings);
  std::mutex mutex;
  double sum = 0;
  for_vectors(vectors, [&](std::int64_t first, std::int64_t last) {
    const std::int64_t columns = last - first;
    ScaledVectors scaled(vectors, weight.settings.block.block_size, scales, first, last);
    BlockRounder rounder(weight.settings.block);
    std::vector<float> errors(static_cast<std::size_t>(size * columns));
    for (std::int64_t column = 0; column < columns; ++column) {
      for (std::int64_t index = 0; index < blocks; ++index) {
        const Block block = scaled.block(column, index);
        const std::span<const float> rounded = rounder.round(block.values);
        for (std::int64_t k = 0; k < block.rows; ++k) {
          const auto at = static_cast<std::size_t>(k);
          errors[static_cast<std::size_t>((block.begin + k) * columns + column)] =
              (rounded[at] - block.values[at]) / scales[static_cast<std::size_t>(block.begin + k)];
        }
      }
    }
    std::vector<float> weighted(errors.size());
    ops::gemm(1.0F, {products.data(), size, size, size, 1}, {errors.data(), size, columns, columns, 1}, 0.0F,
              weighted.data(), columns);
    double part = 0;
    for (std::size_t i = 0; i < errors.size(); ++i)
      part += static_cast<double>(errors[i]) * static_cast<double>(weighted[i]);
    const std::scoped_lock lock(mutex);
    sum += part;
  });
  return sum / static_cast<double>(vectors.vectors());
}

// ---- Ranges ---------------------------------------------------------------------------------------------------------

/// Finds the largest magnitude that a block keeps.
class ClipSearch {
 public:
  ClipSearch(const BlockSettings& settings, std::span<const float> scales, const std::vector<float>& products,
             std::int64_t size)
      : rounder_(settings), scales_(scales), products_(products), size_(size) {
    clipped_.resize(static_cast<std::size_t>(settings.block_size));
    errors_.resize(clipped_.size());
  }

  float find(const Block& block) {
    float largest = 0;
    for (const float value : block.values) largest = std::max(largest, std::fabs(value));
    float best = largest;
    double least = std::numeric_limits<double>::infinity();
    for (int step = 0; step < kClipSteps; ++step) {
      const float limit = largest * static_cast<float>(1 - step * kStep);
      const double error = error_with(block, limit);
      if (!(error < least)) continue;
      least = error;
      best = limit;
    }
    return best;
  }

 private:
  double error_with(const Block& block, float limit) {
    for (std::size_t i = 0; i < clipped_.size(); ++i) clipped_[i] = std::clamp(block.values[i], -limit, limit);
    const std::span<const float> rounded = rounder_.round(clipped_);
    const auto rows = static_cast<std::size_t>(block.rows);
    for (std::size_t k = 0; k < rows; ++k) {
      const float error = rounded[k] - block.values[k];
      errors_[k] = scales_.empty() ? error : error / scales_[static_cast<std::size_t>(block.begin) + k];
    }
    double sum = 0;
    for (std::size_t k = 0; k < rows; ++k) {
      const float* row = products_.data() + (block.begin + static_cast<std::int64_t>(k)) * size_ + block.begin;
      float weighted = 0;
      for (std::size_t j = 0; j < rows; ++j) weighted += row[j] * errors_[j];
      sum += static_cast<double>(errors_[k]) * static_cast<double>(weighted);
    }
    return sum;
  }

  BlockRounder rounder_;
  std::span<const float> scales_;
  const std::vector<float>& products_;
  std::int64_t size_;
  std::vector<float> clipped_;
  std::vector<float> errors_;
};

}  // namespace

std::vector<float> search_awq_scales(std::span<const AwqWeight> weights, const ActivationStatistics& activations) {
  const std::vector<double> magnitudes = activations.mean_magnitudes();
  const std::vector<float> products = mean_products(activations);
  std::vector<float> best;
  double least = std::numeric_limits<double>::infinity();
  for (int step = 0; step < kScaleSteps; ++step) {
    const std::vector<float> scales = scales_of(magnitudes, step * kStep);
    double error = 0;
    for (const AwqWeight& weight : weights) error += product_error(weight, scales, products);
    if (!best.empty() && !(error < least)) continue;
    least = error;
    best = scales;
  }
  return best;
}

std::vector<float> search_awq_clips(const AwqWeight& weight, std::span<const float> scales,
                                    const ActivationStatistics& activations) {
  const WeightVectors vectors(weight.weight, weight.settings.layout);
  const std::int64_t blocks = block_count(vectors, weight.settings);
  const std::vector<float> products = mean_products(activations);
  std::vector<float> clips(static_cast<std::size_t>(vectors.vectors() * blocks));
  for_vectors(vectors, [&](std::int64_t first, std::int64_t last) {
    ScaledVectors scaled(vectors, weight.settings.block.block_size, scales, first, last);
    ClipSearch search(weight.settings.block, scales, products, vectors.vector_size());
    for (std::int64_t vector = first; vector < last; ++vector)
      for (std::int64_t index = 0; index < blocks; ++index)
        clips[static_cast<std::size_t>(vector * blocks + index)] = search.find(scaled.block(vector - first, index));
  });
  return clips;
}

SolvedWeight solve_awq(const AwqWeight& weight, std::span<const float> scales,
                       const ActivationStatistics& activations) {
  const WeightVectors vectors(weight.weight, weight.settings.layout);
  const BlockSettings& settings = weight.settings.block;
  const std::int64_t blocks = block_count(vectors, weight.settings);
  const std::vector<float> clips =
      weight.is_clipped ? search_awq_clips(weight, scales, activations) : std::vector<float>();
  const auto count = static_cast<std::size_t>(vectors.vectors() * blocks);
  const auto block_bytes = static_cast<std::size_t>(settings.block_size * settings.bits / 8);
  SolvedWeight solved;
  solved.packed.resize(count * block_bytes);
  solved.scales.resize(count);
  if (!settings.is_symmetric) solved.zero_points.resize(count);
  std::mutex mutex;
  for_vectors(vectors, [&](std::int64_t first, std::int64_t last) {
    ScaledVectors scaled(vectors, settings.block_size, scales, first, last);
    BlockRounder rounder(settings);
    std::vector<float> clipped(static_cast<std::size_t>(settings.block_size));
    WeightError error;
    for (std::int64_t vector = first; vector < last; ++vector) {
      for (std::int64_t index = 0; index < blocks; ++index) {
        const Block block = scaled.block(vector - first, index);
        const auto at = static_cast<std::size_t>(vector * blocks + index);
        std::copy(block.values.begin(), block.values.end(), clipped.begin());
        if (!clips.empty())
          for (float& value : clipped) value = std::clamp(value, -clips[at], clips[at]);
        const std::span<const float> rounded = rounder.round(clipped);
        std::copy(rounder.packed().begin(), rounder.packed().end(),
                  solved.packed.begin() + static_cast<std::ptrdiff_t>(at * block_bytes));
        solved.scales[at] = rounder.scale();
        if (!settings.is_symmetric) solved.zero_points[at] = rounder.zero_point();
        for (std::int64_t k = 0; k < block.rows; ++k) {
          const auto row = static_cast<std::size_t>(k);
          const float scale = scales.empty() ? 1.0F : scales[static_cast<std::size_t>(block.begin + k)];
          error.add(static_cast<double>(block.values[row] / scale), static_cast<double>(rounded[row] / scale));
        }
      }
    }
    const std::scoped_lock lock(mutex);
    solved.error.add(error);
  });
  return solved;
}

bool is_clipped_by_awq(std::span<const std::string> names) {
  constexpr std::array<std::string_view, 5> kKept = {"q_", "k_", "query", "key", "Wqkv"};
  return std::none_of(names.begin(), names.end(), [&](const std::string& name) {
    return std::any_of(kKept.begin(), kKept.end(),
                       [&](std::string_view part) { return name.find(part) != std::string::npos; });
  });
}

}  // namespace onnxport::quantization
