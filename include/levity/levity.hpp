#pragma once

// Everything of the core, in reading order.

#include "levity/base/address.hpp"
#include "levity/base/clock.hpp"
#include "levity/base/error.hpp"
#include "levity/task/cancel.hpp"
#include "levity/task/race.hpp"
#include "levity/task/scope.hpp"
#include "levity/task/shield.hpp"
#include "levity/task/task.hpp"
#include "levity/task/when_all.hpp"
#include "levity/task/yield.hpp"
#include "levity/time/deadline.hpp"
#include "levity/time/interval.hpp"
#include "levity/time/sleep.hpp"
#include "levity/io/tcp.hpp"
#include "levity/memory/frame_pool.hpp"
#include "levity/runtime/options.hpp"
#include "levity/runtime/run.hpp"
#include "levity/runtime/statistics.hpp"
