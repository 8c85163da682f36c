// expect g++12: ::call.* twice when.*::call.* twice when.*::wait.* twice when.*::run.* twice when
#include <levity/levity.hpp>

std::size_t size_of(const std::string& text);
levity::task<std::size_t> measure(std::string text);
levity::task<> say(std::string text);

levity::task<> happens(levity::once& greeting, std::string text) {
  co_await greeting.call([text] { return say(text); });
}
levity::task<> chooses(levity::channel<int>& from, levity::semaphore& permits, std::string text) {
  (void)co_await levity::select(levity::receive_from(from), levity::call(permits.acquire(), [text](auto) { (void)size_of(text); }));
}
levity::task<> waits(levity::mutex::guard& held, levity::condition& changed, std::string text) {
  co_await changed.wait(held, [text] { return size_of(text) > 0; });
}
levity::task<> asks(levity::single_flight<int, std::size_t>& flights, std::string text) {
  (void)co_await flights.run(1, [text] { return measure(text); });
}
