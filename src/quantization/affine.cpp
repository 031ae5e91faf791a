#include "quantization/affine.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <mutex>
#include <span>
#include <utility>

#include "core/parallel_for.h"
#include "onnxport/error.h"

namespace onnxport::quantization {
namespace {

/// Elements that one thread reads at a time.
constexpr std::int64_t kBlock = std::int64_t{1} << 16;

struct IntegerRange {
  std::int32_t minimum;
  std::int32_t maximum;
};

/// get_qmin_qmax_for_qType: the integers that a range is spread over. Symmetric ones leave out -128.
IntegerRange used_integers(const AffineScheme& scheme) {
  if (scheme.type == DataType::Int8) {
    if (scheme.reduce_range) return {-64, 64};
    return {scheme.symmetric ? -127 : -128, 127};
  }
  return {0, scheme.reduce_range ? 127 : 255};
}

/// A tensor as [outer, channels, inner]; without an axis all is one channel.
struct ChannelView {
  std::int64_t channels = 1;
  std::int64_t inner = 0;

  ChannelView(std::span<const std::int64_t> shape, std::optional<std::int64_t> axis) {
    const auto first = axis ? static_cast<std::size_t>(*axis) : 0;
    if (axis) channels = shape[first];
    inner = element_count(shape.subspan(axis ? first + 1 : 0));
  }
};

/// Calls visit(offset, size, channel) for each run of elements of one channel in [first, first + count).
template <typename Visit>
void for_each_run(const ChannelView& view, std::int64_t first, std::int64_t count, const Visit& visit) {
  if (view.channels == 1) return visit(0, static_cast<std::size_t>(count), 0);
  std::int64_t channel = first / view.inner % view.channels;
  std::int64_t run = view.inner - first % view.inner;
  for (std::int64_t offset = 0; offset < count; run = view.inner) {
    run = std::min(run, count - offset);
    visit(static_cast<std::size_t>(offset), static_cast<std::size_t>(run), static_cast<std::size_t>(channel));
    offset += run;
    if (++channel == view.channels) channel = 0;
  }
}

/// Widens `range` to the values; false if one of them is NaN or infinite.
bool widen(ValueRange& range, std::span<const float> values) {
  float low = range.minimum;
  float high = range.maximum;
  float zero = 0;  // x - x is 0 for finite elements and NaN for others
  std::size_t i = 0;
  constexpr std::size_t lanes = 16;
  if (values.size() >= 4 * lanes) {
    // Lanes that do not wait for each other become vector instructions.
    std::array<float, lanes> lows;
    std::array<float, lanes> highs;
    std::array<float, lanes> zeros{};
    lows.fill(low);
    highs.fill(high);
    for (; i + lanes <= values.size(); i += lanes) {
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        const float x = values[i + lane];
        lows[lane] = x < lows[lane] ? x : lows[lane];
        highs[lane] = x > highs[lane] ? x : highs[lane];
        zeros[lane] += x - x;
      }
    }
    low = *std::min_element(lows.begin(), lows.end());
    high = *std::max_element(highs.begin(), highs.end());
    for (const float lane : zeros) zero += lane;
  }
  for (; i < values.size(); ++i) {
    low = std::min(low, values[i]);
    high = std::max(high, values[i]);
    zero += values[i] - values[i];
  }
  range = {low, high};
  return zero == 0;
}

template <typename Integer>
void quantize_run(std::span<const float> values, const AffineParameters& parameters, std::span<Integer> out) {
  const auto zero_point = static_cast<float>(parameters.zero_point);
  // numpy divides by the scale in float32: a product with its inverse would differ in the last bit.
  constexpr auto minimum = static_cast<float>(std::numeric_limits<Integer>::min());
  constexpr auto maximum = static_cast<float>(std::numeric_limits<Integer>::max());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float rounded = std::nearbyintf(values[i] / parameters.scale) + zero_point;
    out[i] = static_cast<Integer>(static_cast<std::int32_t>(std::min(std::max(rounded, minimum), maximum)));
  }
}

template <typename Integer>
std::function<void(std::int64_t, std::span<std::byte>)> quantizing(TensorSource real,
                                                                   std::vector<AffineParameters> parameters,
                                                                   std::optional<std::int64_t> axis) {
  const ChannelView view(real.shape, axis);
  return
      [real = std::move(real), parameters = std::move(parameters), view](std::int64_t first, std::span<std::byte> out) {
        parallel_for(static_cast<std::int64_t>(out.size()), kBlock, [&](std::int64_t begin, std::int64_t end) {
          std::vector<float> values(static_cast<std::size_t>(std::min(end - begin, kBlock)));
          for (std::int64_t at = begin; at < end; at += kBlock) {
            const auto count = static_cast<std::size_t>(std::min(end - at, kBlock));
            const std::span<float> block(values.data(), count);
            read_elements(real, first + at, std::as_writable_bytes(block));
            const std::span<Integer> target(reinterpret_cast<Integer*>(out.data()) + at, count);
            for_each_run(
                view, first + at, std::ssize(block), [&](std::size_t offset, std::size_t size, std::size_t channel) {
                  quantize_run<Integer>(block.subspan(offset, size), parameters[channel], target.subspan(offset, size));
                });
          }
        });
      };
}

}  // namespace

AffineParameters affine_parameters(ValueRange range, const AffineScheme& scheme) {
  const IntegerRange integers = used_integers(scheme);
  float minimum = std::min(range.minimum, 0.0F);
  float maximum = std::max(range.maximum, 0.0F);
  if (scheme.symmetric) {
    maximum = std::max(std::fabs(minimum), std::fabs(maximum));
    minimum = -maximum;
  }
  const double scale = (static_cast<double>(maximum) - static_cast<double>(minimum)) /
                       static_cast<double>(integers.maximum - integers.minimum);
  if (scale < static_cast<double>(std::numeric_limits<float>::min())) return {};
  AffineParameters result;
  result.scale = static_cast<float>(scale);
  const double zero_point = scheme.symmetric ? (integers.minimum + integers.maximum) / 2.0
                                             : integers.minimum - static_cast<double>(minimum) / scale;
  result.zero_point = static_cast<std::int32_t>(std::nearbyint(zero_point));
  return result;
}

std::vector<ValueRange> value_ranges(const TensorSource& real, std::optional<std::int64_t> axis,
                                     std::string_view name) {
  const ChannelView view(real.shape, axis);
  const std::int64_t count = real.element_count();
  if (count == 0) return std::vector<ValueRange>(static_cast<std::size_t>(view.channels));
  constexpr float infinity = std::numeric_limits<float>::infinity();
  std::vector<ValueRange> ranges(static_cast<std::size_t>(view.channels), {infinity, -infinity});
  std::mutex mutex;
  parallel_for(count, kBlock, [&](std::int64_t begin, std::int64_t end) {
    std::vector<ValueRange> mine(ranges.size(), {infinity, -infinity});
    std::vector<float> values(static_cast<std::size_t>(std::min(end - begin, kBlock)));
    bool is_finite = true;
    for (std::int64_t at = begin; at < end; at += kBlock) {
      const std::span<float> block(values.data(), static_cast<std::size_t>(std::min(end - at, kBlock)));
      read_elements(real, at, std::as_writable_bytes(block));
      for_each_run(view, at, std::ssize(block), [&](std::size_t offset, std::size_t size, std::size_t channel) {
        is_finite = widen(mine[channel], block.subspan(offset, size)) && is_finite;
      });
    }
    if (!is_finite) {
      throw Error(ErrorKind::InvalidModel, "the weight " + std::string(name) +
                                               " has elements that are NaN or infinite: it cannot be quantized, "
                                               "exclude the nodes that use it");
    }
    const std::lock_guard lock(mutex);
    for (std::size_t channel = 0; channel < mine.size(); ++channel) {
      ranges[channel].minimum = std::min(ranges[channel].minimum, mine[channel].minimum);
      ranges[channel].maximum = std::max(ranges[channel].maximum, mine[channel].maximum);
    }
  });
  return ranges;
}

TensorSource quantize_values(TensorSource real, DataType type, std::vector<AffineParameters> parameters,
                             std::optional<std::int64_t> axis) {
  TensorSource result;
  result.data_type = type;
  result.shape = real.shape;
  result.compute = type == DataType::Int8 ? quantizing<std::int8_t>(std::move(real), std::move(parameters), axis)
                                          : quantizing<std::uint8_t>(std::move(real), std::move(parameters), axis);
  return result;
}

QuantizedTensor as_tensors(TensorSource values, DataType type, const std::vector<AffineParameters>& parameters,
                           bool per_channel) {
  std::vector<float> scales;
  std::vector<std::uint8_t> zero_points;
  for (const AffineParameters& channel : parameters) {
    scales.push_back(channel.scale);
    zero_points.push_back(static_cast<std::uint8_t>(channel.zero_point));
  }
  std::vector<std::int64_t> shape;
  if (per_channel) shape.push_back(static_cast<std::int64_t>(parameters.size()));
  return {.values = std::move(values),
          .scale = from_array(Array::float32(shape, scales)),
          .zero_point = from_array(Array::of<std::uint8_t>(type, shape, zero_points))};
}

}  // namespace onnxport::quantization
