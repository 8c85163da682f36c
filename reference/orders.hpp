#pragma once

namespace orders {

/// The program orders (main.cpp), from its arguments to its exit code. Several may run in one process, each on data of its own;
/// they share the environment's ORDERS_ variables.
int run_orders(int argc, char** argv);

}  // namespace orders
