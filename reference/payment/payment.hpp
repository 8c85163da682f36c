#pragma once

namespace orders {

/// The program orders_payment (main.cpp), from its arguments to its exit code. Several may run in one process, each on data of its
/// own.
int run_payment(int argc, char** argv);

}  // namespace orders
