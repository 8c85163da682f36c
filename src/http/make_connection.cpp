#include "http/make_connection.hpp"

#include <utility>
#include <vector>

#include "http/dial.hpp"
#include "levity/base/address.hpp"
#include "levity/resolve/resolver.hpp"
#include "levity/time/deadline.hpp"

namespace levity::inline v0::http::detail {

task<made_connection> make_connection(connection_pool& pool, pooled_host& host) {
  made_connection out;
  const client_options& options = pool.options();
  const time_point began = clock::now();
  resolver& names = options.names != nullptr ? *options.names : resolver::system();
  io_result<std::vector<address>> found = co_await names.resolve(host.host, std::to_string(host.port));
  const time_point known = clock::now();
  out.dns = known - began;
  if (!found) {
    out.ended = failed_io(found.error(), client_failure::unresolved);
    out.sentence = "cannot look up " + host.host + ": " + found.error().message();
    co_return out;
  }
  connect_result stood = co_await with_deadline(options.connect_timeout, dial(std::move(*found), options.second_attempt));
  out.connect = clock::now() - known;
  if (!stood) {
    out.ended = failed_io(stood.error().summary(), client_failure::unreachable);
    out.sentence = "cannot connect to " + host.authority + ": " + stood.error().summary().message();
    if (stood.error() == io_failure::timed_out) {
      out.sentence.append(" (after ")
          .append(std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(out.connect).count()))
          .append(" ms)");
    }
    co_return out;
  }
  out.made.reset(pool.adopt(host, std::move(*stood)));
  co_return out;
}

}  // namespace levity::http::detail
