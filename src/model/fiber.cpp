#include "model/fiber.hpp"

#include <sys/mman.h>

#include <new>

namespace levity::inline v0::model::detail {
namespace {

constexpr std::size_t guard_bytes = 4096;

struct passage {  // from one fiber to the other
  boost::context::detail::fcontext_t* left;
  fiber* entered;
};

}  // namespace

fiber::~fiber() {
  if (stack_ != nullptr) ::munmap(stack_, stack_bytes);
}

void fiber::reset(void (*work)()) {
  if (stack_ == nullptr) {
    void* const made = ::mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (made == MAP_FAILED) throw std::bad_alloc();
    stack_ = static_cast<char*>(made);
    if (::mprotect(stack_, guard_bytes, PROT_NONE) != 0) throw std::bad_alloc();
  }
  work_ = work;
  at_ = boost::context::detail::make_fcontext(stack_ + stack_bytes, stack_bytes - guard_bytes, &fiber::enter);
}

void fiber::go_on_in(fiber& to) noexcept {
  passage way{&at_, &to};
  const auto from = boost::context::detail::jump_fcontext(to.at_, &way);
  *static_cast<passage*>(from.data)->left = from.fctx;
}

void fiber::enter(boost::context::detail::transfer_t from) {
  const passage& way = *static_cast<passage*>(from.data);
  *way.left = from.fctx;
  way.entered->work_();
  __builtin_unreachable();
}

}  // namespace levity::model::detail
