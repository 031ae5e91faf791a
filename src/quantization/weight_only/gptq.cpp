#include "quantization/weight_only/gptq.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "core/parallel_for.h"
#include "ops/gemm.h"
#include "quantization/weight_only/inverse_factor.h"
#include "quantization/weight_only/solved_vectors.h"
#include "quantization/weight_only/weight_vectors.h"

namespace onnxport::quantization {
namespace {

/// Rows whose errors reach all later ones together, as one product of matrices. Scales of blocks inside are found
/// before: the number is part of the result (blocksize of fasterquant).
constexpr std::int64_t kRows = 128;
/// Vectors that a thread rounds at once.
constexpr std::int64_t kColumns = 128;

/// The search of Quantizer.find_params with mse.
constexpr int kGrid = 100;
constexpr int kShrinkSteps = 80;
constexpr float kNorm = 2.4F;

// ---- Activations ----------------------------------------------------------------------------------------------------

std::vector<std::int64_t> order_of(const std::vector<double>& gram, std::int64_t size, bool by_activation) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(size));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  if (!by_activation) return order;
  const auto square = [&](std::int64_t i) { return gram[static_cast<std::size_t>(i * size + i)]; };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int64_t left, std::int64_t right) { return square(left) > square(right); });
  return order;
}

std::vector<double> permuted(const std::vector<double>& gram, std::int64_t size,
                             const std::vector<std::int64_t>& order) {
  std::vector<double> result(gram.size());
  for (std::int64_t i = 0; i < size; ++i) {
    for (std::int64_t j = i; j < size; ++j) {
      const auto [low, high] = std::minmax(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(j)]);
      result[static_cast<std::size_t>(i * size + j)] = gram[static_cast<std::size_t>(low * size + high)];
    }
  }
  return result;
}

// ---- Scales ---------------------------------------------------------------------------------------------------------

float quantize(float value, const SolvedScale& scale, float largest) {
  // What lies further out is cut off anyway, and round_half_even takes no more.
  const float beyond = 2 * largest + 2;
  const float integer = round_half_even(std::clamp(value / scale.scale, -beyond, beyond)) + scale.zero_point;
  return integer > 0 ? std::min(integer, largest) : 0.0F;  // NaN becomes 0
}

class ScaleFinder {
 public:
  ScaleFinder(const BlockSettings& settings, bool search)
      : largest_(static_cast<float>((1 << settings.bits) - 1)),
        is_symmetric_(settings.is_symmetric),
        type_(settings.scale_type),
        search_(search) {}

  float largest() const { return largest_; }

  /// Of `rows` values, `stride` from each other: Quantizer.find_params.
  SolvedScale find(const float* values, std::int64_t rows, std::int64_t stride) const {
    float low = 0;
    float high = 0;
    for (std::int64_t k = 0; k < rows; ++k) {
      low = std::min(low, values[k * stride]);
      high = std::max(high, values[k * stride]);
    }
    if (is_symmetric_) {
      high = std::max(std::fabs(low), high);
      low = -high;
    }
    if (low == 0 && high == 0) {
      low = -1;
      high = 1;
    }
    const SolvedScale widest = scale_of(low, high);
    return search_ ? best_of(values, rows, stride, low, high) : widest;
  }

 private:
  SolvedScale scale_of(float low, float high) const {
    SolvedScale result;
    result.scale = storable((high - low) / largest_);
    result.zero_point =
        is_symmetric_ ? (largest_ + 1) / 2 : std::clamp(std::nearbyint(-low / result.scale), 0.0F, largest_);
    return result;
  }

  /// One that can be stored; where it vanishes, all integers stand for 0.
  float storable(float scale) const {
    const float rounded =
        type_ == DataType::BFloat16 ? bfloat16_to_float32(float32_to_bfloat16(scale)) : round_scale(scale, type_);
    return rounded > 0 ? rounded : 1.0F;
  }

  SolvedScale best_of(const float* values, std::int64_t rows, std::int64_t stride, float low, float high) const {
    SolvedScale best;
    float least = std::numeric_limits<float>::infinity();
    for (int step = 0; step < kShrinkSteps; ++step) {
      const float part = 1 - static_cast<float>(step) / static_cast<float>(kGrid);
      const SolvedScale scale = scale_of(part * low, part * high);
      float error = 0;
      for (std::int64_t k = 0; k < rows; ++k) {
        const float value = values[k * stride];
        const float rounded = scale.scale * (quantize(value, scale, largest_) - scale.zero_point);
        error += std::pow(std::fabs(rounded - value), kNorm);
      }
      if (error < least || step == 0) {
        least = error;
        best = scale;
      }
    }
    return best;
  }

  float largest_;
  bool is_symmetric_;
  DataType type_;
  bool search_;
};

// ---- Some vectors of a weight ---------------------------------------------------------------------------------------

/// Columns of the weight, which become integers from the first row to the last.
class Solver {
 public:
  Solver(const WeightSettings& settings, const GptqFactor& factor, const GptqConfig& config, std::int64_t columns)
      : factor_(factor),
        finder_(settings.block, config.mse),
        has_static_scales_(config.actorder),
        block_size_(settings.block.block_size),
        columns_(columns),
        size_(factor.size),
        values_(static_cast<std::size_t>(size_ * columns)),
        block_values_(static_cast<std::size_t>(kRows * columns)),
        errors_(static_cast<std::size_t>(kRows * columns)),
        integers_(static_cast<std::size_t>(size_ * columns)),
        scales_(static_cast<std::size_t>((size_ + block_size_ - 1) / block_size_ * columns)) {}

  /// [K, columns], as the weight has them.
  std::span<float> values() { return values_; }

  void run() {
    drop_dead_rows();
    if (has_static_scales_)
      for (std::int64_t block = 0; block * block_size_ < size_; ++block) find_scales(block);
    put_in_order();
    for (std::int64_t begin = 0; begin < size_; begin += kRows) {
      const std::int64_t end = std::min(begin + kRows, size_);
      std::copy(row(begin), row(begin) + (end - begin) * columns_, block_values_.begin());
      for (std::int64_t step = begin; step < end; ++step) round_row(step, begin, end);
      ops::gemm(-1.0F, ops::MatrixView{upper(begin) + end, end - begin, size_ - end, size_, 1}.transposed(),
                {errors_.data(), end - begin, columns_, columns_, 1}, 1.0F, row(end), columns_);
    }
  }

  std::span<const std::uint8_t> integers() const { return integers_; }
  std::span<const SolvedScale> scales() const { return scales_; }

 private:
  float* row(std::int64_t k) { return values_.data() + k * columns_; }
  const float* upper(std::int64_t step) const { return factor_.upper.data() + step * size_; }

  void drop_dead_rows() {
    for (std::int64_t k = 0; k < size_; ++k)
      if (factor_.dead[static_cast<std::size_t>(k)] != 0) std::fill_n(row(k), columns_, 0.0F);
  }

  void put_in_order() {
    if (!has_static_scales_) return;
    std::vector<float> ordered(values_.size());
    for (std::int64_t step = 0; step < size_; ++step)
      std::copy_n(row(factor_.order[static_cast<std::size_t>(step)]), columns_, ordered.begin() + step * columns_);
    values_ = std::move(ordered);
  }

  void find_scales(std::int64_t block) {
    const std::int64_t begin = block * block_size_;
    const std::int64_t rows = std::min(block_size_, size_ - begin);
    for (std::int64_t column = 0; column < columns_; ++column)
      scales_[static_cast<std::size_t>(block * columns_ + column)] = finder_.find(row(begin) + column, rows, columns_);
  }

  void round_row(std::int64_t step, std::int64_t begin, std::int64_t end) {
    const std::int64_t k = factor_.order[static_cast<std::size_t>(step)];
    // From the weight as it was before this block of rows, as fasterquant does it.
    if (!has_static_scales_ && step % block_size_ == 0) find_scales(step / block_size_);
    const SolvedScale* scales = scales_.data() + k / block_size_ * columns_;
    const float* factors = upper(step);
    const float* values = block_values_.data() + (step - begin) * columns_;
    float* errors = errors_.data() + (step - begin) * columns_;
    std::uint8_t* integers = integers_.data() + k * columns_;
    for (std::int64_t column = 0; column < columns_; ++column) {
      const float integer = quantize(values[column], scales[column], finder_.largest());
      integers[column] = static_cast<std::uint8_t>(integer);
      errors[column] = (values[column] - scales[column].scale * (integer - scales[column].zero_point)) / factors[step];
    }
    for (std::int64_t later = step + 1; later < end; ++later) {
      float* target = block_values_.data() + (later - begin) * columns_;
      const float factor = factors[later];
      for (std::int64_t column = 0; column < columns_; ++column) target[column] -= errors[column] * factor;
    }
  }

  const GptqFactor& factor_;
  ScaleFinder finder_;
  bool has_static_scales_;
  std::int64_t block_size_;
  std::int64_t columns_;
  std::int64_t size_;
  std::vector<float> values_;        ///< [K, columns], what is left to be rounded
  std::vector<float> block_values_;  ///< the rows that are rounded now
  std::vector<float> errors_;        ///< theirs
  std::vector<std::uint8_t> integers_;
  std::vector<SolvedScale> scales_;  ///< [blocks, columns]
};

}  // namespace

std::optional<GptqFactor> factor_activations(ActivationStatistics activations, const GptqConfig& config) {
  GptqFactor factor;
  factor.size = activations.size();
  // The mean over samples of 2 Σ x xᵀ, as fasterquant has it. Only inputs that are dead notice the factor: 1 stands in
  // for their squares.
  const double mean = 2.0 / static_cast<double>(std::max<std::int64_t>(activations.samples(), 1));
  std::vector<double> gram = activations.take_gram();
  for (double& sum : gram) sum *= mean;
  const auto diagonal = [&](std::int64_t i) -> double& { return gram[static_cast<std::size_t>(i * factor.size + i)]; };
  double trace = 0;
  for (std::int64_t i = 0; i < factor.size; ++i) {
    factor.dead.push_back(diagonal(i) == 0 ? 1 : 0);
    if (diagonal(i) == 0) diagonal(i) = 1;
    trace += diagonal(i);
  }
  factor.order = order_of(gram, factor.size, config.actorder);
  if (config.actorder) gram = permuted(gram, factor.size, factor.order);
  for (std::int64_t i = 0; i < factor.size; ++i)
    diagonal(i) += config.percdamp * trace / static_cast<double>(factor.size);
  if (!factor_inverse(gram, factor.size)) return std::nullopt;
  factor.upper.assign(gram.begin(), gram.end());
  return factor;
}

SolvedWeight solve_gptq(const TensorSource& weight, const WeightSettings& settings, const GptqFactor& factor,
                        const GptqConfig& config) {
  const WeightVectors vectors(weight, settings.layout);
  SolvedVectors solved(vectors.vectors(), vectors.vector_size(), settings.block);
  parallel_for(vectors.vectors(), kColumns / 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t first = begin; first < end; first += kColumns) {
      const std::int64_t last = std::min(first + kColumns, end);
      Solver solver(settings, factor, config, last - first);
      vectors.read(first, last, solver.values());
      const std::vector<float> values(solver.values().begin(), solver.values().end());
      solver.run();
      solved.store(first, last, values, solver.integers(), solver.scales());
    }
  });
  return solved.take();
}

}  // namespace onnxport::quantization
