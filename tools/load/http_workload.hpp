// http_workload.hpp -- the same HTTP request, again and again.
#pragma once

#include "load/target.hpp"
#include "load/workload.hpp"

#include <expected>
#include <string>
#include <vector>

namespace levity::load {

/// The bytes of one HTTP/1.1 request. `headers` are whole lines without CRLF ("Name: value"); Host, User-Agent and, with a
/// body, Content-Length and Content-Type are added unless they are among them. The error is one sentence.
[[nodiscard]] std::expected<std::string, std::string> build_request(const target& where, const std::string& method,
                                                                    const std::vector<std::string>& headers,
                                                                    const std::string& body);

class http_workload final : public workload {
public:
  http_workload(std::string request, bool to_head) : request_(std::move(request)), to_head_(to_head) {}

  bool next(request_id, request_out& out) override {
    out.bytes.append(request_);
    out.to_head = to_head_;
    return true;
  }

private:
  std::string request_;
  bool to_head_;
};

}  // namespace levity::load
