#pragma once

#include <levity/levity.hpp>

namespace levity::test {

/// On a runtime with one worker: lets every task run until it waits, `rounds` times over.
inline task<> settle(int rounds = 3) {
  for (int i = 0; i < rounds; i++) co_await yield();
}

}  // namespace levity::test
