#pragma once

#include <memory>
#include <string>

#include "http/connection_pool.hpp"
#include "http/step_result.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0::http::detail {

struct made_connection {
  std::unique_ptr<pooled_connection> made;  // null: it failed
  step_result ended;
  std::string sentence;                     // why it failed
  duration dns{};
  duration connect{};
};

// A new connection to a host, for whoever has a place there: look-up, two attempts, the bounds of the client's options.
[[nodiscard]] task<made_connection> make_connection(connection_pool& pool, pooled_host& host);

}  // namespace levity::http::detail
