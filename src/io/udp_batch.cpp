#include "levity/io/udp_batch.hpp"

#include "levity/base/assert.hpp"
#include "platform/datagram.hpp"

namespace levity::inline v0 {

using namespace detail;

// ---- udp_send_batch --------------------------------------------------------------------------------------------------

udp_send_batch::udp_send_batch(std::size_t capacity) : rows_(new datagram_rows(capacity)), capacity_(capacity) {
  LEVITY_ASSERT(capacity > 0, "a batch has room for at least one datagram");
}

udp_send_batch::udp_send_batch(udp_send_batch&&) noexcept = default;
udp_send_batch& udp_send_batch::operator=(udp_send_batch&&) noexcept = default;
udp_send_batch::~udp_send_batch() = default;

bool udp_send_batch::add(byte_view bytes) noexcept { return add(bytes, nullptr); }
bool udp_send_batch::add(byte_view bytes, const address& to) noexcept { return add(bytes, &to); }

bool udp_send_batch::add(byte_view bytes, const address* to) noexcept {
  if (is_full()) return false;
  rows_->set_outgoing(size_++, bytes, to);
  return true;
}

void udp_send_batch::skip() noexcept {
  LEVITY_ASSERT(sent_ < size_, "what is left out is there");
  sent_++;
}

// ---- udp_receive_batch -----------------------------------------------------------------------------------------------

udp_receive_batch::udp_receive_batch(std::size_t capacity, std::size_t datagram_bytes)
    : rows_(new datagram_rows(capacity)),
      buffers_(new std::byte[capacity * datagram_bytes]),
      capacity_(capacity),
      datagram_bytes_(datagram_bytes),
      used_(capacity) {
  LEVITY_ASSERT(capacity > 0, "a batch has room for at least one datagram");
}

udp_receive_batch::udp_receive_batch(udp_receive_batch&&) noexcept = default;
udp_receive_batch& udp_receive_batch::operator=(udp_receive_batch&&) noexcept = default;
udp_receive_batch::~udp_receive_batch() = default;

udp_datagram udp_receive_batch::operator[](std::size_t index) const noexcept {
  LEVITY_DEBUG_ASSERT(index < size_, "only a datagram that was received is looked at");
  const datagram_head head = rows_->head(index);
  return {byte_view{&buffers_[index * datagram_bytes_], head.size}, head.from, head.segment_bytes, head.truncated};
}

}  // namespace levity
