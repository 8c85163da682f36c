// orders_payment — a payment service that the order service calls: it takes money once for each Idempotency-Key.
//
//   orders_payment [--listen ADDRESS] [--operate ADDRESS] [--data DIRECTORY] [--service-time MS] [--jitter MS] [--seed N]
//
//   POST /charges           {"order":"ord_...","amount":1200}: 201; 200 for a repeat under the same Idempotency-Key, which is
//                           optional
//   GET  /charges/{order}   every charge of that order
//   GET  /healthz           200
//   POST /fault             at the operator's address; weather.hpp says what it takes
//
// A charge is answered when it is on the disk.

#include "reference/payment/payment.hpp"

int main(int argc, char** argv) { return orders::run_payment(argc, argv); }
