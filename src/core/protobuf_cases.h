#pragma once

#include <cstdint>

#include <protozero/pbf_message.hpp>

/// Cases of a switch over tag_and_type(). Protozero only asserts that a field has the wire type with which it is read,
/// so that type is part of every case; a known field of another wire type is skipped like an unknown field.
namespace onnxport::protobuf {

template <typename Field>
using Message = protozero::pbf_message<Field>;

template <typename Field>
constexpr std::uint32_t as_varint(Field field) {
  return protozero::tag_and_type(field, protozero::pbf_wire_type::varint);
}
template <typename Field>
constexpr std::uint32_t as_fixed32(Field field) {
  return protozero::tag_and_type(field, protozero::pbf_wire_type::fixed32);
}
template <typename Field>
constexpr std::uint32_t as_fixed64(Field field) {
  return protozero::tag_and_type(field, protozero::pbf_wire_type::fixed64);
}
template <typename Field>
constexpr std::uint32_t as_bytes(Field field) {
  return protozero::tag_and_type(field, protozero::pbf_wire_type::length_delimited);
}

}  // namespace onnxport::protobuf
