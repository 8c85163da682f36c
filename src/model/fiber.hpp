#pragma once

// fiber: a stack and where it stands. All fibers of an exploration run on one thread of the system, one at a time; to go on in
// another one takes some nanoseconds. By Boost.Context.

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>

namespace levity::inline v0::model::detail {

class fiber {
public:
  fiber() = default;  // of whoever is on the system's stack
  fiber(const fiber&) = delete;
  fiber& operator=(const fiber&) = delete;
  ~fiber();

  /// Makes it stand at the beginning of `work`, which must never return; what stood there before is dropped as it is.
  void reset(void (*work)());

  /// Goes on in `to`; returns when somebody goes on here.
  void go_on_in(fiber& to) noexcept;

private:
  static constexpr std::size_t stack_bytes = std::size_t{256} << 10;

  static void enter(boost::context::detail::transfer_t from);

  boost::context::detail::fcontext_t at_ = nullptr;
  char* stack_ = nullptr;
  void (*work_)() = nullptr;
};

}  // namespace levity::model::detail
