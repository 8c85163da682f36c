#pragma once

#include <cstdint>

namespace levity::inline v0 {

/// A small seeded generator (xoshiro256** by Blackman and Vigna, seeded by splitmix64). Not for secrets, not
/// thread-safe; one per owner. The same seed gives the same sequence on every compiler.
class rng {
public:
  using result_type = std::uint64_t;

  /// The sequence that follows from `seed`; every seed is good, 0 too.
  explicit constexpr rng(std::uint64_t seed) noexcept {
    for (auto& word : state_) {
      seed += 0x9e3779b97f4a7c15;
      std::uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
      z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
      word = z ^ (z >> 31);
    }
  }

  /// The least number that it gives: a std::uniform_random_bit_generator.
  static constexpr std::uint64_t min() noexcept { return 0; }
  /// The greatest number that it gives.
  static constexpr std::uint64_t max() noexcept { return ~std::uint64_t{0}; }

  /// The next 64 random bits.
  constexpr std::uint64_t operator()() noexcept {
    const std::uint64_t result = rotate_left(state_[1] * 5, 7) * 9;
    const std::uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = rotate_left(state_[3], 45);
    return result;
  }

  /// Uniform in [0, bound); bound > 0. The bias is below 2^-32 for bounds below 2^32 (Lemire's multiplication).
  constexpr std::uint64_t below(std::uint64_t bound) noexcept {
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>((*this)()) * bound) >> 64);
  }

private:
  static constexpr std::uint64_t rotate_left(std::uint64_t x, int k) noexcept { return (x << k) | (x >> (64 - k)); }

  std::uint64_t state_[4]{};
};

}  // namespace levity
