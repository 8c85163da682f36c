// orders_inventory — an inventory service that the order service calls: it puts goods aside once for each Idempotency-Key.
//
//   orders_inventory [--listen ADDRESS] [--operate ADDRESS] [--data DIRECTORY] [--service-time MS] [--jitter MS] [--seed N]
//
//   POST   /reservations           {"order":"ord_...","items":[{"sku":"tea","quantity":2}]}: 201; 200 for a repeat under the same
//                                  Idempotency-Key, which is optional; 409 when there is not enough
//   DELETE /reservations/{order}   gives back all of that order: {"released":1}; again: {"released":0}
//   GET    /reservations/{order}   every reservation of that order
//   GET    /stock/{sku}            {"sku":"tea","free":999998,"held":2}; a million of each at the start
//   GET    /healthz                200
//   POST   /fault                  at the operator's address; weather.hpp says what it takes
//
// What changes something is answered when it is on the disk.

#include "reference/inventory/inventory.hpp"

int main(int argc, char** argv) { return orders::run_inventory(argc, argv); }
