// expect: (poll_lease|too few arguments)
// Whoever polls must hold the lease: a poller without one would read what another writes.
#include "reactor/epoll_reactor.hpp"

void poll(levity::detail::reactor& polled, levity::detail::ready_batch& ready) { polled.poll(0, ready); }
