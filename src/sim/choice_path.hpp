#pragma once

// choice_path: the choices of one run, a number each, and from them the choices of the next. All runs are the leaves of a tree; it
// is walked depth first, and only the way to the present leaf is kept.
//
// A run asks choose() again and again, with how many things could be done. First it is told the choices that it shares with the
// run before, and one that differs; after those always 0, the plainest. next() then takes the last choice of which anything is
// left to try.
//
//   equation   a choice is below its `tries`, and `tries` is no more than the `count` that was asked for
//
// A run that follows from its choices asks the same along the same way. One that does not has strayed, and the walk means nothing.
//
// Rejected: partial order reduction, see docs/design/0039-orders-of-a-simulated-run.md.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace levity::inline v0::sim {

class choice_path {
public:
  /// Walks over all choices whose sum is `delays_max` at most.
  explicit choice_path(std::uint64_t delays_max) : delays_max_(delays_max) {}
  /// One run only, by these and then by zeros. What is out of range there, for the run is not the one that they were made in, is
  /// taken modulo the count.
  explicit choice_path(std::vector<unsigned> given) : is_given_(true), given_(std::move(given)) {}

  /// A run begins.
  void begin();
  /// A number below `count`, which is not 0.
  [[nodiscard]] unsigned choose(unsigned count);
  /// The run has ended. False: it has asked other questions than the one before, after the same answers.
  [[nodiscard]] bool end();
  /// Makes the next run another one. False: there is none left.
  [[nodiscard]] bool next();

  /// Whether delays_max has left something out.
  [[nodiscard]] bool is_bounded() const noexcept { return is_bounded_; }
  /// Of the run that is under way, or about to begin: those that are known, without the zeros at their end.
  [[nodiscard]] std::vector<unsigned> choices() const;

private:
  struct choice {
    unsigned chosen;
    unsigned tries;  // of those that were asked for, how many the bound allows
    unsigned count;
  };

  const std::uint64_t delays_max_ = ~std::uint64_t{0};
  const bool is_given_ = false;
  const std::vector<unsigned> given_;
  std::vector<choice> made_;
  std::size_t at_ = 0;        // choices of this run
  std::uint64_t delays_ = 0;  // their sum
  bool has_strayed_ = false;
  bool is_bounded_ = false;
};

}  // namespace levity::sim
