// orders — the reference service: orders are created, read, changed and listed over HTTP, and survive; and so does the service,
// when those it calls do not answer.
//
//   orders [--listen ADDRESS] [--data DIRECTORY] [--payment URL] [--inventory URL] [--redis URL] [--canary FILE] [--config FILE]
//          [--compact-at BYTES] [--cut-damage] [--help] [--print-config]
//
//   --payment, --inventory   each new order is charged, and its goods are put aside (bookings.hpp); without them nobody is called
//   --redis                  a copy of the orders for when the store does not answer (order_cache.hpp)
//   --canary                 an Istio VirtualService; its subset `canary` gets the new version of GET /orders/{id}
//   --compact-at             the size of the log from which on a snapshot replaces it; 64 MiB
//   --cut-damage             starts on files that break a promise, giving up what comes after the damage (kept as *.damaged)
//
// SIGTERM ends it in order within drain_bound, with 0 if all was finished. SIGHUP reads the file of --config anew, and that of
// --canary.

#include "reference/orders.hpp"

int main(int argc, char** argv) { return orders::run_orders(argc, argv); }
