#include "levity/base/explored_atomic.hpp"

#ifdef LEVITY_MODEL

namespace levity::inline v0::detail {

constinit thread_local explorer* this_explorer [[gnu::tls_model("initial-exec")]] = nullptr;

}  // namespace levity::detail

#endif
