// expect: co_await the write
// What a write came to is its value; who drops it does not know whether the peer is still there.
#include <levity/levity.hpp>

levity::task<> handle(levity::tcp_stream peer) {
  peer.write_all(std::string_view{"x"});
  co_return;
}
