#include "quantization/weight_only/half_quadratic.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "core/parallel_for.h"

namespace onnxport::quantization {
namespace {

constexpr int kRounds = 20;
constexpr float kNorm = 0.7F;
constexpr double kFirstBeta = 10;
constexpr double kBetaGrowth = 1.01;
constexpr float kLargestReciprocal = 2e4F;
constexpr float kSmallestError = 1e-8F;
constexpr double kWorstError = 1e4;
/// Blocks that a thread takes at once, at least.
constexpr std::int64_t kGrain = 2048;

/// Errors that shrink() surely makes zero, which nearly all are: where e <= e^(p - 1) / beta.
float smallest_kept_error(float beta) { return 0.99F * std::pow(1.0F / beta, 1.0F / (2.0F - kNorm)); }

/// Soft threshold of the l_p norm: shrink_op of HQQWeightOnlyQuantizer.optimize_weights.
float shrink(float error, float beta, float smallest_kept) {
  const float size = std::fabs(error);
  if (size < smallest_kept) return 0.0F;
  const float shrunk = size - (1.0F / beta) * std::pow(size + kSmallestError, kNorm - 1.0F);
  return shrunk > 0.0F ? std::copysign(shrunk, error) : 0.0F;
}

void find_range(const BlockSettings& settings, std::span<const float> values, float& reciprocal, float& zero_point) {
  const auto largest = static_cast<float>((1 << settings.bits) - 1);
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const float width = *high - *low;
  // torch divides a number by a tensor as a product with the tensor's reciprocal, which rounds twice.
  reciprocal = std::min(1.0F / (width == 0.0F ? largest : width) * largest, kLargestReciprocal);
  zero_point = std::nearbyint(-*low * reciprocal);
}

/// A round for one block: moves the zero point, and gives the sum of absolute errors with the one before.
double improve(const BlockSettings& settings, std::span<const float> values, float reciprocal, float beta,
               float& zero_point) {
  const auto largest = static_cast<float>((1 << settings.bits) - 1);
  const float smallest_kept = smallest_kept_error(beta);
  double absolute_error = 0;
  double sum = 0;
  for (const float value : values) {
    const float quantized = round_half_even(std::clamp(value * reciprocal + zero_point, 0.0F, largest));
    const float error = value - (quantized - zero_point) / reciprocal;
    absolute_error += static_cast<double>(std::fabs(error));
    sum += static_cast<double>(quantized - (value - shrink(error, beta, smallest_kept)) * reciprocal);
  }
  zero_point = static_cast<float>(sum / static_cast<double>(values.size()));
  return absolute_error;
}

}  // namespace

SolvedScales solve_half_quadratic(const BlockSettings& settings, std::int64_t blocks, const ReadBlocks& read) {
  SolvedScales solved{std::vector<float>(static_cast<std::size_t>(blocks)),
                      std::vector<float>(static_cast<std::size_t>(blocks))};
  parallel_for(blocks, kGrain, [&](std::int64_t begin, std::int64_t end) {
    read(begin, end, [&](std::int64_t block, std::span<const float> values) {
      const auto at = static_cast<std::size_t>(block);
      find_range(settings, values, solved.reciprocals[at], solved.zero_points[at]);
    });
  });

  double best = kWorstError;
  double beta = kFirstBeta;
  for (int round = 0; round < kRounds; ++round) {
    std::mutex mutex;
    double error = 0;
    parallel_for(blocks, kGrain, [&](std::int64_t begin, std::int64_t end) {
      double error_of_range = 0;
      read(begin, end, [&](std::int64_t block, std::span<const float> values) {
        const auto at = static_cast<std::size_t>(block);
        error_of_range +=
            improve(settings, values, solved.reciprocals[at], static_cast<float>(beta), solved.zero_points[at]);
      });
      const std::scoped_lock lock(mutex);
      error += error_of_range;
    });
    beta *= kBetaGrowth;
    error /= static_cast<double>(blocks * settings.block_size);
    if (!(error < best)) break;
    best = error;
  }
  return solved;
}

}  // namespace onnxport::quantization
